"""What happens to the record of finished work when the state cannot take it.

The record goes into `errored-SERIAL.json` beside the state, or where that fails into a folder that
the caller names, or into a fresh one of the system's temporary folder. While such a file waits
beside the state no other run may write; pushing it puts the record where it belongs.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from brewslm.errors import RefusedError, StateError, UnwrittenStateError
from brewslm.files import write_atomic
from brewslm.fingerprint import canonical_json, digest_value
from brewslm.state.documents import from_document, to_document
from brewslm.state.records import DeploymentRecord, OperationRecord, ResourceRecord
from brewslm.state.store import StateReader, StateSession
from brewslm.strict_json import StrictJsonError, parse_strict

FORMAT_VERSION = "1.0"
_PATTERN = "errored-*.json"


class Unwritten(Struct, frozen=True):
    """The end of an action that did not get into the state."""

    lineage: str
    serial: int
    """Of the state that it has to be added to."""
    fence: int
    operation: OperationRecord
    records: tuple[ResourceRecord, ...]
    deployment: DeploymentRecord | None = None


def rescued(unwritten: Unwritten, folders: Sequence[Path], cause: StateError) -> StateError:
    """Put a record into the first folder that takes it; return the error that says where it is.

    folders: tried in order, before a fresh temporary one.
    """
    data = _bytes_of(unwritten)
    path = _kept(data, unwritten.serial, folders)
    error = UnwrittenStateError(
        f"{unwritten.operation.address} is done, but the state could not be written",
        code="state_write_failed",
        found=f"{cause.code}: {cause.found}",
        expected="a state that can be written",
        remedy=f"{cause.remedy.partition(', then')[0]}, then: brewslm state push {path or 'FILE'}",
    )
    error.document = "" if path else data.decode()
    return error


def waiting(folders: Sequence[Path], lineage: str) -> list[Path]:
    """Return the files of a state's lineage that wait to be pushed."""
    found = []
    for path in sorted(path for folder in folders for path in folder.glob(_PATTERN)):
        try:
            unwritten = read_unwritten(path.read_bytes())
        except (OSError, StateError):
            continue
        if unwritten.lineage == lineage:
            found.append(path)
    return found


def check_none_waits(folders: Sequence[Path], state: StateReader) -> None:
    """Refuse to write to a state while a record of its lineage waits.

    Raises: RefusedError with code errored_state_present.
    """
    paths = waiting(folders, state.meta().lineage)
    if paths:
        raise RefusedError(
            "finished work waits to get into the state",
            code="errored_state_present",
            found=str(paths[0]),
            expected="a state that knows of all work",
            remedy=f"brewslm state push {paths[0]}",
        )


def read_unwritten(data: bytes) -> Unwritten:
    """Return what a file holds that `rescued` wrote.

    Raises: StateError with code state_corrupt.
    """
    try:
        document = parse_strict(data, require_object=True)
        body = {name: value for name, value in document.items() if name != "digest"}
        if digest_value(body) != document["digest"]:
            raise _refused("another content than its digest says")
        deployment = body["deployment"]
        return Unwritten(
            lineage=str(body["lineage"]),
            serial=int(body["serial"]),
            fence=int(body["fence"]),
            operation=from_document(OperationRecord, body["operation"]),
            records=tuple(from_document(ResourceRecord, item) for item in body["records"]),
            deployment=from_document(DeploymentRecord, deployment) if deployment else None,
        )
    except StrictJsonError as error:
        raise _refused(error.message) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _refused(f"{type(error).__name__}: {error}") from error


def push(unwritten: Unwritten, session: StateSession) -> int:
    """Put a record into the state that it was meant for and return the new serial.

    Raises: StateError when the state is another one, or has moved on.
    """
    meta = session.meta()
    if (meta.lineage, meta.serial) != (unwritten.lineage, unwritten.serial):
        raise _refused(
            f"lineage {unwritten.lineage}, serial {unwritten.serial}",
            expected=f"lineage {meta.lineage}, serial {meta.serial}",
        )
    try:
        return session.end(
            unwritten.operation, records=unwritten.records, deployment=unwritten.deployment
        ).serial
    except KeyError as error:
        raise _refused(f"an action that never began: {unwritten.operation.address}") from error


def _bytes_of(unwritten: Unwritten) -> bytes:
    deployment = unwritten.deployment
    body: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "lineage": unwritten.lineage,
        "serial": unwritten.serial,
        "fence": unwritten.fence,
        "operation": to_document(unwritten.operation),
        "records": [to_document(item) for item in unwritten.records],
        "deployment": to_document(deployment) if deployment else None,
    }
    return canonical_json({**body, "digest": digest_value(body)}) + b"\n"


def _kept(data: bytes, serial: int, folders: Sequence[Path]) -> Path | None:
    for folder in folders:
        path = folder / f"errored-{serial}.json"
        try:
            write_atomic(path, data)
        except OSError:
            continue
        return path
    try:
        path = Path(tempfile.mkdtemp(prefix="brewslm-")) / f"errored-{serial}.json"
        write_atomic(path, data)
    except OSError:
        return None
    return path


def _refused(found: str, expected: str = "a file that an apply left") -> StateError:
    return StateError(
        "the record cannot be put into this state",
        code="state_corrupt",
        found=found,
        expected=expected,
        remedy="move the file away, then: brewslm apply takes over what is stored",
    )
