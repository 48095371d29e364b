"""Stored examples into the lines of their files, by whichever process has time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import orjson
from msgspec import Struct

from brewslm.contracts import Compose, TokenCounter
from brewslm.rows.stored import ContentStore, StoredExample, content_of
from brewslm.tasks.task import Reference, form_of

_CHARACTERS_PER_TOKEN = 4


class Stored(Struct, array_like=True):
    """What a line needs to know of an example."""

    row_id: str
    source: str
    task_profile: str
    group_key: str
    weight: int | float
    content: bytes


class Composed(Struct, array_like=True):
    """Lines with their ends, and how long the texts in them are that a model reads."""

    lines: bytes
    characters: list[int]
    tokens: list[int]


@dataclass(frozen=True, slots=True)
class Composing:
    """How examples become lines; opened by each worker."""

    compose: Compose
    contracts: Mapping[str, dict[str, Any]]
    """Source to its effective contract."""
    system_prompt: str
    count_tokens: TokenCounter | None
    """None estimates four characters a token."""
    argument: Any = list[Stored]
    result: type[Composed] = Composed

    def open(self) -> Callable[[list[Stored]], Composed]:
        """Return the function that composes some examples."""
        return self._composed

    def _composed(self, examples: list[Stored]) -> Composed:
        lines: list[bytes] = []
        texts: list[str] = []
        for example in examples:
            document = self._document(example)
            lines.append(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))
            texts.append(_shown_text(document))
        characters = [len(text) for text in texts]
        if self.count_tokens is None:
            tokens = [-(-length // _CHARACTERS_PER_TOKEN) for length in characters]
        else:
            tokens = self.count_tokens(texts)
        return Composed(_joined(examples, lines), characters, tokens)

    def _document(self, example: Stored) -> dict[str, Any]:
        content = content_of(example.content)
        reference = content.reference
        composition = self.compose(
            example.task_profile,
            content.inputs,
            reference,
            self.contracts[example.source],
            self.system_prompt,
        )
        document: dict[str, Any] = {
            "row_id": example.row_id,
            "task_profile": example.task_profile,
            "group_key": example.group_key,
            "weight": example.weight,
            "messages": composition.messages,
            "completion_from": composition.completion_from,
            "loss": composition.loss,
            "inputs": content.inputs,
            "reference": reference,
            "tags": dict(sorted(content.tags.items())),
        }
        is_of_calls = form_of(example.task_profile).reference is Reference.CALLS
        if content.inputs.get("tools") and not is_of_calls:
            document["tools"] = [
                {"type": "function", "function": tool} for tool in content.inputs["tools"]
            ]
        if composition.loss == "all_tokens":
            document["text"] = reference["text"]
        if composition.loss == "preference":
            pair = (name for name in ("chosen", "rejected") if name in reference)
            document.update((name, reference[name]) for name in pair)
        return document


def _joined(examples: list[Stored], lines: list[bytes]) -> bytes:
    """Return the lines, those of equal rows, which are neighbours, in order of their bytes."""
    if len({example.row_id for example in examples}) < len(lines):
        keyed = zip((example.row_id for example in examples), lines, strict=True)
        groups = groupby(keyed, key=itemgetter(0))
        lines = [line for _, group in groups for line in sorted(line for _, line in group)]
    return b"".join(lines)


def stored_of(example: StoredExample, contents: ContentStore) -> Stored:
    """Return what a line needs to know of an example."""
    return Stored(
        example.row_id,
        example.source,
        example.task_profile,
        example.group_key,
        example.weight,
        contents.read(example.at),
    )


def _shown_text(document: dict[str, Any]) -> str:
    parts = [message["content"] for message in document["messages"]]
    for name in ("tools", "messages"):
        parts += [
            orjson.dumps(item).decode()
            for item in document.get(name, ())
            if name == "tools" or "tool_calls" in item
        ]
    parts += [str(document[name]) for name in ("text", "chosen", "rejected") if name in document]
    return "\n".join(parts)
