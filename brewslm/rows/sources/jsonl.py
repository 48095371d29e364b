"""One JSON object a line, split at line feeds only; also `.ndjson`."""

import hashlib
import io
from collections.abc import Iterator
from typing import BinaryIO

from brewslm.rows.parse import parse_object
from brewslm.rows.record import MAX_RECORD_BYTES, Fault, Record
from brewslm.rows.rejects import RejectCode
from brewslm.rows.source import UTF8_MARK, Chunk, Source, Tally

_BLANKS = b" \t\r"
_KEPT_BYTES = 64 << 10


def _read(stream: BinaryIO, tally: Tally) -> Iterator[Record]:
    return _records(stream, tally, 0, 0)


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
        yield parse_object(line, start, raw, is_unterminated=is_unterminated)


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
    read_chunk=_read_chunk,
    sample=b'{"text": "one", "label": "a"}\n{"text": "two"}\n',
)
