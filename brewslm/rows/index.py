"""What the lines of `index.jsonl` say of rows; one row may stand in it several times."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

Said = TypeVar("Said")


def first_occurrences(
    index: Iterable[Mapping[str, Any]], said: Callable[[Mapping[str, Any]], Said]
) -> dict[str, Said]:
    """Return row_id to what is said where the row occurs first.

    said: what is taken of a line.
    """
    found: dict[str, Said] = {}
    for line in index:
        found.setdefault(line["row_id"], said(line))
    return found
