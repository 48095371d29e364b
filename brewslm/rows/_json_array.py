"""The rows of a JSON array, or of the array "data" of an object, each by the strict parser.

A file that is not one such array is an error as a whole, which names the place; nothing that could
hold rows is passed over.
"""

import re
from collections.abc import Generator, Iterator

from brewslm.diagnostics import FindingCode
from brewslm.rows.parse import parse_object
from brewslm.rows.record import Fault, Record
from brewslm.rows.rejects import RejectCode
from brewslm.rows.source import UTF8_MARK, SourceError, Tally
from brewslm.strict_json import JsonFault, StrictJsonError, parse_strict

_ROWS_KEY = b'"data"'
_BLANKS = re.compile(rb"[ \t\r\n]*+")
_STRING = rb'"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"'
"""Ends on its line, as every well-formed one does; one without an end costs no further line."""
_TOKEN = re.compile(_STRING + rb"|[\[\]{},]", re.DOTALL)
_KEY = re.compile(rb"[ \t\r\n]*+(" + _STRING + rb")[ \t\r\n]*+:[ \t\r\n]*+", re.DOTALL)
_KEPT_BYTES = 64 << 10
_SHOWN_KEYS = 8


def read_array(data: bytes, tally: Tally) -> Iterator[Record]:
    """Yield the records of a whole file.

    Raises: SourceError where it does not hold one array of rows.
    """
    at = 0
    if data.startswith(UTF8_MARK):
        tally.byte_order_marks += 1
        at = len(UTF8_MARK)
    start = _after_blanks(data, at)
    opening = data[start : start + 1]
    if opening == b"[":
        end = yield from _elements(data, start + 1)
        if end is not None:
            _check_end(data, end)
    elif opening == b"{":
        yield from _wrapped(data, start + 1)
    elif opening:
        raise _no_array(data, start, "something else")


def _wrapped(data: bytes, at: int) -> Iterator[Record]:
    """Yield the rows of an object that holds them as "data", before, between or after other keys.

    at: behind the opening bracket of the object.
    """
    keys: list[str] = []
    start = at
    has_rows = False
    while key := _KEY.match(data, at):
        keys.append(key[1].decode(errors="replace"))
        if key[1] == _ROWS_KEY and data[key.end() : key.end() + 1] == b"[":
            if has_rows:
                raise _no_array(data, key.start(1), 'a second "data"')
            has_rows = True
            end = yield from _elements(data, key.end() + 1)
            if end is None:
                return
            at = _after_blanks(data, end)
        else:
            at = _value_end(data, key.end(), b"}")
        if data[at : at + 1] == b"}":
            break
        at += 1
    if not has_rows:
        shown = ", ".join(keys[:_SHOWN_KEYS])
        raise _no_array(data, start, f"an object with {shown}" if keys else "an object")
    if data[at : at + 1] != b"}":
        raise _no_array(data, at, "an object without an end, or with something that is no key")
    _check_end(data, at + 1)


def _elements(data: bytes, at: int) -> Generator[Record, None, int | None]:
    """Yield the elements from `at` on; return where the array ends, None where it has no end.

    A reject counts the rows that it may hold, where it was not certain how to divide them.
    """
    begin = at
    line = 1 + data.count(b"\n", 0, at)
    rows = 0
    while True:
        start = _after_blanks(data, at)
        line += data.count(b"\n", at, start)
        end = _value_end(data, start, b"]")
        if not rows and data[start:end] == b"" and data[end : end + 1] == b"]":
            return end + 1
        if end == len(data):
            lost = _rows_in(end - start, start - begin, rows)
            fault = Fault(
                RejectCode.TRUNCATED_LAST_LINE, f"the array has no end; {end - start} bytes"
            )
            raw = data[start : start + _KEPT_BYTES]
            yield Record(line, start, raw, None, fault, lost_rows=lost)
            return None
        raw = data[start:end].rstrip(b" \t\r\n")
        record = parse_object(line, start, raw, is_unterminated=False)
        if record.fault is not None and not _is_json(raw):
            record = record._replace(lost_rows=_rows_in(end - start, start - begin, rows))
        yield record
        rows += 1
        line += data.count(b"\n", start, end)
        if data[end : end + 1] == b"]":
            return end + 1
        at = end + 1


def _rows_in(size_bytes: int, bytes_before: int, rows_before: int) -> int:
    """Return how many rows so many bytes may hold, at least one."""
    row_bytes = bytes_before / rows_before if rows_before else size_bytes
    return max(1, round(size_bytes / max(1, row_bytes)))


def _is_json(raw: bytes) -> bool:
    try:
        parse_strict(raw, require_object=False)
    except StrictJsonError as error:
        return error.code != JsonFault.PARSE_ERROR
    return True


def _value_end(data: bytes, start: int, closing: bytes) -> int:
    """Return the index of the comma or bracket after a value, the size where there is none."""
    depth = 0
    for match in _TOKEN.finditer(data, start):
        token = match[0]
        if token in (b"[", b"{"):
            depth += 1
        elif depth and token in (b"]", b"}"):
            depth -= 1
        elif not depth and token in (b",", closing):
            return match.start()
    return len(data)


def _after_blanks(data: bytes, at: int) -> int:
    match = _BLANKS.match(data, at)
    return match.end() if match else at


def _check_end(data: bytes, at: int) -> None:
    """Refuse text after the end. Raises: SourceError."""
    at = _after_blanks(data, at)
    if at < len(data):
        raise _text_after(data, at)


def _text_after(data: bytes, at: int) -> SourceError:
    return SourceError(
        "the file goes on after the end of its JSON",
        code=FindingCode.SOURCE_STRUCTURE,
        found=f"{len(data) - at} bytes after the end, from byte {at} on",
        expected='one array of objects, or one object with the array "data"',
        remedy="put all rows into one array, or write one object per line and name the file .jsonl",
        line=1 + data.count(b"\n", 0, at),
    )


def _no_array(data: bytes, at: int, found: str) -> SourceError:
    return SourceError(
        "the file does not hold one array of rows",
        code=FindingCode.SOURCE_STRUCTURE,
        found=found,
        expected='an array of objects, or an object with the array "data"',
        remedy='put the rows into one array, name their array "data", or write one object per line'
        " and name the file .jsonl",
        line=1 + data.count(b"\n", 0, at),
    )
