"""The items of an evaluation as CSV: one line an item, for spreadsheets and data frames.

RFC 4180, comma, CRLF, UTF-8 without a mark. A spreadsheet may part lines at semicolons or tabs
instead, or at line ends and commas in the middle of a text, so no text may put a formula behind any
of these. Numbers of this program's own stay numbers.

How texts are written, in this order; each step is undone by taking one apostrophe away:
- an apostrophe stands before apostrophes that end in a formula character (`=+-@`, wide ones too)
  where only blanks, invisible characters and quotes lie between them and a comma, a semicolon, a
  tab or a line end; no apostrophe is needed for that
- an apostrophe begins a text that has an apostrophe, a tab or a line end first, or a formula
  character as the first that can be seen
"""

import csv
import re
from collections.abc import Iterable, Sequence
from io import StringIO

from brewslm.tasks.report_items import ReportItem

_APOSTROPHE = "'"
_FORMULA = "=+@＝＋－＠-"
_BREAKS = frozenset("\t\r\n")
_SEPARATORS = _BREAKS | {",", ";"}
_MAYBE_FORMULA = re.compile(f"(?<!{_APOSTROPHE}){_APOSTROPHE}*[{_FORMULA}]+")
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
    """Return a text as a cell that no spreadsheet takes for a formula, wherever it parts lines."""
    inner = _MAYBE_FORMULA.sub(_guarded, text)
    first = next((char for char in text if not _is_blank(char)), "")
    if text[:1] in _BREAKS or text.startswith(_APOSTROPHE) or (first and first in _FORMULA):
        return _APOSTROPHE + inner
    return inner


def _guarded(found: re.Match[str]) -> str:
    """Return what could be a formula, after an apostrophe where a cell could begin with it."""
    text, at = found.string, found.start()
    while at > 0 and text[at - 1] not in _SEPARATORS:
        at -= 1
        if text[at] != '"' and not _is_blank(text[at]):
            return found[0]
    return _APOSTROPHE + found[0] if at > 0 else found[0]


def _is_blank(char: str) -> bool:
    return char.isspace() or not char.isprintable()


def _cells(item: ReportItem, metrics: Iterable[str]) -> list[Cell]:
    own: list[Cell] = [getattr(item, name) for name in _COLUMNS if name != "slices"]
    own.insert(_COLUMNS.index("slices"), "; ".join(item.slices))
    return [*own, *(item.values.get(name) for name in metrics)]


def _cell(value: Cell) -> Cell:
    return plain(value) if isinstance(value, str) else value
