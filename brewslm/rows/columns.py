"""What a column holds, judged by all its values and the shapes of some."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MOST_VALUES = 201
_SHORT_LABEL = 32
_TAG = re.compile(r"O|[BIESLU]-\S+")
_PATH = re.compile(r"(?:[A-Za-z]:)?[\w.~-]*[/\\][\w./\\~-]+")


class ColumnType(StrEnum):
    """Kinds of columns that proposals are made from."""

    BIO_TAG_LIST = "bio_tag_list"
    ENTITY_LIST_JSON = "entity_list_json"
    CHAT_MESSAGES = "chat_messages"
    SHAREGPT_MESSAGES = "sharegpt_messages"
    TOKENS_LIST = "tokens_list"
    BOOLEAN = "boolean"
    NUMERIC = "numeric"
    PATH_LIKE = "path_like"
    TEXT_LIKE = "text_like"
    CATEGORICAL = "categorical"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Column:
    """A column while a file is read, and afterwards its type with a confidence."""

    name: str
    rows: int = 0
    """Non-empty values."""
    texts: int = 0
    characters: int = 0
    longest: int = 0
    has_blanks: bool = False
    values: set[str] = field(default_factory=set)
    """Distinct short values; more than 200 are not kept."""
    type: ColumnType = ColumnType.UNKNOWN
    confidence: float = 0.20

    def add(self, value: Any) -> None:
        """Count one value of the column."""
        if value is None or value in ("", []):
            return
        self.rows += 1
        if type(value) is str:
            stripped = value.strip()
            self.texts += 1
            self.characters += len(stripped)
            self.longest = max(self.longest, len(stripped))
            self.has_blanks = self.has_blanks or " " in stripped
            if len(self.values) < MOST_VALUES and len(stripped) <= _SHORT_LABEL:
                self.values.add(stripped)
        elif type(value) in (bool, int) and len(self.values) < MOST_VALUES:
            self.values.add(str(value).lower())


def classify(column: Column, sample: Sequence[Any]) -> None:
    """Give a column its type and the confidence in it, from its counts and sampled values."""
    shown = [value for value in sample if value is not None and value not in ("", [])]
    column.type, column.confidence = _listed(shown) or _scalar(column, shown)


def _listed(shown: list[Any]) -> tuple[ColumnType, float] | None:
    if not shown or not all(type(value) is list for value in shown):
        return None
    for kind, confidence, fits in _LISTS:
        if all(fits(item) for value in shown for item in value):
            return kind, confidence
    return ColumnType.UNKNOWN, 0.20


def _scalar(column: Column, shown: list[Any]) -> tuple[ColumnType, float]:
    if len(shown) >= 2 and all(type(value) is bool for value in shown):
        return ColumnType.BOOLEAN, 0.90
    if len(shown) >= 2 and all(_is_number(value) for value in shown):
        return ColumnType.NUMERIC, 0.85
    if column.texts < column.rows or not column.texts:
        return ColumnType.UNKNOWN, 0.20
    paths = sum(bool(_PATH.fullmatch(value)) for value in shown)
    if len(shown) >= 2 and paths >= 0.8 * len(shown):
        return ColumnType.PATH_LIKE, 0.85
    if not column.has_blanks and (confidence := _label_confidence(column)):
        return ColumnType.CATEGORICAL, confidence
    return ColumnType.TEXT_LIKE, _text_confidence(column)


def _label_confidence(column: Column) -> float:
    """Return the confidence that a column without blanks holds labels, 0 where it does not."""
    distinct = len(column.values)
    if column.longest > _SHORT_LABEL or distinct >= MOST_VALUES:
        return 0.0
    ratio = distinct / column.rows
    if distinct > 20:
        return 0.75 if ratio <= 0.05 else 0.0
    if ratio < 0.5:
        return 0.90
    if ratio < 1:
        return 0.75
    return 0.60 if column.rows < 5 else 0.0


def _text_confidence(column: Column) -> float:
    mean = column.characters / column.texts
    if mean > 30:
        return 0.85
    if column.has_blanks:
        return 0.80 if mean > 20 else 0.50
    return 0.70 if mean > 15 else 0.50


def _is_number(value: Any) -> bool:
    if type(value) in (int, float):
        return True
    if type(value) is not str:
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def _has_keys(*keys: str) -> Callable[[Any], bool]:
    def has(item: Any) -> bool:
        return type(item) is dict and all(key in item for key in keys)

    return has


def _is_tag(item: Any) -> bool:
    return type(item) is str and bool(_TAG.fullmatch(item))


def _is_token(item: Any) -> bool:
    return type(item) is str and bool(item)


_LISTS: tuple[tuple[ColumnType, float, Callable[[Any], bool]], ...] = (
    (ColumnType.BIO_TAG_LIST, 0.98, _is_tag),
    (ColumnType.ENTITY_LIST_JSON, 0.95, _has_keys("type", "start", "end")),
    (ColumnType.CHAT_MESSAGES, 0.95, _has_keys("role", "content")),
    (ColumnType.SHAREGPT_MESSAGES, 0.95, _has_keys("from", "value")),
    (ColumnType.TOKENS_LIST, 0.90, _is_token),
)
