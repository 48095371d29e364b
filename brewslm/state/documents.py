"""Records as JSON documents and back; unknown fields of newer minor versions are ignored."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import orjson
from msgspec import Struct, to_builtins
from msgspec.structs import replace

from brewslm.contracts import Output
from brewslm.state.faults import corrupt
from brewslm.state.records import (
    OperationRecord,
    OperationStatus,
    ResourceRecord,
    RevisionRecord,
    Status,
)

R = TypeVar("R", bound=Struct)


def to_document(record: Any) -> dict[str, Any]:
    """Return a record as JSON values."""
    if not isinstance(record, Struct):
        raise TypeError("not a record")
    document: dict[str, Any] = to_builtins(record)
    return document


def to_text(record: Any) -> str:
    """Return a record as JSON text with sorted keys."""
    return json.dumps(to_document(record), sort_keys=True, ensure_ascii=False)


def from_document(kind: type[R], document: Mapping[str, Any]) -> R:
    """Return a record from its JSON values."""
    names = kind.__struct_fields__
    values = {name: value for name, value in document.items() if name in names}
    if kind is ResourceRecord:
        values["status"] = Status(values["status"])
        values["outputs"] = {
            name: Output.from_json(output) for name, output in values["outputs"].items()
        }
        values["former"] = tuple(values.get("former", ()))
    elif kind is OperationRecord:
        values["status"] = OperationStatus(values["status"])
        values["checkpoints"] = tuple(values["checkpoints"])
    elif kind is RevisionRecord:
        values["actions"] = tuple(values["actions"])
    return kind(**values)


def from_text(kind: type[R], text: str) -> R:
    """Return a record from its JSON text.

    Raises: StateError with code state_corrupt when the text is no such record.
    """
    try:
        return from_document(kind, orjson.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise corrupt(f"a {kind.__name__} that cannot be read") from error


def differs(record: ResourceRecord, stored: ResourceRecord | None) -> bool:
    """Return whether content differs; serial and revision are bookkeeping."""
    if stored is None:
        return True
    same = replace(record, serial=stored.serial, revision=stored.revision)
    return to_document(same) != to_document(stored)
