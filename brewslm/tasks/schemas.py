"""Facts about JSON values under a JSON Schema: validity, equality, leaves."""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs

from brewslm.fingerprint import canonical_json
from brewslm.tasks import normalisers

_FIXED_FORM = ("enum", "const", "format", "pattern")


def is_compliant(value: Any, schema: Mapping[str, Any]) -> bool:
    """Return whether a value satisfies a whole schema of draft 2020-12."""
    return bool(_validator(canonical_json(dict(schema))).is_valid(value))


def value_key(value: Any, schema: Any) -> Hashable:
    """Return a key that two values share when they are equal as answers.

    Objects ignore order; arrays keep it unless the schema says `x-unordered: true`.
    """
    rules = schema if isinstance(schema, Mapping) else {}
    if isinstance(value, Mapping):
        properties = rules.get("properties", {})
        pairs = ((name, value_key(item, properties.get(name))) for name, item in value.items())
        return ("object", frozenset(pairs))
    if isinstance(value, list):
        keys = [value_key(item, rules.get("items")) for item in value]
        if rules.get("x-unordered") is True:
            return ("unordered", frozenset(Counter(keys).items()))
        return ("array", tuple(keys))
    if isinstance(value, str) and is_loose_text(rules):
        return ("text", normalisers.squad(value))
    return normalisers.scalar_key(value)


def is_loose_text(rules: Mapping[str, Any]) -> bool:
    """Return whether a schema asks to compare its strings as answers in words."""
    return rules.get("x-normaliser") == "squad" and not any(name in rules for name in _FIXED_FORM)


def leaves(value: Any, schema: Any, pointer: str = "") -> Iterator[tuple[str, Hashable]]:
    """Yield (JSON pointer, key) of all leaves; places in unordered arrays are all `-`."""
    rules = schema if isinstance(schema, Mapping) else {}
    if isinstance(value, Mapping) and value:
        properties = rules.get("properties", {})
        for name, item in value.items():
            token = name.replace("~", "~0").replace("/", "~1")
            yield from leaves(item, properties.get(name), f"{pointer}/{token}")
    elif isinstance(value, list) and value:
        is_unordered = rules.get("x-unordered") is True
        for index, item in enumerate(value):
            place = "-" if is_unordered else str(index)
            yield from leaves(item, rules.get("items"), f"{pointer}/{place}")
    else:
        yield pointer, value_key(value, rules)


def has_enum_violation(value: Any, schema: Any) -> bool:
    """Return whether some value lies outside the enum of its place."""
    if not isinstance(schema, Mapping):
        return False
    if "enum" in schema and value_key(value, {}) not in {
        value_key(allowed, {}) for allowed in schema["enum"]
    }:
        return True
    return any(has_enum_violation(item, rules) for _, item, rules in _inner(value, schema))


def has_extra_field(value: Any, schema: Any) -> bool:
    """Return whether some object has a field that the properties of its place lack."""
    if not isinstance(schema, Mapping):
        return False
    if (
        isinstance(value, Mapping)
        and "properties" in schema
        and value.keys() - schema["properties"]
    ):
        return True
    return any(has_extra_field(item, rules) for _, item, rules in _inner(value, schema))


def _inner(value: Any, schema: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        yield from ((name, value[name], properties[name]) for name in value if name in properties)
    elif isinstance(value, list):
        yield from ((str(at), item, schema.get("items")) for at, item in enumerate(value))


@lru_cache(maxsize=64)
def _validator(schema: bytes) -> Any:
    return jsonschema_rs.Draft202012Validator(schema.decode())
