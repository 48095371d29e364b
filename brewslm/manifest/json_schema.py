"""The JSON Schema of a manifest, made from the models that read it.

Editors complete and check `brewslm.yaml` with it. It accepts every manifest that loads: other
spellings, values that only give a warning, and nulls that mean "not written" included. What needs
more than one field, or another file, stays with the checks.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from brewslm.field_docs import field_docs
from brewslm.manifest.annotations import element_in, model_in, takes_null
from brewslm.manifest.schema import ManifestFile
from brewslm.manifest.spelling import (
    FORMAT_ALIASES,
    KEY_ALIASES,
    PLACEHOLDERS,
    UNAVAILABLE_VALUES,
    VALUE_ALIASES,
)

SCHEMA_ID = "urn:brewslm:schema:manifest-v1"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_CONFIG = "spec.training_plan.config"
_ROLE_FIELDS = ("spec.data_sources[].type", "spec.adapters[].source_type")
_MODE_FIELDS = ("spec.training_plan.training_mode", f"{_CONFIG}.training_mode")
_QUANTIZATION = "spec.export.quantization"
_PLACEHOLDER = "Placeholder"
_SCALAR = ["string", "number", "boolean", "null"]


def manifest_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a whole manifest; equal code gives equal bytes."""
    document = ManifestFile.model_json_schema(mode="validation")
    for model, pattern in _models():
        schema = document if model is ManifestFile else document["$defs"][model.__name__]
        _describe(schema, model, pattern)
    document["$defs"][_PLACEHOLDER] = _deprecated({"enum": list(PLACEHOLDERS)}) | {
        "description": "Stands for a value that is still to be written; counts as not written."
    }
    document.pop("title")
    return {"$schema": _DIALECT, "$id": SCHEMA_ID, "title": "brewslm manifest", **document}


def _models() -> Iterator[tuple[type[BaseModel], str]]:
    """Yield every model of a manifest with its dotted path, `[]` for list elements."""
    pending: list[tuple[type[BaseModel], str]] = [(ManifestFile, "")]
    while pending:
        model, pattern = pending.pop()
        yield model, pattern
        for name, info in model.model_fields.items():
            inner = _joined(pattern, name)
            element = element_in(info.annotation)
            child = model_in(info.annotation) or model_in(element)
            if child is not None:
                pending.append((child, f"{inner}[]" if element is not None else inner))


def _joined(pattern: str, name: str) -> str:
    return f"{pattern}.{name}" if pattern else name


def _describe(schema: dict[str, Any], model: type[BaseModel], pattern: str) -> None:
    properties: dict[str, Any] = schema["properties"]
    for name, info in model.model_fields.items():
        field = properties[name]
        field.pop("title", None)
        if "$ref" in field:
            field.pop("default", None)
        path = _joined(pattern, name)
        if element_in(info.annotation) is not None and "items" in field:
            field["items"] = _widened(field["items"], f"{path}[]")
        described = {key: field.pop(key) for key in ("default", "description") if key in field}
        described["description"] = field_docs(model).get(name)
        field = _widened(field, path)
        if not info.is_required() and _null_means_absent(info.annotation, pattern):
            field = _or(field, {"type": "null"})
        properties[name] = described | field
    for alias, canonical in sorted(KEY_ALIASES.get(pattern, {}).items()):
        about = {"deprecated": True, "description": f"Another spelling of {canonical}."}
        properties[alias] = {**properties[canonical], **about}
    if pattern == _CONFIG:
        del properties["observability"]
        schema["patternProperties"] = {"^observability_": {"type": _SCALAR}}


def _null_means_absent(annotation: Any, pattern: str) -> bool:
    is_section = model_in(annotation) is not None or element_in(annotation) is not None
    return not takes_null(annotation) and (is_section or pattern == _CONFIG)


def _widened(field: dict[str, Any], path: str) -> dict[str, Any]:
    """Return the schema of a field with everything added that is accepted with a warning."""
    if not _is_restricted_text(field):
        return field
    other = [*VALUE_ALIASES.get(path, ())]
    if path in _ROLE_FIELDS:
        other += FORMAT_ALIASES
    if path in _MODE_FIELDS:
        names = {*_choices(field), *VALUE_ALIASES[path]}
        field = _or(field, _deprecated({"pattern": rf"^\s*({_any_case(names)})?\s*$"}))
        other = []
    any_case = [*UNAVAILABLE_VALUES.get(path, ())]
    if path == _QUANTIZATION:
        any_case += [name.lower() for name in _choices(field)]
    if any_case:
        field = _or(field, _deprecated({"pattern": f"^({_any_case(any_case)})$"}))
    if other:
        field = _or(field, _deprecated({"enum": sorted(other)}))
    return _or(field, {"$ref": f"#/$defs/{_PLACEHOLDER}"})


def _is_restricted_text(field: dict[str, Any]) -> bool:
    branches = field.get("anyOf", [field])
    return any({"enum", "const", "pattern"} & branch.keys() for branch in branches)


def _choices(field: dict[str, Any]) -> list[str]:
    branches = field.get("anyOf", [field])
    return [name for branch in branches for name in branch.get("enum", ())]


def _any_case(names: Iterable[str]) -> str:
    """Return a pattern for texts in any letter case; flags are not part of JSON Schema."""
    return "|".join(
        "".join(
            f"[{letter.lower()}{letter.upper()}]" if letter.isalpha() else letter for letter in name
        )
        for name in sorted(set(names))
    )


def _deprecated(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "string", **schema, "deprecated": True}


def _or(field: dict[str, Any], branch: dict[str, Any]) -> dict[str, Any]:
    branches = field["anyOf"] if field.keys() == {"anyOf"} else [field]
    return {"anyOf": [*branches, branch]}
