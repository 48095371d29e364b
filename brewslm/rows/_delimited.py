"""Delimited text by RFC 4180: quoting, a header line, every value a string.

The delimiter is one byte, so splitting bytes and decoding each cell afterwards is exact. Beyond the
RFC: a quote inside a cell that does not begin with one is text (`13" screen`), a first column
without a name (the index that data frames write) is left out, so are empty columns without a name
at the end (a delimiter after the last cell of each line), and lines may end in lone carriage
returns if no line feed is in sight.

A quote that is never closed, or is closed where no cell can end, costs the line that holds it and
no other: reading goes on at the line after it.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from itertools import takewhile
from typing import BinaryIO, NamedTuple

from brewslm.diagnostics import FindingCode
from brewslm.rows.record import MAX_RECORD_BYTES, Fault, Record
from brewslm.rows.rejects import RejectCode
from brewslm.rows.source import UTF8_MARK, Read, Source, SourceError, Tally, head_of

_QUOTED = re.compile(rb'"((?:[^"]|"")*+)"')
_EXCEL_HINT = re.compile(rb"(?:\xef\xbb\xbf)?sep=(.)\r?\n")
_OTHER_DELIMITERS = (b";", b"\t", b"|")
_KEPT_BYTES = 64 << 10
_TWO_LINES = 2
_FEW_LINES = 5
"""Lines inside one cell that are hardly text when each of them could be a row."""


class _Line(NamedTuple):
    """A physical line with its end; of one that is too long only the beginning."""

    number: int
    offset: int
    data: bytes
    is_too_long: bool = False


class _Entry(NamedTuple):
    """The lines of one record, joined without the last line end."""

    line: int
    offset: int
    raw: bytes
    fault: Fault | None = None
    is_strict: bool = False
    """Whether a quote inside an unquoted cell may be the end of a cell that was given up."""


@dataclass(slots=True)
class _Layout:
    """How lines divide into cells."""

    delimiter: bytes
    columns: int = 0
    """0 before the header was read."""

    def are_rows(self, lines: Sequence[_Line]) -> bool:
        """Return whether every line could be a row by its number of cells."""
        return all(line.data.count(self.delimiter) + 1 == self.columns for line in lines)

    def divides(self, raw: bytes) -> bool:
        """Return whether a record has a cell for every column."""
        cells = _cells(raw, self.delimiter)
        return cells is not None and len(cells) == self.columns


class _Quotes(Enum):
    """Where the quotes of a line leave the reader."""

    CLOSED = auto()
    OPEN = auto()
    BROKEN = auto()
    """A quoted cell ended and neither a delimiter nor the line end follows."""


def delimited_source(scheme: str, default: bytes, sample: bytes) -> Source:
    """Return the source of files whose cells are separated by one byte."""
    reader = partial(_reader, default)
    return Source(scheme, reader(None), (f".{scheme}",), sample=sample, read_delimited=reader)


def _reader(default: bytes, delimiter: bytes | None) -> Read:
    """delimiter: None takes the default, or what the first lines of a .csv clearly say instead."""

    def read(stream: BinaryIO, tally: Tally) -> Iterator[Record]:
        head = head_of(stream)
        hint = _EXCEL_HINT.match(head)
        used = delimiter or (hint[1] if hint else _delimiter_of(head, default))
        lines = _Lines(stream, tally, b"\r" if _has_lone_returns(head) else b"\n")
        header: list[str] | None = None
        layout = _Layout(used)
        for entry in _entries(lines, layout, tally):
            if header is not None:
                yield from _records(entry, used, header)
            elif not (hint and entry.line == 1):
                header = _header(entry, used)
                layout.columns = len(header)
                tally.columns.update(dict.fromkeys(filter(None, header)))

    return read


def _has_lone_returns(head: bytes) -> bool:
    return b"\n" not in head and b"\r" in head


def _delimiter_of(head: bytes, default: bytes) -> bytes:
    """Return the default unless the first two lines of a .csv divide by exactly one other byte."""
    lines = head.removeprefix(UTF8_MARK).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    if default != b"," or len(_cells(lines[0], default) or ()) > 1:
        return default
    found = [other for other in _OTHER_DELIMITERS if _divides(lines[:2], other)]
    return found[0] if len(found) == 1 else default


def _divides(lines: list[bytes], delimiter: bytes) -> bool:
    names = _cells(lines[0], delimiter) or []
    row = lines[1] if len(lines) > 1 else b""
    is_alike = not row or b'"' in row or row.count(delimiter) + 1 == len(names)
    while names and not names[-1].strip():
        names.pop()
    return len(names) > 1 and all(names[1:]) and len({*names}) == len(names) and is_alike


class _Lines:
    """The physical lines of a stream, of which some can be put back."""

    def __init__(self, stream: BinaryIO, tally: Tally, end: bytes) -> None:
        self._again: deque[_Line] = deque()
        self._lines = _lines(_Returns(stream) if end == b"\r" else stream, tally, end, self._again)

    def __iter__(self) -> Iterator[_Line | None]:
        return self._lines

    def find_next(self) -> _Line | None:
        """Return the next line, None at the end."""
        return next(self._lines)

    def put_back(self, lines: list[_Line]) -> None:
        """Let lines be read again, in their order."""
        self._again.extendleft(reversed(lines))


class _Returns:
    """A stream whose lines end in carriage returns."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._rest = b""

    def readline(self, limit: int) -> bytes:
        while len(self._rest) < limit and b"\r" not in self._rest:
            more = self._stream.read(_KEPT_BYTES)
            if not more:
                break
            self._rest += more
        end = min(self._rest.find(b"\r") + 1 or limit, limit)
        line, self._rest = self._rest[:end], self._rest[end:]
        return line


def _lines(
    stream: "BinaryIO | _Returns", tally: Tally, end: bytes, again: deque[_Line]
) -> Iterator[_Line | None]:
    """Yield lines, those of `again` first, and None for as long as there is none."""
    offset = 0
    number = 0
    while True:
        while again:
            yield again.popleft()
        data = stream.readline(MAX_RECORD_BYTES + 2)
        if not data:
            yield None
            continue
        number += 1
        start = offset
        offset += len(data)
        if number == 1 and data.startswith(UTF8_MARK):
            tally.byte_order_marks += 1
            data = data[len(UTF8_MARK) :]
            start += len(UTF8_MARK)
        if data.endswith(end) or len(data) <= MAX_RECORD_BYTES:
            yield _Line(number, start, data)
            continue
        while more := stream.readline(MAX_RECORD_BYTES):
            offset += len(more)
            if more.endswith(end):
                break
        yield _Line(number, start, data[:_KEPT_BYTES], is_too_long=True)


def _entries(lines: _Lines, layout: _Layout, tally: Tally) -> Iterator[_Entry]:
    """Yield what the lines hold; a record goes on over line ends inside quotes.

    Every line is looked at twice at most: where a quote stays open to the end, or is closed in the
    wrong place, all quotes in between come in pairs, so that none of those lines opens a cell.
    """
    blanks = bytes(set(b" \t\r\n") - set(layout.delimiter))
    strict_until = 0
    for line in lines:
        if line is None:
            return
        data = line.data
        if line.is_too_long:
            yield _Entry(line.number, line.offset, data, Fault(RejectCode.ROW_TOO_LARGE))
        elif b'"' not in data:
            if data.strip(blanks):
                raw = data.removesuffix(b"\n").removesuffix(b"\r")
                yield _Entry(line.number, line.offset, raw)
            else:
                tally.blank_lines += 1
        else:
            entry, last = _quoted_entry(line, lines, layout, tally, line.number <= strict_until)
            strict_until = max(strict_until, last)
            yield entry


def _quoted_entry(
    first: _Line, lines: _Lines, layout: _Layout, tally: Tally, is_strict: bool
) -> tuple[_Entry, int]:
    """Return the record that begins on a line with quotes, and the number of the last line looked
    at for the end of a cell.
    """
    parts = [first]
    state, _ = _quotes(first.data, layout.delimiter, is_inside=False)
    kept = 1  # lines up to the one with the last opening quote
    size_bytes = len(first.data)
    is_at_end = False
    while state is _Quotes.OPEN:
        more = lines.find_next()
        is_at_end = more is None
        if more is None:
            break
        parts.append(more)
        size_bytes += len(more.data)
        if more.is_too_long or size_bytes > MAX_RECORD_BYTES:
            break
        state, opens = _quotes(more.data, layout.delimiter, is_inside=True)
        kept = len(parts) if opens else kept
    if state is _Quotes.CLOSED and len(parts) > _TWO_LINES and kept == 1 and layout.columns > 1:
        state = _reconsidered(parts, layout, tally)
    fault = None
    if state is not _Quotes.CLOSED:
        covered = len(parts) - kept + 1
        is_torn = is_at_end and covered == 1 and not parts[-1].data.endswith((b"\n", b"\r"))
        fault = _quote_fault(state, covered, is_torn=is_torn)
        lines.put_back(parts[kept:])
    joined = b"".join(part.data for part in (parts if fault is None else parts[:kept]))
    raw = joined.removesuffix(b"\n").removesuffix(b"\r")
    entry = _Entry(first.number, first.offset, raw, fault, is_strict)
    return entry, parts[-1].number if state is _Quotes.BROKEN else 0


def _reconsidered(parts: list[_Line], layout: _Layout, tally: Tally) -> _Quotes:
    """Return BROKEN where many rows became one cell, because a quote was closed by another cell's.

    A record that fits the header stays one cell; where each of its lines fits as well, and it is
    no table that begins or ends with its cell, that is noted.
    """
    inner = parts[1:-1]
    if not layout.are_rows(inner):
        return _Quotes.CLOSED
    raw = b"".join(part.data for part in parts).removesuffix(b"\n").removesuffix(b"\r")
    if not layout.divides(raw):
        return _Quotes.BROKEN
    first, last = parts[0].data, parts[-1].data
    is_by_lines = first.startswith(b'"') and not last.startswith(b'"') and layout.are_rows(parts)
    if is_by_lines and len(inner) >= _FEW_LINES:
        tally.suspects.append((parts[0].number, len(parts)))
    return _Quotes.CLOSED


def _quote_fault(state: _Quotes, covered: int, *, is_torn: bool) -> Fault:
    if is_torn:
        return Fault(RejectCode.TRUNCATED_LAST_LINE, "an unclosed quote")
    if covered > 1:
        detail = f"an unclosed quote, which would cover {covered} lines; read on at the next line"
        return Fault(RejectCode.PARSE_ERROR, detail)
    where = "an unclosed quote" if state is _Quotes.OPEN else "text after a closing quote"
    return Fault(RejectCode.PARSE_ERROR, where)


def _quotes(data: bytes, delimiter: bytes, *, is_inside: bool) -> tuple[_Quotes, bool]:
    """Return where the quotes of a line lead, and whether the last quoted cell begins on it."""
    at = 0
    opens = False
    while at < len(data):
        if not is_inside and data[at : at + 1] == b'"':
            is_inside = opens = True
            at += 1
        if is_inside:
            at = _after_quoted(data, at)
            if at < 0:
                return _Quotes.OPEN, opens
            if data[at : at + 1] not in (delimiter, b"\n", b"") and data[at:] not in (
                b"\r\n",
                b"\r",
            ):
                return _Quotes.BROKEN, opens
            is_inside = False
        at = data.find(delimiter, at) + 1 or len(data)
    return (_Quotes.OPEN if is_inside else _Quotes.CLOSED), opens


def _after_quoted(chunk: bytes, at: int) -> int:
    """Return the index after the closing quote of a quoted cell, -1 if it stays open."""
    while (quote := chunk.find(b'"', at)) >= 0:
        if chunk[quote + 1 : quote + 2] != b'"':
            return quote + 1
        at = quote + 2
    return -1


def _cells(raw: bytes, delimiter: bytes, *, is_strict: bool = False) -> list[bytes] | None:
    """Return the cells of a record, None where it is not certain where they begin and end.

    is_strict: no quote inside a cell that does not begin with one.
    """
    if b'"' not in raw:
        return raw.split(delimiter)
    cells = []
    at = 0
    while True:
        if raw[at : at + 1] == b'"':
            match = _QUOTED.match(raw, at)
            if match is None:
                return None
            cells.append(match[1].replace(b'""', b'"'))
            at = match.end()
        else:
            end = raw.find(delimiter, at)
            cell = raw[at:] if end < 0 else raw[at:end]
            if b'"' in cell and (is_strict or cell.lstrip().startswith(b'"')):
                return None
            cells.append(cell)
            at += len(cell)
        if at == len(raw):
            return cells
        if raw[at : at + 1] != delimiter:
            return None
        at += 1


def _header(entry: _Entry, delimiter: bytes) -> list[str]:
    """Return a name for every column, an empty one for a first or last ones that are left out."""
    cells = None if entry.fault else _cells(entry.raw, delimiter)
    try:
        names = [cell.decode().strip() for cell in cells or ()]
    except UnicodeDecodeError as error:
        raise SourceError(
            "the header line is not UTF-8",
            code=FindingCode.ENCODING_UNSUPPORTED,
            found=f"byte {error.start} of the header",
            remedy="save the file as UTF-8",
            line=entry.line,
        ) from error
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    named = len(names) - len(list(takewhile(_is_empty, reversed(names))))
    if not named or "" in names[1:named] or repeated:
        raise SourceError(
            "the header line does not name every column once",
            code=FindingCode.DUPLICATE_COLUMN,
            found=f'"{repeated[0]}" twice' if repeated else "an empty or malformed name",
            remedy="give every column a name of its own in the first line",
            line=entry.line,
        )
    return names


def _is_empty(text: object) -> bool:
    return not text


def _records(entry: _Entry, delimiter: bytes, header: list[str]) -> Iterator[Record]:
    """Yield the record of an entry, or those between lone carriage returns if each fits alone."""
    record = _record(entry, delimiter, header)
    if record.fault is None or b"\r" not in entry.raw or entry.fault is not None:
        yield record
        return
    pieces: list[Record] = []
    offset = entry.offset
    for raw in entry.raw.split(b"\r"):
        if raw:
            piece = _Entry(entry.line, offset, raw, None, entry.is_strict)
            pieces.append(_record(piece, delimiter, header))
        offset += len(raw) + 1
    if all(piece.fault is None for piece in pieces):
        yield from pieces
    else:
        yield record._replace(lost_rows=max(1, len(pieces)))


def _record(entry: _Entry, delimiter: bytes, header: list[str]) -> Record:
    line, offset, raw, fault, is_strict = entry
    cells = None
    if fault is None and len(raw) > MAX_RECORD_BYTES:
        fault = Fault(RejectCode.ROW_TOO_LARGE)
    elif fault is None and (cells := _cells(raw, delimiter, is_strict=is_strict)) is None:
        fault = Fault(RejectCode.PARSE_ERROR, "quotes")
    elif cells is not None and len(cells) != len(header):
        detail = f"{len(cells)} cells, {len(header)} columns"
        fault = Fault(RejectCode.COLUMN_COUNT_MISMATCH, detail)
    elif cells is not None and not header[-1]:
        header, cells, fault = _without_end(header, cells)
    if fault is not None or cells is None:
        return Record(line, offset, raw, None, fault)
    if not header[0]:
        cells, header = cells[1:], header[1:]
    if b"\0" in raw:
        return _decoded(line, offset, raw, header, cells)
    try:
        values = [cell.decode() for cell in cells]
    except UnicodeDecodeError:
        return _decoded(line, offset, raw, header, cells)
    return Record(line, offset, raw, dict(zip(header, values, strict=True)), None)


def _without_end(
    header: list[str], cells: list[bytes]
) -> tuple[list[str], list[bytes], Fault | None]:
    """Return names and cells without the last ones that have no name, which have to be empty."""
    named = len(header) - len(list(takewhile(_is_empty, reversed(header))))
    if any(cell.strip() for cell in cells[named:]):
        detail = f"{len(cells)} cells, {named} columns"
        return header, cells, Fault(RejectCode.COLUMN_COUNT_MISMATCH, detail)
    return header[:named], cells[:named], None


def _decoded(line: int, offset: int, raw: bytes, header: list[str], cells: list[bytes]) -> Record:
    """Return a record of which some cells cannot be read."""
    value: dict[str, str | None] = {}
    faults: dict[str, Fault] = {}
    for name, cell in zip(header, cells, strict=True):
        value[name] = None
        if b"\0" in cell:
            faults[name] = Fault(RejectCode.CONTROL_CHARACTER, "NUL")
            continue
        try:
            value[name] = cell.decode()
        except UnicodeDecodeError as error:
            faults[name] = Fault(RejectCode.INVALID_UNICODE, f"byte {error.start} of a cell")
    return Record(line, offset, raw, value, None, cell_faults=faults)
