"""What a column holds: the kinds of all its values, and its distinct short values."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

MOST_VALUES = 201
_SHORT_VALUE = 64
_TAG = re.compile(r"O|[BIESLU]-\S+")
_PATH = re.compile(r"(?:[A-Za-z]:)?[\w.~-]*[/\\][\w./\\~-]+")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+")
TEXT, INTEGER, NUMBER, BOOLEAN = "text", "integer", "number", "boolean"
TURNS, SHARED_TURNS, TAGS, STRINGS = "turns", "from/value turns", "tags", "strings"
INTEGERS, NUMBERS, OBJECTS, OBJECT, LIST = "integers", "numbers", "objects", "object", "list"


@dataclass(slots=True)
class Column:
    """What the values of a column showed; absent and empty ones are left out."""

    name: str
    rows: int = 0
    """Non-empty values."""
    kinds: Counter[str] = field(default_factory=Counter)
    characters: int = 0
    longest: int = 0
    values: set[str] = field(default_factory=set)
    """Distinct short values; more than 200 are not kept."""
    has_long_values: bool = False
    paths: int = 0
    json_texts: int = 0
    """Texts that are a JSON object or list."""

    def add(self, value: Any) -> None:
        """Count one value of the column."""
        if value is None or value in ("", []):
            return
        kind = kind_of(value)
        self.rows += 1
        self.kinds[kind] += 1
        if kind == TEXT:
            self._add_text(value.strip())
        elif kind in (INTEGER, BOOLEAN) and len(self.values) < MOST_VALUES:
            self.values.add(str(value).lower())

    def _add_text(self, text: str) -> None:
        self.characters += len(text)
        self.longest = max(self.longest, len(text))
        self.has_long_values = self.has_long_values or len(text) > _SHORT_VALUE
        if len(self.values) < MOST_VALUES and len(text) <= _SHORT_VALUE:
            self.values.add(text)
        if _PATH.fullmatch(text) or _URL.fullmatch(text):
            self.paths += 1
        if text[:1] in ("{", "[") and _is_json(text):
            self.json_texts += 1

    @property
    def kind(self) -> str:
        """The kind of every value, empty where they differ in more than precision."""
        kinds = set(self.kinds)
        for wider, narrower in ((STRINGS, TAGS), (NUMBER, INTEGER), (NUMBERS, INTEGERS)):
            if wider in kinds:
                kinds.discard(narrower)
        return kinds.pop() if len(kinds) == 1 else ""

    @property
    def is_text(self) -> bool:
        """Whether every value is text."""
        return self.kind == TEXT

    @property
    def is_answer(self) -> bool:
        """Whether every value is text, a number or a boolean."""
        return bool(self.kinds) and self.kinds.keys() <= {TEXT, INTEGER, NUMBER, BOOLEAN}

    @property
    def is_json(self) -> bool:
        """Whether every value is an object, or text of JSON objects or lists."""
        return self.kind == OBJECT or (self.is_text and self.json_texts == self.rows)

    @property
    def is_label(self) -> bool:
        """Whether the values are few and short enough to be labels."""
        if self.kind not in (TEXT, INTEGER, BOOLEAN) or self.has_long_values:
            return False
        return len(self.values) <= max(2, min(MOST_VALUES - 1, self.rows // 2))


def kind_of(value: Any) -> str:
    """Return the kind of a value that is not empty."""
    for kind, types in _SCALARS:
        if type(value) in types:
            return kind
    return _list_kind(value) if type(value) is list else LIST


_SCALARS = (
    (TEXT, (str,)),
    (BOOLEAN, (bool,)),
    (INTEGER, (int,)),
    (NUMBER, (float,)),
    (OBJECT, (dict,)),
)


def _list_kind(items: Sequence[Any]) -> str:
    types = {type(item) for item in items}
    if types == {dict}:
        if all("role" in item for item in items):
            return TURNS
        return SHARED_TURNS if all("from" in item for item in items) else OBJECTS
    if types == {str}:
        return TAGS if all(_TAG.fullmatch(item) for item in items) else STRINGS
    if types == {int}:
        return INTEGERS
    return NUMBERS if types <= {int, float} else LIST


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
