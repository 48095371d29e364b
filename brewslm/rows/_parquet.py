"""Parquet columns as fields; types are kept, timestamps and decimals become exact text.

A value that has no exact JSON form is a fault of its column, so that only a row that needs it is
rejected. Columns of a type that never has one, such as images, are not even decoded.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, BinaryIO

import pyarrow
from pyarrow import parquet

from brewslm.diagnostics import FindingCode
from brewslm.fingerprint import canonical_json
from brewslm.rows.record import MAX_RECORD_BYTES, Fault, Record
from brewslm.rows.rejects import RejectCode, RejectedRow
from brewslm.rows.source import SourceError, Tally
from brewslm.strict_json import MAX_DEPTH

_BATCH_ROWS = 1024
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**63 - 1
_MAX_EXACT_INTEGER = 2**53 - 1
_CONVERSION_ERRORS = (ValueError, OverflowError, KeyError, pyarrow.ArrowException)
"""What pyarrow raises for times beyond year 9999, unknown time zones and broken UTF-8."""


def read_parquet(stream: BinaryIO, tally: Tally) -> Iterator[Record]:
    try:
        file = parquet.ParquetFile(stream)
        names = file.schema_arrow.names
        _check_names(names)
        opaque = {
            field.name: Fault(RejectCode.UNSUPPORTED_VALUE_TYPE, str(field.type)[:80])
            for field in file.schema_arrow
            if not _is_supported(field.type)
        }
        readable = [name for name in names if name not in opaque]
        tally.columns.update(dict.fromkeys(names))
        ordinal = 0
        for batch in file.iter_batches(_BATCH_ROWS, columns=readable or None):
            values = {name: _listed(batch.column(name)) for name in readable}
            for index in range(batch.num_rows):
                ordinal += 1
                yield _record(ordinal, {name: values[name][index] for name in readable}, opaque)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise SourceError(
            "the file is no readable parquet file",
            code=FindingCode.UNREADABLE,
            found=str(error).splitlines()[0][:200],
            remedy="write the file again, or export the rows as JSON lines",
        ) from error


def _check_names(names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1 or not name})
    if repeated:
        raise SourceError(
            "the columns do not have a name each",
            code=FindingCode.DUPLICATE_COLUMN,
            found=f'"{repeated[0]}"',
            remedy="give every column a name of its own",
        )


def _is_supported(kind: Any) -> bool:
    """Return whether values of an Arrow type have an exact JSON form."""
    types = pyarrow.types
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_supported(kind.value_type)
    if types.is_struct(kind):
        return all(_is_supported(kind.field(index).type) for index in range(kind.num_fields))
    if types.is_dictionary(kind):
        return _is_supported(kind.value_type)
    return any(
        is_kind(kind)
        for is_kind in (
            types.is_boolean,
            types.is_integer,
            types.is_floating,
            types.is_decimal,
            types.is_string,
            types.is_large_string,
            types.is_string_view,
            types.is_temporal,
            types.is_null,
        )
    )


def _listed(column: Any) -> list[Any]:
    """Return the values of a column; one that Python cannot hold is a fault."""
    try:
        return list(column.to_pylist())
    except _CONVERSION_ERRORS:
        return [_scalar(item) for item in column]


def _scalar(item: Any) -> Any:
    try:
        return item.as_py()
    except UnicodeDecodeError:
        return Fault(RejectCode.INVALID_UNICODE)
    except _CONVERSION_ERRORS:
        return Fault(RejectCode.NUMBER_OUT_OF_RANGE, f"beyond what {item.type} is read as")


def _record(ordinal: int, row: dict[str, Any], opaque: Mapping[str, Fault]) -> Record:
    """opaque: columns whose values have no exact JSON form; they are not decoded."""
    value: dict[str, Any] = {}
    faults: dict[str, Fault] = {}
    for name, item in row.items():
        if type(item) is Fault:
            faults[name] = item
            continue
        try:
            value[name] = _plain(item, 2)
        except RejectedRow as error:
            faults[name] = Fault(error.code, error.detail)
    raw = canonical_json(_quoted(value))
    if len(raw) > MAX_RECORD_BYTES:
        raw = _without_largest(value, faults)
    if faults:
        raw = canonical_json([_quoted(value), {name: fault.code for name, fault in faults.items()}])
    if not faults and not opaque:
        return Record(ordinal, None, raw, value, None)
    faults |= opaque
    return Record(ordinal, None, raw, value | dict.fromkeys(faults), None, cell_faults=faults)


def _without_largest(value: dict[str, Any], faults: dict[str, Fault]) -> bytes:
    """Take the largest values out of a row until the rest is small enough; return it as JSON."""
    sizes = {name: len(canonical_json(_quoted(item))) for name, item in value.items()}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        faults[name] = Fault(RejectCode.ROW_TOO_LARGE, f"{sizes[name]} bytes in one column")
        del value[name]
        raw = canonical_json(_quoted(value))
        if len(raw) <= MAX_RECORD_BYTES:
            break
    return raw


def _plain(value: Any, depth: int) -> Any:
    """Return the JSON form of a value; times and decimals as text.

    Raises: RejectedRow.
    """
    if depth > MAX_DEPTH + 1:
        raise RejectedRow(RejectCode.NESTING_TOO_DEEP)
    match value:
        case None | bool():
            return value
        case str():
            if "\0" in value:
                raise RejectedRow(RejectCode.CONTROL_CHARACTER, "", "NUL")
            return value
        case int():
            if not _MIN_INTEGER <= value <= _MAX_INTEGER:
                raise RejectedRow(RejectCode.NUMBER_OUT_OF_RANGE, "", "more than 64 bits")
            return value
        case float():
            if not math.isfinite(value):
                raise RejectedRow(RejectCode.NUMBER_NOT_FINITE)
            return value
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal() | timedelta():
            return str(value)
        case list():
            return [_plain(item, depth + 1) for item in value]
        case dict():
            return {name: _plain(item, depth + 1) for name, item in value.items()}
        case _:
            raise RejectedRow(RejectCode.UNSUPPORTED_VALUE_TYPE, "", type(value).__name__)


def _quoted(value: Any) -> Any:
    """Return a value whose integers beyond a double's exact range are text, for the digest."""
    if type(value) is int and not -_MAX_EXACT_INTEGER <= value <= _MAX_EXACT_INTEGER:
        return str(value)
    if type(value) is dict:
        return {name: _quoted(item) for name, item in value.items()}
    if type(value) is list:
        return [_quoted(item) for item in value]
    return value
