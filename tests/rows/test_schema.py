"""Schema verdicts agree with an independent validator."""

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
