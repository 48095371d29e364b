"""What to do about journal entries that an earlier run left open.

Work that is finished and stored is adopted; a training run with a checkpoint that is what the
journal says goes on from it; everything else is set aside and done again. The decision rests on
digests, never on times.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from brewslm.artifacts.store import ArtifactReader
from brewslm.events import RecoveryEvent
from brewslm.files import remove_folder
from brewslm.fingerprint import digest_folder
from brewslm.state.records import OperationRecord, OperationStatus
from brewslm.state.store import StateSession


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that may be resumed: its folder holds exactly what the journal recorded."""

    operation: OperationRecord
    step: int
    path: Path
    digest: str


def newest_checkpoint(home: Path, operation: OperationRecord) -> Checkpoint | None:
    """Return the newest checkpoint whose files match their recorded digest."""
    for entry in sorted(operation.checkpoints, key=lambda item: -int(item["step"])):
        path = home / operation.folder / str(entry["path"])
        try:
            is_whole = path.is_dir() and digest_folder(path) == entry["digest"]
        except (OSError, ValueError):
            is_whole = False
        if is_whole:
            return Checkpoint(operation, int(entry["step"]), path, str(entry["digest"]))
    return None


def recover(
    session: StateSession,
    artifacts: ArtifactReader,
    home: Path,
    tell: Callable[[RecoveryEvent], None],
    now: str,
) -> dict[str, Checkpoint]:
    """Close what earlier runs left open; return resumable checkpoints by fingerprint.

    Entries that can be resumed stay open until the action that resumes them begins.
    """
    resumable: dict[str, Checkpoint] = {}
    for operation in session.operations(only_open=True):
        produced = artifacts.find_produced(operation.fingerprint) if operation.fingerprint else None
        if produced is not None and all(map(artifacts.is_present, produced.outputs.values())):
            close(session, home, operation, now, OperationStatus.ENDED)
            tell(
                _event(operation, "adopted", "finished and stored; adopted without doing it again")
            )
            continue
        checkpoint = newest_checkpoint(home, operation)
        if checkpoint is not None and operation.fingerprint not in resumable:
            resumable[operation.fingerprint] = checkpoint
            continue
        close(session, home, operation, now, OperationStatus.DISCARDED)
        tell(_event(operation, "discarded", "nothing usable was left; it is done again if needed"))
    return resumable


def close(
    session: StateSession,
    home: Path,
    operation: OperationRecord,
    now: str,
    status: OperationStatus,
) -> None:
    """Mark an entry as over and remove its run folder."""
    session.end(replace(operation, status=status, ended_at=now))
    if operation.folder:
        remove_folder(home / operation.folder)


def _event(operation: OperationRecord, decision: str, what: str) -> RecoveryEvent:
    return RecoveryEvent.model_validate(
        {
            "address": operation.address,
            "decision": decision,
            "digest": operation.fingerprint,
            "operation_id": operation.operation_id,
            "message": f"{operation.address}: {what}",
        }
    )
