"""The JSON Schemas of published formats, generated from the models that read and write them.

Refresh the stored ones with `brewslm schema --write schemas`.
"""

import json
from typing import Any

from pydantic import BaseModel, TypeAdapter

from brewslm import events, sync
from brewslm.field_docs import with_field_docs
from brewslm.manifest.json_schema import manifest_schema
from brewslm.plan import plan as plan_values
from brewslm.tasks import report

NAMES = ("manifest", "plan", "event", "sync", "report")

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_bytes(name: str) -> bytes:
    """Return a schema as indented JSON with a final line feed; the same bytes every time."""
    document = _DOCUMENTS[name]()
    return (json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n").encode()


def _plan_schema() -> dict[str, Any]:
    models = _models_below(plan_values.Plan.__mro__[1])
    schema = with_field_docs(plan_values.Plan.model_json_schema(mode="serialization"), models)
    return {"$schema": _DIALECT, "x-format-version": plan_values.FORMAT_VERSION, **schema}


def _event_schema() -> dict[str, Any]:
    adapter: TypeAdapter[events.Event] = TypeAdapter(events.AnyEvent)
    schema = with_field_docs(adapter.json_schema(mode="serialization"), _models_below(events.Event))
    written = {
        "seq": {"type": "integer", "minimum": 1, "description": "From 1, without gaps."},
        "ts": {"type": "string", "description": "RFC 3339, UTC; for people."},
    }
    for variant in schema["oneOf"]:
        definition = schema["$defs"][variant["$ref"].rpartition("/")[2]]
        definition["properties"] |= written
        definition["required"] = sorted([*definition.get("required", []), *written])
    return {"$schema": _DIALECT, "x-format-version": events.FORMAT_VERSION, **schema}


def _sync_schema() -> dict[str, Any]:
    models = _models_below(sync.SyncValue)
    schema = with_field_docs(sync.SyncReport.model_json_schema(mode="serialization"), models)
    return {"$schema": _DIALECT, "x-format-version": sync.FORMAT_VERSION, **schema}


def _report_schema() -> dict[str, Any]:
    models = _models_below(report.ReportValue)
    schema = with_field_docs(report.Report.model_json_schema(mode="serialization"), models)
    return {"$schema": _DIALECT, "x-format-version": report.FORMAT_VERSION, **schema}


def _models_below(model: type[BaseModel]) -> list[type[BaseModel]]:
    return [model, *(inner for child in model.__subclasses__() for inner in _models_below(child))]


_DOCUMENTS = {
    "manifest": manifest_schema,
    "plan": _plan_schema,
    "event": _event_schema,
    "sync": _sync_schema,
    "report": _report_schema,
}
