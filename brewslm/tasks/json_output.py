"""JSON inside model output: where it is, whether it is exact, and how answers are written."""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from brewslm.strict_json import StrictJsonError, parse_strict
from brewslm.tasks.text_answers import is_refusal

_FENCED = re.compile(r"```[\w+-]*[ \t]*\n?(?P<content>.*?)\n?[ \t]*```", re.DOTALL)
_CLOSING = {"{": "}", "[": "]"}


class JsonReading(Struct, frozen=True):
    """A JSON value found in an output; `is_whole` where nothing surrounds it."""

    value: Any
    is_valid: bool
    is_whole: bool


@lru_cache(maxsize=4)  # an output is scored against several references
def read_json(output: str, mode: str) -> JsonReading:
    """Return the JSON value of an output, in mode first_value or strict.

    A value that stands behind a refusal is not read. The value is shared: nobody changes it.
    """
    text = output.strip()
    try:
        return JsonReading(parse_strict(text, require_object=False), True, True)
    except StrictJsonError:
        if mode == "strict" or is_refusal(text):
            return JsonReading(None, False, False)
    fenced = _FENCED.fullmatch(text)
    content = fenced["content"] if fenced else text
    span = _first_balanced(content)
    try:
        value = parse_strict(content if span is None else span, require_object=False)
    except StrictJsonError:
        return JsonReading(None, False, False)
    return JsonReading(value, True, False)


def write_json(value: Any, schema: Mapping[str, Any] | None) -> str:
    """Return JSON text in schema property order with `, ` and `: `, non-ASCII as it is."""
    return json.dumps(_ordered(value, schema or {}), ensure_ascii=False)


def _ordered(value: Any, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        names = [name for name in properties if name in value]
        names += [name for name in value if name not in properties]
        return {name: _ordered(value[name], _schema_of(properties.get(name))) for name in names}
    if isinstance(value, list):
        return [_ordered(item, _schema_of(schema.get("items"))) for item in value]
    return value


def _schema_of(schema: Any) -> Mapping[str, Any]:
    return schema if isinstance(schema, Mapping) else {}


def _first_balanced(text: str) -> str | None:
    """Return the first object or array from its bracket to the one that closes it.

    Strings and escapes are respected. A bracket that opens prose such as `{see below}` is a
    value that does not parse, never a reason to look for a later one.
    """
    start = min((at for at in (text.find("{"), text.find("[")) if at >= 0), default=-1)
    if start < 0:
        return None
    expected: list[str] = []
    is_string = is_escaped = False
    for index in range(start, len(text)):
        character = text[index]
        if is_string:
            is_string = is_escaped or character != '"'
            is_escaped = character == "\\" and not is_escaped
        elif character == '"':
            is_string = True
        elif character in _CLOSING:
            expected.append(_CLOSING[character])
        elif character in "}]":
            if expected.pop() != character:
                return text[start:]
            if not expected:
                return text[start : index + 1]
    return text[start:]
