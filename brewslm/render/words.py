"""How numbers, times, sizes and digests are written for people; once, for every face."""

import unicodedata
from collections.abc import Sequence

from brewslm.characters import is_unseen

_MIB = 1 << 20
_GIB = 1 << 30


def count(value: float) -> str:
    """Return a whole number with commas: 4,932."""
    return f"{value:,.0f}"


def number(value: object) -> str:
    """Return any plain value in its shortest exact form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, int):
        return count(value) if abs(value) >= 10_000 else str(value)
    return str(value)


def size(size_bytes: float) -> str:
    """Return bytes as MiB or GiB with one decimal; small ones as bytes or KiB."""
    if round(size_bytes / _MIB, 1) >= 1024:
        return f"{size_bytes / _GIB:.1f} GiB"
    if size_bytes >= _MIB / 10:
        return f"{size_bytes / _MIB:.1f} MiB"
    if size_bytes >= 1024:
        return f"{size_bytes / 1024:.1f} KiB"
    return plural(round(size_bytes), "byte")


def duration(seconds: float) -> str:
    """Return seconds as `11 min 40 s`; under a second as that."""
    if seconds < 1:
        return "under 1 s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def short_digest(digest: str | None) -> str:
    """Return `sha256:` and six hex digits; (none) for null."""
    if not digest:
        return "(none)"
    algorithm, colon, digits = digest.partition(":")
    return f"{algorithm}:{digits[:6]}" if colon else digest[:6]


def plural(amount: int, noun: str) -> str:
    """Return `1 row`, `2 rows`."""
    return f"{count(amount)} {noun}" if amount == 1 else f"{count(amount)} {noun}s"


def visible(text: str) -> str:
    """Return text from outside with control, bidirectional and invisible characters escaped."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char.isprintable() and not is_unseen(char) else f"\\u{{{ord(char):X}}}"
        for char in text
    )


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for wide letters, none for marks that
    stand on the letter before.
    """
    if text.isascii():
        return len(text)
    return sum(map(_columns_of, text))


def padded(text: str, width: int) -> str:
    """Return a text with blanks behind it, up to a number of columns."""
    return text + " " * (width - columns(text))


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return one line a row, cells of a column below each other, two blanks between them."""
    widths = [max(map(columns, cells)) for cells in zip(*rows, strict=True)]
    return ["  ".join(map(padded, row, widths)).rstrip() for row in rows]


def _columns_of(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def to_ascii(text: str) -> str:
    """Return text with its typographic characters replaced and anything else escaped."""
    for fancy, plain in (("·", "-"), ("−", "-"), ("≥", ">="), ("≤", "<="), ("…", "..")):
        text = text.replace(fancy, plain)
    return text.encode("ascii", "backslashreplace").decode("ascii")
