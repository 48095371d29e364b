"""Delimited text by RFC 4180: quoting, a header line, every value a string.

The delimiter is one byte, so splitting bytes and decoding each record afterwards is exact.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from brewslm.diagnostics import FindingCode
from brewslm.rows.record import MAX_RECORD_BYTES, Fault, Record
from brewslm.rows.rejects import RejectCode
from brewslm.rows.source import UTF8_MARK, Read, SourceError, Tally

_QUOTED = re.compile(rb'"((?:[^"]|"")*+)"')


def delimited_reader(delimiter: bytes) -> Read:
    """Return the reader of files whose cells are separated by `delimiter`."""

    def read(stream: BinaryIO, tally: Tally) -> Iterator[Record]:
        header: list[str] | None = None
        for line, offset, raw, is_unterminated in _logical_records(stream, delimiter, tally):
            if header is None:
                header = _header(raw, delimiter, line)
                tally.columns.update(dict.fromkeys(header))
            else:
                yield _record(line, offset, raw, delimiter, header, is_unterminated)

    return read


def _logical_records(
    stream: BinaryIO, delimiter: bytes, tally: Tally
) -> Iterator[tuple[int, int, bytes, bool]]:
    """Yield first line, byte offset, bytes and whether the line end is missing.

    A record goes on over line ends inside quotes, up to the size limit.
    """
    line, offset = 0, 0
    while chunk := stream.readline(MAX_RECORD_BYTES + 2):
        line += 1
        first_line, start = line, offset
        offset += len(chunk)
        if line == 1 and chunk.startswith(UTF8_MARK):
            tally.byte_order_marks += 1
            chunk = chunk[len(UTF8_MARK) :]
            start += len(UTF8_MARK)
        parts = [chunk]
        size_bytes = len(chunk)
        is_open = _is_open(chunk, delimiter, is_open=False)
        while (is_open or not parts[-1].endswith(b"\n")) and size_bytes <= MAX_RECORD_BYTES + 1:
            more = stream.readline(MAX_RECORD_BYTES + 2)
            if not more:
                break
            parts.append(more)
            size_bytes += len(more)
            offset += len(more)
            line += more.endswith(b"\n")
            is_open = _is_open(more, delimiter, is_open=is_open)
        while not parts[-1].endswith(b"\n") and size_bytes > MAX_RECORD_BYTES:
            more = stream.readline(MAX_RECORD_BYTES)
            if not more:
                break
            offset += len(more)
            parts[-1] = more
        joined = b"".join(parts)
        raw = joined.removesuffix(b"\n").removesuffix(b"\r")
        if raw.strip(b" \t\r" if delimiter != b"\t" else b" \r"):
            yield first_line, start, raw, not joined.endswith(b"\n")
        else:
            tally.blank_lines += 1


def _is_open(chunk: bytes, delimiter: bytes, *, is_open: bool) -> bool:
    """Return whether a quoted cell goes on after this physical line."""
    if b'"' not in chunk:
        return is_open
    at = 0
    if is_open:
        at = _after_quoted(chunk, 0)
        if at < 0:
            return True
        at = chunk.find(delimiter, at) + 1 or len(chunk)
    while at < len(chunk):
        if chunk[at : at + 1] == b'"':
            at = _after_quoted(chunk, at + 1)
            if at < 0:
                return True
        at = chunk.find(delimiter, at) + 1 or len(chunk)
    return False


def _after_quoted(chunk: bytes, at: int) -> int:
    """Return the index after the closing quote of a quoted cell, -1 if it stays open."""
    while (quote := chunk.find(b'"', at)) >= 0:
        if chunk[quote + 1 : quote + 2] != b'"':
            return quote + 1
        at = quote + 2
    return -1


def _cells(raw: bytes, delimiter: bytes) -> list[bytes] | None:
    """Return the cells of a record, None where quotes stand where none may."""
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
            if b'"' in cell:
                return None
            cells.append(cell)
            at += len(cell)
        if at == len(raw):
            return cells
        if raw[at : at + 1] != delimiter:
            return None
        at += 1


def _header(raw: bytes, delimiter: bytes, line: int) -> list[str]:
    cells = _cells(raw, delimiter)
    try:
        names = [cell.decode() for cell in cells or ()]
    except UnicodeDecodeError as error:
        raise SourceError(
            "the header line is not UTF-8",
            code=FindingCode.ENCODING_UNSUPPORTED,
            found=f"byte {error.start} of the header",
            remedy="save the file as UTF-8",
            line=line,
        ) from error
    repeated = sorted({name for name in names if names.count(name) > 1})
    if not names or "" in names or repeated:
        raise SourceError(
            "the header line does not name every column once",
            code=FindingCode.DUPLICATE_COLUMN,
            found=f'"{repeated[0]}" twice' if repeated else "an empty or malformed name",
            remedy="give every column a name of its own in the first line",
            line=line,
        )
    return names


def _record(
    line: int, offset: int, raw: bytes, delimiter: bytes, header: list[str], is_unterminated: bool
) -> Record:
    fault = None
    cells = None
    if len(raw) > MAX_RECORD_BYTES:
        fault = Fault(RejectCode.ROW_TOO_LARGE)
    elif b"\0" in raw:
        fault = Fault(RejectCode.CONTROL_CHARACTER, "NUL")
    elif (cells := _cells(raw, delimiter)) is None:
        torn = is_unterminated and _is_open(raw, delimiter, is_open=False)
        code = RejectCode.TRUNCATED_LAST_LINE if torn else RejectCode.PARSE_ERROR
        fault = Fault(code, "quotes")
    elif len(cells) != len(header):
        detail = f"{len(cells)} cells, {len(header)} columns"
        fault = Fault(RejectCode.COLUMN_COUNT_MISMATCH, detail)
    if fault is not None or cells is None:
        return Record(line, offset, raw, None, fault)
    try:
        values = [cell.decode() for cell in cells]
    except UnicodeDecodeError as error:
        fault = Fault(RejectCode.INVALID_UNICODE, f"byte {error.start} of a cell")
        return Record(line, offset, raw, None, fault)
    return Record(line, offset, raw, dict(zip(header, values, strict=True)), None)
