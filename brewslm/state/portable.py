"""A state as one JSON document, and such a document read as a state.

The document carries its own digest. The journal and the history of runs stay where they are; what
was applied, how it came about, and what is promoted travel. Lists are oldest first, resources by
address.
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import ValidationError, convert
from msgspec.structs import replace

from brewslm.address import Address
from brewslm.errors import StateError
from brewslm.fingerprint import canonical_json, digest_value
from brewslm.state import faults
from brewslm.state.documents import to_document, to_text
from brewslm.state.records import DeploymentRecord, Meta, ResourceRecord, RevisionRecord
from brewslm.state.schema import SCHEMA, Schema
from brewslm.state.store import StateReader
from brewslm.state.stores.memory import Content, MemoryReader
from brewslm.strict_json import StrictJsonError, parse_strict

FORMAT_VERSION = "1.0"
_MAX_DEPTH = 64
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MAJOR = FORMAT_VERSION.partition(".")[0]


def pull(reader: StateReader) -> dict[str, Any]:
    """Return the state as JSON values with the digest of everything else under `digest`."""
    meta = reader.meta()
    body: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "lineage": meta.lineage,
        "serial": meta.serial,
        "fence": meta.fence,
        "schema_version": meta.schema_version,
        "resources": [to_document(record) for record in reader.resources().values()],
        "revisions": [to_document(record) for record in reversed(reader.revisions())],
        "deployments": [to_document(record) for record in reversed(reader.deployments())],
    }
    return {**body, "digest": digest_value(body)}


def pulled_bytes(reader: StateReader) -> bytes:
    """Return the pulled state as canonical JSON and a newline; equal states give equal bytes."""
    return canonical_json(pull(reader)) + b"\n"


def open_pulled(data: bytes, schema: Schema = SCHEMA) -> StateReader:
    """Return a reader of a pulled state; its lease is free and its journal empty.

    One that an older program pulled is brought to the version of the schema.

    Raises: StateError with code state_corrupt when the document is not what its digest says,
    StateVersionError when a newer program wrote it.
    """
    try:
        document = parse_strict(data, require_object=True, max_depth=_MAX_DEPTH)
    except StrictJsonError as error:
        raise _damaged(error.message) from error
    body = {name: value for name, value in document.items() if name != "digest"}
    try:
        _check_format(str(body["format_version"]))
        version = int(body["schema_version"])
        faults.check_version(version, schema.version)
        if digest_value(body) != document["digest"]:
            raise _damaged("another content than its digest says")
        if version != schema.version:
            body = _migrated(body, version, schema)
        return MemoryReader(_content(body))
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise _damaged(f"{type(error).__name__}: {error}") from error


def is_pulled(data: bytes) -> bool:
    """Return whether a document is a pulled state, whole or damaged, and nothing else of ours."""
    try:
        return "resources" in parse_strict(data, require_object=True)
    except StrictJsonError:
        return False


def check_successor(pulled: StateReader, state: StateReader) -> bool:
    """Return whether a pulled state differs from the one that it is to replace.

    Raises: StateError when it is of another lineage, older, or as old with other content.
    """
    theirs, ours = pulled.meta(), state.meta()
    if theirs.lineage != ours.lineage:
        raise _no_successor(f"lineage {theirs.lineage}", f"lineage {ours.lineage}")
    if theirs.serial < ours.serial:
        raise _no_successor(f"serial {theirs.serial}", f"serial {ours.serial} or higher")
    is_other = _lasting(pulled) != _lasting(state)
    if is_other and theirs.serial == ours.serial:
        raise _no_successor(
            f"serial {theirs.serial} with other content", f"a serial above {ours.serial}"
        )
    return is_other


def _lasting(reader: StateReader) -> dict[str, Any]:
    """Return all but what each lease and each program changes."""
    passing = ("fence", "schema_version", "digest")
    return {name: value for name, value in pull(reader).items() if name not in passing}


def _no_successor(found: str, expected: str) -> StateError:
    return StateError(
        "the pulled state does not follow on the one that is here",
        code="plan_stale",
        found=found,
        expected=expected,
        remedy="brewslm state pull shows what is here; to replace it all the same: "
        "brewslm state push --force FILE",
    )


def _content(body: Mapping[str, Any]) -> Content:
    content = Content(replace(convert(body, Meta), migrated_from=None))
    for record in convert(body["resources"], list[ResourceRecord]):
        _check_record(record)
        if record.address in content.resources:
            raise _damaged(f"{record.address} is recorded twice")
        content.resources[record.address] = (to_text(replace(record, serial=0)), record.serial)
    content.revisions = [
        to_text(record) for record in convert(body["revisions"], list[RevisionRecord])
    ]
    content.deployments = [
        to_text(record) for record in convert(body["deployments"], list[DeploymentRecord])
    ]
    return content


def _migrated(body: Mapping[str, Any], version: int, schema: Schema) -> dict[str, Any]:
    """Return the same state at the version of a schema."""
    lists = ("revisions", "deployments")
    snapshot: dict[str, Any] = {
        "resources": {
            document["address"]: [_text(document), document["serial"]]
            for document in body["resources"]
        },
        "operations": {},
        "run_events": [],
        **{name: [_text(document) for document in body[name]] for name in lists},
    }
    try:
        schema.migrate_snapshot(version, snapshot)
    except StateError as error:
        raise _damaged(error.found) from error
    resources = [
        {**orjson.loads(text), "address": address, "serial": serial}
        for address, (text, serial) in sorted(snapshot["resources"].items())
    ]
    return {
        **body,
        "schema_version": schema.version,
        "resources": resources,
        **{name: [orjson.loads(text) for text in snapshot[name]] for name in lists},
    }


def _text(document: Mapping[str, Any]) -> str:
    return canonical_json(dict(document)).decode()


def _check_record(record: ResourceRecord) -> None:
    if Address.parse(record.address).kind != record.kind:
        raise _damaged(f"{record.address} is no {record.kind}")
    for name, output in record.outputs.items():
        if _DIGEST.fullmatch(output.digest) is None or output.size_bytes < 0:
            raise _damaged(f"{record.address} has no digest of {name}")


def _check_format(version: str) -> None:
    if version.partition(".")[0] != _MAJOR:
        raise StateError(
            "the pulled state has a format that this program does not read",
            code="state_too_new",
            found=f"format {version}",
            expected=f"format {_MAJOR}.x",
            remedy="pull the state again with this release of brewslm",
        )


def _damaged(found: str) -> StateError:
    return StateError(
        "the pulled state cannot be trusted",
        code="state_corrupt",
        found=found,
        expected="a document that brewslm state pull wrote",
        remedy="pull the state again: brewslm state pull --out FILE",
    )
