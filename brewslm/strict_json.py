"""The one strict JSON reader: for every row of a source and for JSON inside model output.

Decoding is exact or refused: repeated keys, NaN, infinities, numbers that fit neither 64 bits nor
a double, lone surrogates, NUL and nesting beyond 32 levels are errors with a code, never a guess.
Which code an input gets depends on its bytes alone, not on the depth of the calling stack.
"""

import json
import math
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NoReturn

import msgspec

from brewslm.errors import BrewError

MAX_DEPTH = 32
MAX_EXACT_INTEGER = 2**53 - 1
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**63 - 1
_LONGEST_INTEGER = 20

# Linear: possessive repetition never steps back.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")
_DECODER = msgspec.json.Decoder()


class JsonFault(StrEnum):
    """Why a text is refused; the values are reject codes of rows as well."""

    PARSE_ERROR = "parse_error"
    DUPLICATE_KEY = "duplicate_key"
    NOT_AN_OBJECT = "not_an_object"
    NUMBER_NOT_FINITE = "number_not_finite"
    NUMBER_OUT_OF_RANGE = "number_out_of_range"
    INVALID_UNICODE = "invalid_unicode"
    CONTROL_CHARACTER = "control_character"
    NESTING_TOO_DEEP = "nesting_too_deep"


_REMEDIES = {
    JsonFault.PARSE_ERROR: "write one well-formed JSON value",
    JsonFault.DUPLICATE_KEY: "keep one of the two keys",
    JsonFault.NOT_AN_OBJECT: "write an object",
    JsonFault.NUMBER_NOT_FINITE: "write null or text instead of NaN and infinities",
    JsonFault.NUMBER_OUT_OF_RANGE: "quote large ids; write numbers that a double can hold",
    JsonFault.INVALID_UNICODE: "encode the text as UTF-8 without lone surrogates",
    JsonFault.CONTROL_CHARACTER: "remove the NUL character",
    JsonFault.NESTING_TOO_DEEP: f"flatten the value to at most {MAX_DEPTH} levels",
}


class StrictJsonError(BrewError):
    """A text is no JSON value that can be read exactly; `code` is a JsonFault.

    `is_cut_off` is true where the text looks as if its end were missing.
    """

    def __init__(self, fault: JsonFault, detail: str = "", *, is_cut_off: bool = False) -> None:
        """detail: what was seen, never text of the row."""
        super().__init__(
            f"not strict JSON: {fault}", code=fault, remedy=_REMEDIES[fault], found=detail
        )
        self.is_cut_off = is_cut_off


def parse_strict(text: bytes | str, *, require_object: bool, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of one JSON text, blanks around it allowed.

    max_depth: levels of nesting; documents that hold other documents are deeper than a row.

    Raises: StrictJsonError.
    """
    raw = _utf8(text) if isinstance(text, str) else text
    try:
        value = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        _raise_fault(raw, max_depth)
    if b"\\u0000" in raw:
        _check_no_nul(value)
    if require_object and type(value) is not dict:
        raise StrictJsonError(JsonFault.NOT_AN_OBJECT, f"a {json_type(value)}")
    keys, has_zero_float = _survey(value, max_depth)
    if has_zero_float:
        _reread(raw)
    if raw.count(b":") != keys and _STRING.sub(b"", raw).count(b":") != keys:
        raise StrictJsonError(JsonFault.DUPLICATE_KEY)
    return value


def json_type(value: Any) -> str:
    """Return the JSON name of a value's type."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise StrictJsonError(JsonFault.INVALID_UNICODE, "a lone surrogate") from error


def _survey(value: Any, max_depth: int) -> tuple[int, bool]:
    """Return the number of keys at all depths and whether a float is zero; check numbers, depth."""
    keys, has_zero_float = 0, False
    level: list[Any] = [value]
    depth = 0
    while level:
        inner: list[Any] = []
        is_nested = False
        for item in level:
            kind = type(item)
            if kind is str:
                continue
            if kind is dict:
                is_nested = True
                keys += len(item)
                inner.extend(item.values())
            elif kind is list:
                is_nested = True
                inner.extend(item)
            elif kind is int:
                if not _MIN_INTEGER <= item <= _MAX_INTEGER:
                    raise StrictJsonError(JsonFault.NUMBER_OUT_OF_RANGE, "more than 64 bits")
            elif kind is float and item == 0.0:
                has_zero_float = True
        depth += is_nested
        if depth > max_depth:
            raise StrictJsonError(JsonFault.NESTING_TOO_DEEP)
        level = inner
    return keys, has_zero_float


def _check_no_nul(value: Any) -> None:
    level: list[Any] = [value]
    while level:
        item = level.pop()
        if isinstance(item, str) and "\0" in item:
            raise StrictJsonError(JsonFault.CONTROL_CHARACTER, "NUL")
        if isinstance(item, dict):
            level.extend(item)
            level.extend(item.values())
        elif isinstance(item, list):
            level.extend(item)


def _raise_fault(raw: bytes, max_depth: int) -> NoReturn:
    """Name the fault of a text that the fast decoder refused."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        is_cut_off = error.end == len(raw) and error.reason == "unexpected end of data"
        raise StrictJsonError(
            JsonFault.INVALID_UNICODE, f"byte {error.start}", is_cut_off=is_cut_off
        ) from error
    if _depth(raw) > max_depth:
        raise StrictJsonError(JsonFault.NESTING_TOO_DEEP)
    value = _reread(raw)
    if _has_surrogate(value):
        raise StrictJsonError(JsonFault.INVALID_UNICODE, "a lone surrogate")
    raise StrictJsonError(JsonFault.PARSE_ERROR)


def _reread(raw: bytes) -> Any:
    """Read with the standard library, each number checked as text."""
    try:
        return json.loads(
            raw.decode(),
            parse_constant=_refuse_constant,
            parse_float=_exact_float,
            parse_int=_exact_integer,
        )
    except json.JSONDecodeError as error:
        raise StrictJsonError(
            JsonFault.PARSE_ERROR, f"character {error.pos}", is_cut_off=True
        ) from error


def _refuse_constant(text: str) -> NoReturn:
    raise StrictJsonError(JsonFault.NUMBER_NOT_FINITE, text)


def _exact_float(text: str) -> float:
    number = float(text)
    mantissa = text.lower().partition("e")[0]
    if math.isinf(number) or (number == 0.0 and mantissa.strip("-0.")):
        raise StrictJsonError(JsonFault.NUMBER_OUT_OF_RANGE, "beyond a double")
    return number


def _exact_integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER or not _MIN_INTEGER <= int(text) <= _MAX_INTEGER:
        raise StrictJsonError(JsonFault.NUMBER_OUT_OF_RANGE, "more than 64 bits")
    return int(text)


def _depth(raw: bytes) -> int:
    depth = deepest = 0
    for match in _BRACKETS.finditer(_STRING.sub(b"", raw)):
        depth += 1 if match[0] in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _has_surrogate(value: Any) -> bool:
    return any(
        any("\ud800" <= character <= "\udfff" for character in text) for text in _texts(value)
    )


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
