"""Word classes and topics of the corpus, read from the two text files beside this module."""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final

_PACKAGE: Final = "brewslm.engine.nano"
_KIND: Final = "kind of "


@dataclass(frozen=True)
class Topic:
    """Something people write about, with patterns of what they say and what is answered."""

    group: str
    names: tuple[str, ...]
    reports: tuple[str, ...]
    answers: tuple[str, ...]


def _lines(file_name: str) -> list[str]:
    text = resources.files(_PACKAGE).joinpath(file_name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@cache
def load_words() -> MappingProxyType[str, tuple[str, ...]]:
    """Every word class by its name, in the order of the file."""
    classes = {}
    for line in _lines("words.txt"):
        name, _, words = line.partition(": ")
        separator = "., " if name in {"style", "phrase"} else ", "
        members = [word.strip() for word in words.split(separator)]
        if separator == "., ":
            members = [member.rstrip(".") + "." for member in members]
        classes[name] = tuple(members)
    return MappingProxyType(classes)


@cache
def load_kinds() -> MappingProxyType[str, tuple[str, ...]]:
    """The classes that serve questions about kinds of things, by the name of the kind."""
    classes = load_words().items()
    return MappingProxyType(
        {name.removeprefix(_KIND): words for name, words in classes if name.startswith(_KIND)}
    )


@cache
def load_topics() -> tuple[Topic, ...]:
    """Every topic, in the order of the file."""
    blocks: list[list[str]] = []
    for line in _lines("topics.txt"):
        if line.startswith("= "):
            blocks.append([])
        blocks[-1].append(line)
    return tuple(_parse_topic(block) for block in blocks)


def _parse_topic(lines: list[str]) -> Topic:
    group, _, names = lines[0].removeprefix("= ").partition(": ")
    return Topic(
        group=group,
        names=tuple(names.split(" | ")),
        reports=tuple(line[2:] for line in lines if line.startswith("- ")),
        answers=tuple(line[2:] for line in lines if line.startswith("+ ")),
    )
