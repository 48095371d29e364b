"""One JSON object per line, split at line feeds only; also `.ndjson`, and arrays of objects."""

import hashlib
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from brewslm.diagnostics import FindingCode
from brewslm.rows._json_array import read_array
from brewslm.rows.parse import parse_object
from brewslm.rows.record import MAX_RECORD_BYTES, Fault, Record
from brewslm.rows.rejects import RejectCode
from brewslm.rows.source import UTF8_MARK, Chunk, Source, SourceError, Tally, head_of

MAX_ARRAY_BYTES = 512 << 20
_BLANKS = b" \t\r"
_ARRAY_START = re.compile(rb"\[[ \t\r]*+\{")
_OBJECT = re.compile(rb"[ \t\r\n]*+\{")
_KEPT_BYTES = 64 << 10


def _read(stream: BinaryIO, tally: Tally) -> Iterator[Record]:
    head = head_of(stream)
    if not _holds_array(head):
        _check_lines(head)
        return read_lines(stream, tally)
    data = stream.read(MAX_ARRAY_BYTES + 1)
    if len(data) > MAX_ARRAY_BYTES:
        raise SourceError(
            "the file holds one array, which is too large to be read as a whole",
            code=FindingCode.FILE_TOO_LARGE,
            found=f"more than {MAX_ARRAY_BYTES} bytes",
            expected="one object per line",
            remedy="write one object per line, for instance by: jq -c '.[]'",
        )
    return read_array(data, tally)


def read_lines(stream: BinaryIO, tally: Tally) -> Iterator[Record]:
    """Yield the records of the lines of a file."""
    return _records(stream, tally, 0, 0)


def _holds_array(head: bytes) -> bool:
    """Return whether a file is one array of objects, and not a list in each of several lines."""
    first, _, rest = head.removeprefix(UTF8_MARK).lstrip(b" \t\r\n").partition(b"\n")
    if _ARRAY_START.match(first) is None and not (first.strip() == b"[" and _OBJECT.match(rest)):
        return False
    return not (first.rstrip().endswith(b"]") and rest.strip())


def _check_lines(head: bytes) -> None:
    """Refuse objects that are written over several lines. Raises: SourceError."""
    first, _, rest = head.removeprefix(UTF8_MARK).lstrip(b" \t\r\n").partition(b"\n")
    if first.strip() == b"{" and rest.lstrip(b" \t\r\n").startswith((b'"', b"}")):
        raise SourceError(
            "the file does not hold one object per line",
            code=FindingCode.SOURCE_STRUCTURE,
            found="an object over several lines",
            expected="one object per line",
            remedy="write one object per line, for instance by: jq -c .; or, if the file is one"
            ' object with the array "data", write json: in place of jsonl: in the locator',
            line=1,
        )


def _must_read_whole(head: bytes) -> bool:
    _check_lines(head)
    return _holds_array(head)


def _read_chunk(chunk: Chunk, tally: Tally) -> Iterator[Record]:
    return _records(io.BytesIO(chunk.data), tally, chunk.lines_before, chunk.bytes_before)


def _records(stream: BinaryIO, tally: Tally, line: int, offset: int) -> Iterator[Record]:
    """Yield the records of a stream that begins after `line` lines and `offset` bytes."""
    while chunk := stream.readline(MAX_RECORD_BYTES + 2):
        line += 1
        start = offset
        offset += len(chunk)
        if line == 1 and chunk.startswith(UTF8_MARK):
            tally.byte_order_marks += 1
            chunk = chunk[len(UTF8_MARK) :]
            start += len(UTF8_MARK)
        is_unterminated = not chunk.endswith(b"\n")
        if is_unterminated and len(chunk) > MAX_RECORD_BYTES:
            skipped_bytes, digest = _skip_line(stream, chunk)
            offset += skipped_bytes
            fault = Fault(RejectCode.ROW_TOO_LARGE, f"{offset - start} bytes")
            yield Record(line, start, chunk[:_KEPT_BYTES], None, fault, digest)
            continue
        raw = chunk.removesuffix(b"\n").removesuffix(b"\r")
        if not raw.strip(_BLANKS):
            tally.blank_lines += 1
            continue
        record = parse_object(line, start, raw, is_unterminated=is_unterminated)
        if record.fault is None or b"\r" not in raw:
            yield record
        else:
            yield from _between_returns(record)


def _between_returns(record: Record) -> Iterator[Record]:
    """Yield the objects between lone carriage returns if each can be read alone, else the fault."""
    pieces: list[Record] = []
    offset = record.byte_offset or 0
    for raw in record.raw.split(b"\r"):
        if raw.strip(_BLANKS):
            pieces.append(parse_object(record.line, offset, raw, is_unterminated=False))
        offset += len(raw) + 1
    yield from pieces if all(piece.fault is None for piece in pieces) else [record]


def _skip_line(stream: BinaryIO, start: bytes) -> tuple[int, str]:
    """Read on to the next line feed without keeping it; return bytes skipped and the digest."""
    sha256 = hashlib.sha256(start)
    skipped_bytes = 0
    while chunk := stream.readline(MAX_RECORD_BYTES):
        skipped_bytes += len(chunk)
        sha256.update(chunk.removesuffix(b"\n"))
        if chunk.endswith(b"\n"):
            break
    return skipped_bytes, sha256.hexdigest()


SOURCE = Source(
    "jsonl",
    _read,
    (".jsonl", ".ndjson"),
    read_chunk=_read_chunk,
    must_read_whole=_must_read_whole,
    sample=b'{"text": "one", "label": "a"}\n{"text": "two"}\n',
)
