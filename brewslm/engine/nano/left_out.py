"""Rows that the corpus must not hold: the gold rows by which the examples judge what they train.

A document is left out when it holds a sentence of a gold row, or eight words in a row of one, both
compared as lower-case words. Sentences of fewer than four words are left out as whole sentences.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from brewslm.engine.nano.document import Document

Words = tuple[str, ...]

_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_SENTENCE_END: Final = re.compile(r"[.!?\n]+(?:\s|$|\")|\n")
_PREFIX_WORDS: Final = 4
_RUN_WORDS: Final = 8


class LeftOut:
    """Phrases that keep a document out of the corpus."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """texts: of gold rows; labels of one word are no text."""
        self._short: set[Words] = set()
        self._long: dict[Words, set[Words]] = {}
        for text in texts:
            for phrase in _phrases(text):
                if len(phrase) < _PREFIX_WORDS:
                    self._short.add(phrase)
                else:
                    self._long.setdefault(phrase[:_PREFIX_WORDS], set()).add(phrase)

    def holds(self, text: str) -> bool:
        """Return whether one of the phrases is in a text."""
        return any(words in self._short for words in sentences(text)) or self._has_long(text)

    def concerns(self, document: Document) -> bool:
        """Return whether one of the phrases is in any part of a document."""
        contents = (message["content"] for message in document.messages())
        return any(self.holds(text) for text in (document.text, *contents) if text)

    def _has_long(self, text: str) -> bool:
        words = _words(text)
        for start in range(len(words) - _PREFIX_WORDS + 1):
            for phrase in self._long.get(words[start : start + _PREFIX_WORDS], ()):
                if words[start : start + len(phrase)] == phrase:
                    return True
        return False


def sentences(text: str) -> Iterator[Words]:
    """Return the words of each sentence of a text."""
    yield from (words for part in _SENTENCE_END.split(text) if (words := _words(part)))


def texts_of(paths: Iterable[Path]) -> list[str]:
    """Return every text of more than one word in files of JSON lines or CSV."""
    texts: list[str] = []
    for path in paths:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file) if path.suffix == ".csv" else map(json.loads, file)
            texts += [text for row in rows for text in _strings(row) if len(text.split()) > 1]
    return texts


def _phrases(text: str) -> Iterator[Words]:
    yield from sentences(text)
    words = _words(text)
    yield from (words[at : at + _RUN_WORDS] for at in range(len(words) - _RUN_WORDS + 1))


def _words(text: str) -> Words:
    return tuple(_WORD.findall(text.casefold()))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
