"""A record's bytes into a row, or the code of what is wrong with them."""

from brewslm.rows.record import MAX_RECORD_BYTES, Fault, Record
from brewslm.rows.rejects import RejectCode
from brewslm.strict_json import StrictJsonError, parse_strict


def parse_object(line: int, byte_offset: int, raw: bytes, *, is_unterminated: bool) -> Record:
    """Return the record of one JSON object; `is_unterminated` says that its line has no end."""
    if len(raw) > MAX_RECORD_BYTES:
        return Record(line, byte_offset, raw, None, Fault(RejectCode.ROW_TOO_LARGE))
    try:
        value = parse_strict(raw, require_object=True)
    except StrictJsonError as error:
        is_torn = is_unterminated and error.is_cut_off
        code = RejectCode.TRUNCATED_LAST_LINE if is_torn else RejectCode(error.code)
        return Record(line, byte_offset, raw, None, Fault(code, error.found))
    return Record(line, byte_offset, raw, value, None)
