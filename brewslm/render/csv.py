"""The items of an evaluation as CSV: one line an item, for spreadsheets and data frames.

RFC 4180, comma, CRLF, UTF-8 without a mark. A cell that a spreadsheet could take for a formula
begins with an apostrophe, and so does a text that had one itself: without the first apostrophe of
such cells every text is what it was. Numbers of this program's own stay numbers.
"""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO

from brewslm.tasks.report_items import ReportItem

_APOSTROPHE = "'"
_BEGINS_FORMULA = frozenset("=+-@＝＋－＠")
_BREAKS = frozenset("\t\r\n")
_COLUMNS = (
    "dataset",
    "row_id",
    "epoch",
    "role",
    "status",
    "score",
    "reason_code",
    "source",
    "line",
    "prompt",
    "output",
    "reference",
    "extracted",
    "parse_detail",
    "output_pattern",
    "slices",
    "new_tokens",
    "finish",
    "error_code",
)

Cell = str | float | int | None


def render_csv(items: Sequence[ReportItem]) -> bytes:
    """Return a header and one line an item; metrics of single items stand in the last columns."""
    metrics = sorted({name for item in items for name in item.values})
    out = StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([*_COLUMNS, *map(plain, metrics)])
    writer.writerows(map(_cell, _cells(item, metrics)) for item in items)
    return out.getvalue().encode("utf-8", "backslashreplace")


def plain(text: str) -> str:
    """Return a text as a cell that no spreadsheet takes for a formula."""
    first = next((char for char in text if char.isprintable() and not char.isspace()), "")
    if first in _BEGINS_FORMULA or text[:1] in _BREAKS or text.startswith(_APOSTROPHE):
        return _APOSTROPHE + text
    return text


def _cells(item: ReportItem, metrics: Iterable[str]) -> list[Cell]:
    own: list[Cell] = [getattr(item, name) for name in _COLUMNS if name != "slices"]
    own.insert(_COLUMNS.index("slices"), "; ".join(item.slices))
    return [*own, *(item.values.get(name) for name in metrics)]


def _cell(value: Cell) -> Cell:
    return plain(value) if isinstance(value, str) else value
