"""A JSON array of objects, or an object with the array "data"; also objects that stand in lines.

A file that holds an array is kept in memory while its elements are read, so its size has a limit of
its own; JSON lines stream.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO

from brewslm.rows._json_array import read_array
from brewslm.rows.record import Record
from brewslm.rows.source import UTF8_MARK, Source, Tally, head_of
from brewslm.rows.sources.jsonl import MAX_ARRAY_BYTES, read_lines

_WHOLE_OBJECT = re.compile(rb"[ \t\r]*+\{.*\}[ \t\r]*+", re.DOTALL)


def _read(stream: BinaryIO, tally: Tally) -> Iterator[Record]:
    if _holds_lines(head_of(stream)):
        return read_lines(stream, tally)
    return read_array(stream.read(), tally)


def _holds_lines(head: bytes) -> bool:
    """Return whether the first line is an object as a whole, and another object follows."""
    first, _, rest = head.removeprefix(UTF8_MARK).lstrip(b" \t\r\n").partition(b"\n")
    is_object = _WHOLE_OBJECT.fullmatch(first) is not None
    return is_object and rest.lstrip(b" \t\r\n").startswith(b"{")


SOURCE = Source(
    "json",
    _read,
    (".json",),
    max_bytes=MAX_ARRAY_BYTES,
    too_large_remedy="write one object per line and name the file .jsonl",
    sample=b'[{"text": "one"},\n {"text": "two"}]',
)
