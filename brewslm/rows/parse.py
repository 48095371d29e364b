"""A record's bytes into a row, or the code of what is wrong with them."""

import re
from typing import Any

from brewslm.rows.record import MAX_RECORD_BYTES, Fault, Record
from brewslm.rows.rejects import RejectCode
from brewslm.strict_json import MAX_DEPTH, JsonFault, StrictJsonError, parse_strict

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},]', re.DOTALL)
_MEMBER = re.compile(rb'[ \t\r\n]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\r\n]*+:(.*)', re.DOTALL)


def parse_object(line: int, byte_offset: int, raw: bytes, *, is_unterminated: bool) -> Record:
    """Return the record of one JSON object; `is_unterminated` says that its line has no end.

    Where only some of its values cannot be read exactly they are faults of their columns.
    """
    if len(raw) > MAX_RECORD_BYTES:
        return Record(line, byte_offset, raw, None, Fault(RejectCode.ROW_TOO_LARGE))
    try:
        value = parse_strict(raw, require_object=True)
    except StrictJsonError as error:
        if found := _find_values(raw):
            return Record(line, byte_offset, raw, found[0], None, cell_faults=found[1])
        is_torn = is_unterminated and error.is_cut_off
        code = RejectCode.TRUNCATED_LAST_LINE if is_torn else RejectCode(error.code)
        fault = Fault(code, error.found)
        return Record(line, byte_offset, raw, None, fault, lost_rows=_objects_in(raw))
    return Record(line, byte_offset, raw, value, None)


def _objects_in(raw: bytes) -> int:
    """Return how many objects follow each other, at least one."""
    depth = objects = 0
    for match in _TOKEN.finditer(raw):
        token = match[0]
        if token in (b"{", b"["):
            objects += token == b"{" and not depth
            depth += 1
        elif depth and token in (b"}", b"]"):
            depth -= 1
    return max(1, objects)


def _find_values(raw: bytes) -> tuple[dict[str, Any], dict[str, Fault]] | None:
    """Return what can be read of a well-formed object and the faults of the rest, None for others.

    A key that is there twice is a fault of its column.
    """
    value: dict[str, Any] = {}
    faults: dict[str, Fault] = {}
    for member in _members(raw) or ():
        match = _MEMBER.fullmatch(member)
        if match is None:
            return None
        try:
            key = parse_strict(match[1], require_object=False)
        except StrictJsonError:
            return None
        if key in value:
            faults[key] = Fault(RejectCode.DUPLICATE_KEY)
            value[key] = None
            continue
        try:
            value[key] = parse_strict(match[2], require_object=False, max_depth=MAX_DEPTH - 1)
        except StrictJsonError as error:
            if error.code == JsonFault.PARSE_ERROR:
                return None
            faults[key] = Fault(RejectCode(error.code), error.found)
            value[key] = None
    return (value, faults) if faults else None


def _members(raw: bytes) -> list[bytes] | None:
    """Return the members of an object as text, None where brackets do not match."""
    text = raw.strip(b" \t\r\n")
    members = []
    depth = start = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in (b"{", b"["):
            depth += 1
            start = match.end() if depth == 1 else start
        elif token in (b"}", b"]"):
            depth -= 1
        if (token, depth) in ((b",", 1), (b"}", 0)):
            members.append(text[start : match.start()])
            start = match.end()
            if not depth:
                return members if text.startswith(b"{") and start == len(text) else None
    return None
