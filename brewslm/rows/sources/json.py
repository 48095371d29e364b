"""A JSON array of objects, or `{"data": [...]}`; each element goes through the strict parser.

The file is held in memory while its elements are read, so its size has a limit of its own; JSON
lines stream.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from brewslm.rows.parse import parse_object
from brewslm.rows.record import Fault, Record
from brewslm.rows.rejects import RejectCode
from brewslm.rows.source import UTF8_MARK, Source, Tally

_BLANKS = re.compile(rb"[ \t\r\n]*+")
_HEAD = re.compile(rb'[ \t\r\n]*+(?:(\{)[ \t\r\n]*+"data"[ \t\r\n]*+:[ \t\r\n]*+)?+\[')
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},]', re.DOTALL)
_KEPT_BYTES = 64 << 10


def _read(stream: BinaryIO, tally: Tally) -> Iterator[Record]:
    data = stream.read()
    start = 0
    if data.startswith(UTF8_MARK):
        tally.byte_order_marks += 1
        start = len(UTF8_MARK)
    head = _HEAD.match(data, start)
    if head is None:
        if data[start:].strip():
            yield _rest(data, start, 1, RejectCode.NOT_AN_OBJECT, "no array of objects")
        return
    yield from _elements(data, head.end(), b"]}" if head[1] else b"]")


def _elements(data: bytes, at: int, closing: bytes) -> Iterator[Record]:
    """Yield the elements from `at` on; what cannot be divided is one reject."""
    line = 1 + data.count(b"\n", 0, at)
    is_first = True
    while True:
        start = _after_blanks(data, at)
        line += data.count(b"\n", at, start)
        end = _element_end(data, start)
        is_closed = end < len(data)
        raw = data[start:end].rstrip(b" \t\r\n")
        if is_first and not raw and data[end : end + 1] == b"]":
            break
        if not is_closed:
            yield _rest(data, start, line, RejectCode.TRUNCATED_LAST_LINE, "the array has no end")
            return
        yield parse_object(line, start, raw, is_unterminated=False)
        line += data.count(b"\n", start, end)
        if data[end : end + 1] == b"]":
            break
        at = end + 1
        is_first = False
    tail = b"".join(data[end:].split())
    if tail != closing:
        yield _rest(data, end, line, RejectCode.PARSE_ERROR, "text after the array")


def _element_end(data: bytes, start: int) -> int:
    """Return the index of the comma or bracket after an element, the size where there is none."""
    depth = 0
    for match in _TOKEN.finditer(data, start):
        token = match[0]
        if token in (b"[", b"{"):
            depth += 1
        elif depth and token in (b"]", b"}"):
            depth -= 1
        elif not depth and token in (b",", b"]"):
            return match.start()
    return len(data)


def _after_blanks(data: bytes, at: int) -> int:
    match = _BLANKS.match(data, at)
    return match.end() if match else at


def _rest(data: bytes, start: int, line: int, code: RejectCode, detail: str) -> Record:
    return Record(line, start, data[start : start + _KEPT_BYTES], None, Fault(code, detail))


SOURCE = Source(
    "json",
    _read,
    max_bytes=512 << 20,
    too_large_remedy="write one object a line and name the file .jsonl",
    sample=b'[{"text": "one"},\n {"text": "two"}]',
)
