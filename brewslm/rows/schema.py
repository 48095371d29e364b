"""JSON Schema 2020-12 without network: compiled once, checked at the speed of compiled code."""

from typing import Any, NoReturn

import jsonschema_rs

from brewslm.errors import BrewError


class SchemaError(BrewError):
    """Not a 2020-12 schema, or one with a reference that is not local; code JSON_SCHEMA_INVALID."""


def compile_schema(schema: Any) -> jsonschema_rs.Draft202012Validator:
    """Return the validator of a schema; patterns run in linear time, references stay inside it.

    Raises: SchemaError.
    """
    try:
        return jsonschema_rs.Draft202012Validator(
            schema, retriever=_refuse, pattern_options=jsonschema_rs.RegexOptions()
        )
    except ValueError as error:
        raise SchemaError(
            "the JSON Schema cannot be used",
            code="JSON_SCHEMA_INVALID",
            found=str(error).splitlines()[0],
            expected="JSON Schema 2020-12 with local references and linear patterns",
            remedy="correct the keyword that is named",
        ) from error


def first_violation(validator: jsonschema_rs.Draft202012Validator, value: Any) -> str:
    """Return pointer and rule of the first violation, empty where the value fits."""
    if validator.is_valid(value):
        return ""
    error = min(
        validator.iter_errors(value),
        key=lambda item: ([str(part) for part in item.instance_path], str(item.schema_path[-1:])),
    )
    pointer = "".join(f"/{part}" for part in error.instance_path)
    rule = error.schema_path[-1] if error.schema_path else "false"
    return f"{pointer or '/'} {rule}"


def _refuse(address: str) -> NoReturn:
    raise ValueError(f"{address} is not local")
