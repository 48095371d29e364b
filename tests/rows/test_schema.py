"""Schema verdicts agree with an independent validator."""

import itertools
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.rows.schema import SchemaError, compile_schema, first_violation

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["severity"],
    "properties": {
        "severity": {"enum": ["major", "minor"]},
        "cause": {"$ref": "#/$defs/text"},
        "n": {"type": "integer", "minimum": 0},
    },
    "$defs": {"text": {"type": "string", "maxLength": 3}},
}
VALUES = (
    st.none() | st.sampled_from(["major", "minor", "other"]) | st.integers(-2, 2) | st.floats(0, 2)
)


@given(st.dictionaries(st.sampled_from(["severity", "cause", "n", "more"]), VALUES))
def test_verdicts_are_those_of_jsonschema(value: dict[str, Any]) -> None:
    expected = jsonschema.Draft202012Validator(SCHEMA).is_valid(value)
    assert (first_violation(compile_schema(SCHEMA), value) == "") == expected


@pytest.mark.parametrize(
    "schema",
    [{"type": "nonsense"}, {"$ref": "https://example.org/x.json"}, {"$ref": "#/nowhere"},
     {"pattern": "("}, {"pattern": "(a)\\1"}],
)  # fmt: skip
def test_unusable_schemas_are_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaError) as caught:
        compile_schema(schema)
    assert caught.value.code == "JSON_SCHEMA_INVALID"


def _chain(levels: int, branch: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Return a schema of definitions, each of which refers to the next one in a way."""
    defs = {f"d{at}": branch({"$ref": f"#/$defs/d{at + 1}"}) for at in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{levels}": {"type": "string"}}}


@pytest.mark.parametrize(
    "schema",
    [
        _chain(40, lambda ref: {"anyOf": [ref, ref]}),
        _chain(40, lambda ref: {"not": ref, "if": ref}),
        _chain(40, lambda ref: {"allOf": [{"oneOf": [ref]}, {"dependentSchemas": {"a": ref}}]}),
        _chain(300, lambda ref: {"allOf": [ref]}),
        {"$id": "https://a/b", "$ref": "#x", "$defs": {"x": {"$anchor": "x", "$ref": "b"}}},
        {"$ref": "#"},
        {"allOf": [{"anyOf": [{"$ref": "#"}]}]},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {
            "properties": {"x": {"$ref": "#/$defs/a"}},
            "$defs": {"a": {"not": {"$ref": "#/$defs/a"}}},
        },
        {"$dynamicRef": "#n", "$dynamicAnchor": "n"},
    ],
)
def test_references_that_multiply_or_never_end_are_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(SchemaError) as caught:
        compile_schema(schema)
    assert caught.value.code == "JSON_SCHEMA_INVALID"
    assert "reference" in caught.value.found


def test_recursive_schemas_stay_useful() -> None:
    """A tree by different names is checked at any depth, alternatives as deep as is affordable."""
    tree = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "n": {"type": "integer"}},
    }
    value: dict[str, Any] = {"n": 1}
    for _ in range(31):
        value = {"left": value, "right": {"n": 2}}
    assert compile_schema(tree).is_valid(value)
    kinds = [
        {"properties": {"kind": {"const": kind}, "of": {"$ref": "#"}}, "required": ["kind"]}
        for kind in ("not", "all", "any", "some", "none")
    ]
    validator = compile_schema({"anyOf": kinds})
    value = {"kind": "none"}
    for kind in itertools.islice(itertools.cycle(["all", "not"]), 5):
        value = {"kind": kind, "of": value}
    assert first_violation(validator, value) == ""
    for _ in range(25):
        value = {"kind": "all", "of": value}
    assert "too deep" in first_violation(validator, value)


def test_references_that_multiply_are_refused_before_they_are_compiled() -> None:
    """Compiling unevaluatedProperties follows every reference below it."""
    deep = {
        f"a{at}": {
            "allOf": [{"$ref": f"#/$defs/a{at + 1}"}] * 2,
            "unevaluatedProperties": False,
        }
        for at in range(40)
    }
    with pytest.raises(SchemaError, match="cannot be used"):
        compile_schema({"$ref": "#/$defs/a0", "$defs": deep | {"a40": {}}})
