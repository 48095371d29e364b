"""JSON Schema 2020-12 without network: compiled once, checked at the speed of compiled code."""

from typing import Any, NoReturn

import jsonschema_rs
from msgspec import Struct

from brewslm.errors import BrewError
from brewslm.rows.schema_cost import affordable_depth
from brewslm.strict_json import MAX_DEPTH


class SchemaError(BrewError):
    """Not a 2020-12 schema, or one with a reference that is not local; code JSON_SCHEMA_INVALID."""


class Validator(Struct, frozen=True):
    """A compiled schema, and how deeply nested a value it can check in little time."""

    compiled: jsonschema_rs.Draft202012Validator
    max_depth: int

    def is_valid(self, value: Any) -> bool:
        """Return whether a value fits; one that is nested too deeply does not."""
        return not self.is_too_deep(value) and self.compiled.is_valid(value)

    def is_too_deep(self, value: Any) -> bool:
        """Return whether checking a value would take too long."""
        return self.max_depth < MAX_DEPTH and _is_deeper(value, self.max_depth)


def compile_schema(schema: Any) -> Validator:
    """Return the validator of a schema; patterns run in linear time, references stay inside it.

    Raises: SchemaError, also for references that multiply or never end.
    """
    try:
        depth = affordable_depth(schema)  # first: compiling follows references too
        compiled = jsonschema_rs.Draft202012Validator(
            schema, retriever=_refuse, pattern_options=jsonschema_rs.RegexOptions()
        )
        return Validator(compiled, depth)
    except ValueError as error:
        raise SchemaError(
            "the JSON Schema cannot be used",
            code="JSON_SCHEMA_INVALID",
            found=str(error).splitlines()[0],
            expected="JSON Schema 2020-12 with local references and linear patterns",
            remedy="correct the keyword that is named",
        ) from error


def first_violation(validator: Validator, value: Any) -> str:
    """Return pointer and rule of the first violation, empty where the value fits."""
    if validator.is_too_deep(value):
        return f"/ nested over {validator.max_depth} levels, too deep for the schema's references"
    if validator.compiled.is_valid(value):
        return ""
    error = min(
        validator.compiled.iter_errors(value),
        key=lambda item: ([str(part) for part in item.instance_path], str(item.schema_path[-1:])),
    )
    pointer = "".join(f"/{part}" for part in error.instance_path)
    rule = error.schema_path[-1] if error.schema_path else "false"
    return f"{pointer or '/'} {rule}"


def _is_deeper(value: Any, depth: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return depth <= 0 or any(_is_deeper(item, depth - 1) for item in inner)


def _refuse(address: str) -> NoReturn:
    raise ValueError(f"{address} is not local")
