"""What to do about journal entries that an earlier run left open.

Work that is finished and stored is adopted; a training run with a checkpoint that is what the
journal says goes on from it; everything else is set aside and done again. The decision rests on
digests, never on times.
"""

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from brewslm.artifacts.store import ArtifactReader
from brewslm.events import RecoveryEvent
from brewslm.files import remove_folder
from brewslm.plan.checkpoints import Checkpoint, Checkpoints, checkpoints_of
from brewslm.state.records import OperationRecord, OperationStatus
from brewslm.state.store import StateSession


def recover(
    session: StateSession,
    artifacts: ArtifactReader,
    home: Path,
    tell: Callable[[RecoveryEvent], None],
    warn: Callable[[OperationRecord, Checkpoints], None],
    now: str,
) -> dict[str, Checkpoint]:
    """Close what earlier runs left open; return resumable checkpoints by fingerprint.

    Entries that can be resumed stay open until the action that resumes them begins. warn: told of
    checkpoints that are passed over because their files are missing or changed.
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
        if operation.fingerprint not in resumable:
            found = checkpoints_of(home, operation)
            if found.skipped:
                warn(operation, found)
            if found.newest is not None:
                resumable[operation.fingerprint] = found.newest
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
