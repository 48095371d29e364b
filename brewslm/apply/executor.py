"""Walk the actions of a plan: Begin, work, outputs into the store, End; one after the other.

The executor knows no kind's rules: what an action needs comes from its kind's declaration, what it
costs and why it is done is never looked at.
"""

import errno
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brewslm.address import Address
from brewslm.apply import evaluation, observed, promotion, training
from brewslm.apply.desk import Desk, Done, Running
from brewslm.apply.history import History
from brewslm.apply.outcome import Outcome
from brewslm.apply.recovery import Checkpoint, close, recover
from brewslm.artifacts.store import Produced
from brewslm.contracts import Kind, Operation, Output, Work, spec_values
from brewslm.errors import ApplyError, ArtifactError, BrewError, LeaseLostError, WorkerError
from brewslm.events import (
    ActionCheckpointEvent,
    ActionCompleteEvent,
    ActionErrorEvent,
    ActionSkipEvent,
    ActionStartEvent,
    InterruptEvent,
    PromotionEvent,
    RecoveryEvent,
    StateSavedEvent,
)
from brewslm.files import make_private_folder
from brewslm.fingerprint import digest_folder, fingerprint
from brewslm.plan.action import Action
from brewslm.plan.identity import resource_facts
from brewslm.plan.plan import Plan
from brewslm.stages.kinds import KINDS
from brewslm.state.records import (
    DeploymentRecord,
    OperationRecord,
    OperationStatus,
    ResourceRecord,
    RevisionRecord,
    Status,
)
from brewslm.state.store import StateSession

_DEAD_ENDS = frozenset({"training_nonfinite_loss", "training_no_targets", "missing_extra"})
"""Reason codes after which going on from a checkpoint would only fail again."""


@dataclass(frozen=True)
class ApplyFacts:
    """Who applies, on what grounds."""

    apply_id: str
    actor: str
    git_commit: str
    is_resume_allowed: bool = True
    is_fail_fast: bool = False


def apply_plan(plan: Plan, desk: Desk, session: StateSession, facts: ApplyFacts) -> Outcome:
    """Carry out a plan under a lease; every address of the plan is in exactly one list of the
    outcome.

    Raises: LeaseLostError when another run took over, StateError when the state cannot be written.
    """
    return _Walk(plan, desk, session, facts).run()


class _Walk:
    """One apply, from recovery to the revision."""

    def __init__(self, plan: Plan, desk: Desk, session: StateSession, facts: ApplyFacts) -> None:
        self._plan = plan
        self._desk = desk
        self._session = session
        self._facts = facts
        self._outcome = Outcome()
        self._records = session.resources()
        self._history = History(session, facts.apply_id, facts.actor, desk.clock)
        self._checkpoints: dict[str, Checkpoint] = {}
        self._stuck: dict[Address, str] = {}
        newest = session.revisions(limit=1)
        self._revision = newest[0].revision + 1 if newest else 1

    def run(self) -> Outcome:
        """Recover, walk, record the revision."""
        before = self._session.meta().serial
        self._checkpoints = recover(
            self._session,
            self._desk.artifacts,
            self._desk.home,
            self._desk.tell,
            self._desk.clock.now(),
        )
        for address, record in self._records.items():
            self._desk.outputs[Address.parse(address)] = dict(record.outputs)
            self._desk.values[Address.parse(address)] = dict(record.values)
        for index, action in enumerate(self._plan.actions):
            self._step(action, index)
        self._repair_pointers()
        self._finish(before)
        return self._outcome

    def _step(self, action: Action, index: int) -> None:
        address = action.parsed_address
        if not action.is_work:
            self._outcome.unchanged.append(action.address)
            self._note_recorded_verdict(action)
            return
        if self._desk.stop.is_requested or (self._facts.is_fail_fast and self._outcome.failed):
            self._outcome.pending.append(action.address)
            self._stuck[address] = "interrupted"
            return
        upstream = self._stuck_upstream(action)
        if upstream is not None:
            self._skip(action, upstream)
            return
        self._begin_and_end(action, index)

    def _begin_and_end(self, action: Action, index: int) -> None:
        started_s = self._desk.clock.steady_s()
        try:
            if action.operation is Operation.DELETE:
                self._delete(action, index)
                return
            facts = self._facts_of(action)
            if self._is_cut_off(action, facts):
                return
            running, operation, checkpoint = self._begin(action, facts, index)
        except BrewError as error:
            self._fail(action, error, None, started_s)
            return
        try:
            done = self._carry_out(action, running, checkpoint)
        except LeaseLostError:
            raise
        except BrewError as error:
            self._fail(action, error, operation, started_s)
        except OSError as error:
            self._fail(action, _disk_error(error), operation, started_s)
        else:
            self._end(action, running, operation, done, started_s)

    def _carry_out(self, action: Action, running: Running, checkpoint: Checkpoint | None) -> Done:
        kind = KINDS[action.target]
        reused = self._reused(action, kind, running)
        if reused is not None:
            return reused
        match kind.work:
            case Work.RECORD:
                return Done()
            case Work.OBSERVED:
                return observed.publish(self._desk, action, kind, running)
            case Work.POINTER:
                return promotion.promote(self._desk, action, running.fingerprint)
            case Work.DOOR if kind.name == "training_plan":
                path = str(checkpoint.path) if checkpoint else ""
                return training.train(self._desk, action, kind, running, path)
            case Work.DOOR if kind.name == "export":
                return training.export(self._desk, action, kind, running)
            case Work.DOOR:
                return evaluation.evaluate(self._desk, action, kind, running, self._looks())

    def _reused(self, action: Action, kind: Kind, running: Running) -> Done | None:
        """Return what the fingerprint yielded before, every byte verified; None when it has to be
        made, as it has where the plan itself found damage.

        Raises: ArtifactError when what the plan meant to reuse is damaged.
        """
        if kind.work is not Work.DOOR:
            return None
        produced = self._desk.artifacts.find_produced(running.fingerprint)
        if produced is None or not all(
            map(self._desk.artifacts.is_present, produced.outputs.values())
        ):
            return None
        try:
            for output in produced.outputs.values():
                self._desk.artifacts.verify(output)
        except ArtifactError:
            if action.reason == "artifact_corrupt":
                return None
            raise
        return _reused_done(produced, kind, self._desk)

    # Beginning

    def _facts_of(self, action: Action) -> dict[str, Any]:
        """Return what identifies the result: the plan's own facts where it knew them all."""
        if action.facts is not None:
            return action.facts
        kind = KINDS[action.target]
        address = action.parsed_address
        return resource_facts(kind, address, self._desk.specs, self._desk.outputs)

    def _is_cut_off(self, action: Action, facts: dict[str, Any]) -> bool:
        """Whether an upstream yielded what it had yielded before, so that nothing is left to do."""
        record = self._records.get(action.address)
        if record is None or action.fingerprint is not None:
            return False
        is_same = (
            record.fingerprint == fingerprint(facts)
            and record.status in (Status.CURRENT, Status.QUARANTINED)
            and record.spec == spec_values(self._desk.specs[action.parsed_address])
            and all(map(self._desk.artifacts.is_present, record.outputs.values()))
        )
        if is_same:
            self._outcome.skipped.append(action.address)
            self._note_recorded_verdict(action)
            self._desk.tell(
                ActionSkipEvent(
                    address=action.address,
                    because="early_cutoff",
                    upstream="",
                    message=f"{action.address}: its inputs came out the same, nothing to do",
                )
            )
        return is_same

    def _begin(
        self, action: Action, facts: dict[str, Any], index: int
    ) -> tuple[Running, OperationRecord, Checkpoint | None]:
        identity = fingerprint(facts)
        checkpoint = self._checkpoints.pop(identity, None)
        if checkpoint is not None and not self._facts.is_resume_allowed:
            close(
                self._session,
                self._desk.home,
                checkpoint.operation,
                self._desk.clock.now(),
                OperationStatus.DISCARDED,
            )
            checkpoint = None
        operation_id = uuid.uuid4().hex
        folder = checkpoint.operation.folder if checkpoint else f"runs/{operation_id}"
        operation = OperationRecord(
            operation_id=operation_id,
            apply_id=self._facts.apply_id,
            address=action.address,
            kind=action.target,
            operation=str(action.operation),
            fingerprint=identity,
            fence=self._session.fence,
            folder=folder,
            begun_at=self._desk.clock.now(),
            facts=facts,
            checkpoints=checkpoint.operation.checkpoints if checkpoint else (),
            predicted=_predicted(action),
        )
        self._session.begin(operation)
        if checkpoint is not None:
            superseded = replace(
                checkpoint.operation,
                status=OperationStatus.DISCARDED,
                ended_at=self._desk.clock.now(),
                reason_code="training_resumed",
            )
            self._session.end(superseded)
            self._history.add(
                action.target,
                "info",
                "training_resumed",
                f"resumed from step {checkpoint.step}",
                {},
            )
            self._desk.tell(_resumed_event(action, checkpoint))
        self._desk.tell(
            ActionStartEvent(
                address=action.address,
                operation=str(action.operation),
                reason=action.reason,
                index=index + 1,
                total=len(self._plan.actions),
                resumes_from=checkpoint.step if checkpoint else None,
                operation_id=operation_id,
            )
        )
        path = self._desk.home / folder
        if KINDS[action.target].work is Work.DOOR:
            make_private_folder(path)
        running = Running(
            operation_id, path, identity, facts, self._checkpoint_recorder(action, operation)
        )
        return running, operation, checkpoint

    def _checkpoint_recorder(self, action: Action, operation: OperationRecord) -> Any:
        folder = self._desk.home / operation.folder

        def record(step: int, path: str) -> None:
            digest = digest_folder(folder / path)
            size_bytes = sum(item.stat().st_size for item in (folder / path).rglob("*"))
            entry: dict[str, object] = {
                "step": step,
                "path": path,
                "digest": digest,
                "size_bytes": size_bytes,
            }
            self._session.add_checkpoint(operation.operation_id, entry)
            self._desk.tell(
                ActionCheckpointEvent(
                    address=action.address, step=step, digest=digest, size_bytes=size_bytes
                )
            )

        return record

    # Ending

    def _end(
        self,
        action: Action,
        running: Running,
        operation: OperationRecord,
        done: Done,
        started_s: float,
    ) -> None:
        address = action.parsed_address
        earlier = self._records.get(action.address)
        spec = self._desk.specs[address]
        kind = KINDS[action.target]
        record = ResourceRecord(
            address=action.address,
            kind=action.target,
            spec_version=kind.version,
            spec=spec_values(spec),
            facts=running.facts,
            fingerprint=running.fingerprint,
            outputs=done.outputs,
            values=done.values,
            parts=done.parts,
            status=done.status,
            reason=done.reason,
            revision=self._revision,
        )
        elapsed_s = self._desk.clock.steady_s() - started_s
        ended = replace(
            operation,
            status=OperationStatus.ENDED,
            ended_at=self._desk.clock.now(),
            checkpoints=(),
            actual=done.actual if done.is_reused else {"wall_s": round(elapsed_s, 3)} | done.actual,
        )
        if action.target == "export":
            promotion.place_export(self._desk, action.name, done.outputs["files"])
        self._session.end(ended, records=[record], deployment=done.deployment)
        self._desk.outputs[address] = done.outputs
        self._desk.values[address] = done.values
        (self._outcome.reused if done.is_reused else self._outcome.applied).append(action.address)
        if done.is_reused:
            self._history.add(action.target, "info", "action_reused", action.address, {})
        if done.deployment is not None:
            self._announce(action, done.deployment, earlier)
        self._note_verdict(action, done)
        close_folder(self._desk.home / operation.folder)
        self._desk.tell(
            ActionCompleteEvent(
                address=action.address,
                operation_id=operation.operation_id,
                elapsed_s=round(elapsed_s, 3),
                is_reused=done.is_reused,
                outputs=[
                    {"name": name, "digest": item.digest, "size_bytes": item.size_bytes}
                    for name, item in sorted(done.outputs.items())
                ],
                is_same_as_before=earlier is not None and earlier.outputs == done.outputs,
                actual=done.actual,
                values=done.values,
            )
        )

    def _announce(
        self, action: Action, deployment: DeploymentRecord, earlier: ResourceRecord | None
    ) -> None:
        before = _promoted_digest(earlier)
        if earlier is not None and earlier.values.get("alias") not in (None, deployment.alias):
            promotion.unpoint(self._desk.home, earlier.values["alias"])
        promotion.point(self._desk.home, deployment.alias, deployment.digest)
        self._history.add(
            action.target,
            "info",
            "deployment_promoted",
            f"{deployment.alias} -> {deployment.digest[:19]}",
            {"digest": deployment.digest, "evidence": deployment.evidence_digest},
        )
        self._desk.tell(
            PromotionEvent(
                address=action.address,
                decision="moved",
                before=before,
                after=deployment.digest,
                reason_code="deployment_promoted",
                evidence=deployment.evidence_digest,
            )
        )

    def _note_verdict(self, action: Action, done: Done) -> None:
        if action.target != "eval_pack":
            return
        for gate in done.values.get("gates", ()):
            verdict = str(gate["verdict"]).lower()
            if verdict in self._outcome.gates:
                self._outcome.gates[verdict] += 1
        if done.is_blocked:
            self._outcome.is_gate_blocked = True
            self._stuck[action.parsed_address] = "gate_blocked"
            self._history.add(action.target, "error", "eval_gate_failed", done.reason, {})
            self._tell_kept(done.reason)
        else:
            self._history.add(
                action.target, "info", "eval_decided", "every required gate passed", {}
            )

    def _note_recorded_verdict(self, action: Action) -> None:
        record = self._records.get(action.address)
        if action.target == "eval_pack" and record and record.status is Status.QUARANTINED:
            self._outcome.is_gate_blocked = True
            self._stuck[action.parsed_address] = "gate_blocked"

    def _tell_kept(self, reason: str) -> None:
        address = next((item for item in self._desk.specs if item.kind == "deployment"), None)
        if address is None:
            return
        kept = _promoted_digest(self._records.get(str(address)))
        self._desk.tell(
            PromotionEvent(
                address=str(address),
                level="warning",
                decision="kept",
                before=kept,
                after=kept,
                reason_code="deployment_promote_blocked",
                message=reason,
            )
        )

    def _fail(
        self,
        action: Action,
        error: BrewError,
        operation: OperationRecord | None,
        started_s: float,
    ) -> None:
        is_interrupted = isinstance(error, WorkerError) and error.code == "interrupted"
        if operation is not None:
            self._close_failed(operation, error, is_interrupted=is_interrupted)
        if isinstance(error, ArtifactError) and error.code == "artifact_corrupt":
            self._desk.artifacts.set_aside(error.expected)
        self._stuck[action.parsed_address] = "interrupted" if is_interrupted else "upstream_failed"
        if is_interrupted:
            self._outcome.pending.append(action.address)
            return
        self._outcome.failed.append(action.address)
        self._outcome.errors.append(error)
        self._history.add_error(action.target, error)
        self._desk.tell(
            ActionErrorEvent(
                address=action.address,
                reason_code=error.code,
                remedy=error.remedy,
                elapsed_s=round(self._desk.clock.steady_s() - started_s, 3),
                message=error.message + (f" (found: {error.found})" if error.found else ""),
            )
        )

    def _close_failed(
        self, operation: OperationRecord, error: BrewError, *, is_interrupted: bool
    ) -> None:
        journalled = next(
            item
            for item in self._session.operations(only_open=True)
            if item.operation_id == operation.operation_id
        )
        can_resume = bool(journalled.checkpoints) and error.code not in _DEAD_ENDS
        status = (
            OperationStatus.INTERRUPTED if is_interrupted or can_resume else OperationStatus.FAILED
        )
        self._session.end(
            replace(
                journalled,
                status=status,
                ended_at=self._desk.clock.now(),
                reason_code=error.code,
            )
        )

    def _skip(self, action: Action, upstream: Address) -> None:
        because = self._stuck[upstream]
        self._stuck[action.parsed_address] = because
        if because == "interrupted":
            self._outcome.pending.append(action.address)
            return
        self._outcome.skipped.append(action.address)
        self._desk.tell(
            ActionSkipEvent.model_validate(
                {"address": action.address, "because": because, "upstream": str(upstream)}
            )
        )

    def _stuck_upstream(self, action: Action) -> Address | None:
        if action.operation is Operation.DELETE:
            return next(iter(self._stuck), None)
        kind = KINDS[action.target]
        refs = kind.inputs(action.parsed_address, self._desk.specs)
        blocked = (ref.address for ref in refs if ref.address in self._stuck)
        return next(blocked, None)

    def _delete(self, action: Action, index: int) -> None:
        record = self._records[action.address]
        operation = OperationRecord(
            operation_id=uuid.uuid4().hex,
            apply_id=self._facts.apply_id,
            address=action.address,
            kind=action.target,
            operation=str(action.operation),
            fingerprint="",
            fence=self._session.fence,
            folder="",
            begun_at=self._desk.clock.now(),
        )
        self._session.begin(operation)
        self._desk.tell(
            ActionStartEvent(
                address=action.address,
                operation=str(action.operation),
                reason=action.reason,
                index=index + 1,
                total=len(self._plan.actions),
            )
        )
        ended = replace(operation, status=OperationStatus.ENDED, ended_at=self._desk.clock.now())
        self._session.end(ended, removed=[action.address])
        if action.target == "deployment":
            promotion.unpoint(self._desk.home, str(record.values.get("alias", "champion")))
        self._outcome.applied.append(action.address)
        self._desk.tell(ActionCompleteEvent(address=action.address, elapsed_s=0.0))

    def _looks(self) -> int:
        """Return how many candidates were judged on the evaluation rows before."""
        return len(self._session.operations(kind="eval_pack"))

    def _repair_pointers(self) -> None:
        newest: dict[str, DeploymentRecord] = {}
        for deployment in self._session.deployments():
            newest.setdefault(deployment.alias, deployment)
        wanted = {
            record.values.get("alias")
            for record in self._session.resources().values()
            if record.kind == "deployment"
        }
        for alias, deployment in newest.items():
            folder = self._desk.home / "models" / promotion.short_name(deployment.digest)
            if alias in wanted and folder.is_dir():
                moved = promotion.point(self._desk.home, alias, deployment.digest)
                if moved and "deployment" not in self._outcome.applied:
                    self._history.add(
                        "deployment", "warning", "deployment_pointer_repaired", alias, {}
                    )

    def _finish(self, serial_before: int) -> None:
        outcome = self._outcome
        if self._desk.stop.is_requested:
            outcome.is_interrupted = True
            self._desk.tell(
                InterruptEvent(
                    signal=self._desk.stop.signal_name, count=self._desk.stop.count, phase="apply"
                )
            )
        meta = self._session.meta()
        if meta.serial != serial_before:
            revision = self._session.add_revision(self._revision_record())
            outcome.revision = revision.revision
            self._history.add("system", "info", "revision_recorded", str(revision.revision), {})
        elif not (outcome.failed or outcome.applied or outcome.reused):
            self._history.add("system", "info", "", "apply: nothing to do", {})
        outcome.serial = self._session.meta().serial
        self._desk.tell(StateSavedEvent(serial=outcome.serial, revision=outcome.revision))

    def _revision_record(self) -> RevisionRecord:
        done = set(self._outcome.applied) | set(self._outcome.reused)
        verdict = self._desk.values.get(Address("eval_pack"), {})
        return RevisionRecord(
            revision=0,
            serial=0,
            manifest_digest=self._plan.manifest_digest,
            git_commit=self._facts.git_commit,
            actor=self._facts.actor,
            plan_digest=self._plan.digest,
            finished_at=self._desk.clock.now(),
            actions=tuple(
                {"address": item.address, "operation": str(item.operation), "reason": item.reason}
                for item in self._plan.actions
                if item.address in done
            ),
            verdicts={"verdict": verdict.get("verdict"), "gates": verdict.get("gates", [])},
            effective_manifest=self._plan.effective_manifest,
            is_partial=bool(self._outcome.failed or self._outcome.pending),
        )


def close_folder(folder: Path) -> None:
    """Remove the run folder of an action that ended."""
    if folder.is_dir():
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        folder.rmdir()


def _promoted_digest(record: ResourceRecord | None) -> str | None:
    promoted = record.outputs.get("promoted") if record else None
    return promoted.digest if promoted else None


def _predicted(action: Action) -> dict[str, Any]:
    price = action.estimate
    return {
        "wall_s": price.wall_s.value,
        "memory_bytes": price.memory_bytes.value,
        "disk_bytes": price.disk_bytes.value,
    }


def _reused_done(produced: Produced, kind: Kind, desk: Desk) -> Done:
    outputs: Mapping[str, Output] = produced.outputs
    if kind.name == "eval_pack":
        return evaluation.reused(dict(outputs), produced.values, desk)
    return Done(outputs=dict(outputs), values=produced.values, is_reused=True)


def _resumed_event(action: Action, checkpoint: Checkpoint) -> RecoveryEvent:
    return RecoveryEvent(
        address=action.address,
        decision="resumed",
        digest=checkpoint.digest,
        step=checkpoint.step,
        message=f"{action.address}: goes on from step {checkpoint.step}",
    )


def _disk_error(error: OSError) -> ApplyError:
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    is_denied = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    code = "disk_full" if is_full else "permission_denied" if is_denied else "system_db_error"
    return ApplyError(
        f"a file could not be written: {error.strerror}",
        code=code,
        found=str(error.filename or ""),
        remedy="free disk space or correct the permissions, then: brewslm apply",
    )
