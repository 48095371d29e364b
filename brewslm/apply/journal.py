"""The journal of one apply: Begin is durable before an action's work, End before it counts.

Entries that earlier runs left open are taken over here too: the action that resumes a checkpoint
has an entry and a folder of its own, into which what was left is moved.
"""

import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from brewslm.apply.desk import Desk, Running
from brewslm.apply.history import History
from brewslm.apply.recovery import close, recover
from brewslm.contracts import Work
from brewslm.errors import BrewError, LeaseLostError, StateError
from brewslm.events import ActionCheckpointEvent, RecoveryEvent
from brewslm.files import make_private_folder, move, remove_folder
from brewslm.fingerprint import digest_folder, fingerprint
from brewslm.plan.action import Action
from brewslm.plan.checkpoints import Checkpoint, Checkpoints, passed_over
from brewslm.stages.kinds import KINDS
from brewslm.state.records import (
    DeploymentRecord,
    OperationRecord,
    OperationStatus,
    ResourceRecord,
)
from brewslm.state.rescue import Unwritten, rescued
from brewslm.state.store import StateSession

_DEAD_ENDS = frozenset(
    {
        "training_nonfinite_loss",
        "training_no_targets",
        "training_data_mismatch",
        "missing_extra",
    }
)
"""Reason codes after which going on from a checkpoint would only fail again."""


@dataclass(frozen=True)
class Begun:
    """An action whose Begin is durable."""

    running: Running
    operation: OperationRecord
    checkpoint: Checkpoint | None
    """Where it goes on from."""


class Journal:
    """Writes Begin, checkpoints and End of the actions of one apply."""

    def __init__(
        self,
        session: StateSession,
        desk: Desk,
        history: History,
        *,
        apply_id: str,
        is_resume_allowed: bool,
    ) -> None:
        """is_resume_allowed: whether checkpoints of earlier runs may be used."""
        self._session = session
        self._desk = desk
        self._history = history
        self._apply_id = apply_id
        self._is_resume_allowed = is_resume_allowed
        self._checkpoints: dict[str, Checkpoint] = {}
        self._meta = session.meta()

    @property
    def serial(self) -> int:
        """The serial after what this apply recorded last."""
        return self._meta.serial

    def recover(self) -> None:
        """Close what earlier runs left open; keep the checkpoints that can be resumed."""
        desk = self._desk

        def tell(event: RecoveryEvent) -> None:
            payload = {"decision": event.decision, "operation_id": event.operation_id}
            self._history.add("system", "info", "journal_recovered", event.message, payload)
            desk.tell(event)

        def warn(operation: OperationRecord, found: Checkpoints) -> None:
            text = passed_over(found)
            payload = {"operation_id": operation.operation_id, "steps": list(found.skipped)}
            self._history.add(
                operation.kind, "warning", "training_checkpoint_invalid", text, payload
            )
            desk.warn(operation.address, text)

        self._checkpoints = recover(
            self._session, desk.artifacts, desk.home, tell, warn, desk.clock.now()
        )

    def begin(self, action: Action, facts: dict[str, Any]) -> Begun:
        """Record that an action begins, and make the folder that it works in."""
        identity = fingerprint(facts)
        checkpoint = self._resumable(identity, is_again=action.replaces)
        operation_id = uuid.uuid4().hex
        operation = replace(
            self._entry(action, operation_id),
            fingerprint=identity,
            folder=f"runs/{operation_id}",
            facts=facts,
            checkpoints=checkpoint.operation.checkpoints if checkpoint else (),
            predicted=_predicted(action),
        )
        self._session.begin(operation)
        path = self._desk.home / operation.folder
        if checkpoint is not None:
            checkpoint = self._taken_over(checkpoint, path)
            self._supersede(action, checkpoint)
        if KINDS[action.target].work is Work.DOOR:
            make_private_folder(path)
        running = Running(
            operation_id,
            path,
            identity,
            facts,
            on_checkpoint=self._checkpoint_recorder(action, operation),
            on_warning=self._warning_recorder(action),
        )
        return Begun(running, operation, checkpoint)

    def begin_delete(self, action: Action) -> OperationRecord:
        """Record that a resource is about to be forgotten."""
        operation = self._entry(action, uuid.uuid4().hex)
        self._session.begin(operation)
        return operation

    def move(self, action: Action, records: Sequence[ResourceRecord]) -> None:
        """Record that a resource has another address, with all records that name it."""
        operation = self._entry(action, uuid.uuid4().hex)
        self._session.begin(operation)
        ended = self._ended(operation)
        self._meta = self._session.end(ended, records=records, removed=[action.moved_from])

    def end(
        self,
        operation: OperationRecord,
        record: ResourceRecord,
        deployment: DeploymentRecord | None,
        actual: dict[str, Any],
    ) -> None:
        """Record that an action ended, together with what its resource is from now on.

        Raises: LeaseLostError, UnwrittenStateError that says where the record is instead.
        """
        ended = replace(self._ended(operation), checkpoints=(), actual=actual)
        try:
            self._meta = self._session.end(ended, records=[record], deployment=deployment)
        except LeaseLostError:
            raise
        except StateError as error:
            meta, fence = self._meta, self._session.fence
            unwritten = Unwritten(meta.lineage, meta.serial, fence, ended, (record,), deployment)
            raise rescued(unwritten, self._desk.rescue_folders, error) from error

    def end_delete(self, operation: OperationRecord) -> None:
        """Record that a resource is forgotten."""
        self._meta = self._session.end(self._ended(operation), removed=[operation.address])

    def fail(self, operation: OperationRecord, error: BrewError, *, is_interrupted: bool) -> None:
        """Record that an action failed; it stays open where a checkpoint is worth going on from."""
        open_entries = {
            item.operation_id: item for item in self._session.operations(only_open=True)
        }
        journalled = open_entries.get(operation.operation_id, operation)
        can_resume = bool(journalled.checkpoints) and error.code not in _DEAD_ENDS
        status = (
            OperationStatus.INTERRUPTED if is_interrupted or can_resume else OperationStatus.FAILED
        )
        self._session.end(replace(self._ended(journalled), status=status, reason_code=error.code))

    def _entry(self, action: Action, operation_id: str) -> OperationRecord:
        return OperationRecord(
            operation_id=operation_id,
            apply_id=self._apply_id,
            address=action.address,
            kind=action.target,
            operation=str(action.operation),
            fingerprint="",
            fence=self._session.fence,
            folder="",
            begun_at=self._desk.clock.now(),
        )

    def _ended(self, operation: OperationRecord) -> OperationRecord:
        now = self._desk.clock.now()
        return replace(operation, status=OperationStatus.ENDED, ended_at=now)

    def _resumable(self, identity: str, *, is_again: bool) -> Checkpoint | None:
        checkpoint = self._checkpoints.pop(identity, None)
        if checkpoint is None or (self._is_resume_allowed and not is_again):
            return checkpoint
        now = self._desk.clock.now()
        discarded = OperationStatus.DISCARDED
        close(self._session, self._desk.home, checkpoint.operation, now, discarded)
        return None

    def _taken_over(self, checkpoint: Checkpoint, folder: Path) -> Checkpoint:
        """Move what an earlier entry left into the folder of the one that goes on from it: a worker
        of a run that was only stopped finds its folder gone and shares it with nobody. Inputs are
        materialized again, since nothing says that what is left of them is whole.
        """
        left = self._desk.home / checkpoint.operation.folder
        move(left, folder)
        remove_folder(folder / "inputs")
        return replace(checkpoint, path=folder / checkpoint.path.relative_to(left))

    def _supersede(self, action: Action, checkpoint: Checkpoint) -> None:
        """Close the entry whose checkpoint another one goes on from."""
        superseded = replace(
            self._ended(checkpoint.operation),
            status=OperationStatus.DISCARDED,
            reason_code="training_resumed",
        )
        self._session.end(superseded)
        summary = f"resumed from step {checkpoint.step}"
        self._history.add(action.target, "info", "training_resumed", summary, {})
        self._desk.tell(
            RecoveryEvent(
                address=action.address,
                decision="resumed",
                digest=checkpoint.digest,
                step=checkpoint.step,
                message=f"{action.address}: goes on from step {checkpoint.step}",
            )
        )

    def _checkpoint_recorder(
        self, action: Action, operation: OperationRecord
    ) -> Callable[[int, str, Collection[str]], None]:
        folder = self._desk.home / operation.folder
        known = {str(item["path"]) for item in operation.checkpoints}

        def record(step: int, path: str, superseded: Collection[str]) -> None:
            digest = digest_folder(folder / path)
            size_bytes = sum(item.stat().st_size for item in (folder / path).rglob("*"))
            entry: dict[str, object] = {
                "step": step,
                "path": path,
                "digest": digest,
                "size_bytes": size_bytes,
            }
            gone = known & set(superseded) - {path}
            self._session.add_checkpoint(operation.operation_id, entry, superseded=gone)
            known.add(path)
            for old in gone:  # only now that the new one is durable and recorded
                known.discard(old)
                remove_folder(folder / old)
            self._desk.tell(
                ActionCheckpointEvent(
                    address=action.address, step=step, digest=digest, size_bytes=size_bytes
                )
            )

        return record

    def _warning_recorder(self, action: Action) -> Callable[[str, str, dict[str, Any]], None]:
        def record(reason_code: str, text: str, facts: dict[str, Any]) -> None:
            self._history.add(action.target, "warning", reason_code, text, facts)
            self._desk.warn(action.address, text)

        return record


def _predicted(action: Action) -> dict[str, Any]:
    price = action.estimate
    return {
        "wall_s": price.wall_s.value,
        "memory_bytes": price.memory_bytes.value,
        "disk_bytes": price.disk_bytes.value,
    }
