"""Walk the actions of a plan: Begin, work, outputs into the store, End; one after the other.

The executor knows no kind's rules: what an action needs comes from its kind's declaration, what it
costs and why it is done is never looked at.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from dataclasses import replace as replace_in
from typing import Any

from msgspec.structs import replace

from brewslm.address import Address
from brewslm.apply import promotion, repair, telling
from brewslm.apply.desk import Desk, Done
from brewslm.apply.history import History
from brewslm.apply.journal import Begun, Journal
from brewslm.apply.laid_out import lay_out_export
from brewslm.apply.leftovers import sweep
from brewslm.apply.lineages import mark_own
from brewslm.apply.outcome import Outcome
from brewslm.apply.revision import revision_of
from brewslm.apply.spending import Spending
from brewslm.apply.work import carry_out
from brewslm.contracts import Operation, Output, Work, spec_values
from brewslm.errors import (
    ArtifactError,
    BrewError,
    LeaseLostError,
    StalePlanError,
    StateError,
    WorkerError,
)
from brewslm.events import ActionCompleteEvent, ActionProgressEvent, Event, StateSavedEvent
from brewslm.files import remove_folder, unwritable
from brewslm.fingerprint import fingerprint
from brewslm.plan.action import Action, Drift
from brewslm.plan.identity import resource_facts
from brewslm.plan.moves import renamed
from brewslm.plan.plan import REFRESH_ONLY, Plan
from brewslm.plan.rollback import is_held
from brewslm.stages.eval_pack import EVALUABLE_SETS
from brewslm.stages.kinds import KINDS
from brewslm.stages.workflow import BudgetSettings, WorkflowSpec
from brewslm.state.records import DeploymentRecord, OperationStatus, ResourceRecord, Status
from brewslm.state.store import StateSession
from brewslm.tasks.deciding import undecided_with_warning

_WORKFLOW = Address("workflow")
_ROW_INPUTS = tuple(f"dataset:{name}" for name in EVALUABLE_SETS)


@dataclass(frozen=True)
class ApplyFacts:
    """Who applies, on what grounds."""

    apply_id: str
    actor: str
    git_commit: str
    is_resume_allowed: bool = True
    is_fail_fast: bool = False
    has_accelerator: bool = False
    """Whether base models are loaded on an accelerator."""


def apply_plan(plan: Plan, desk: Desk, session: StateSession, facts: ApplyFacts) -> Outcome:
    """Carry out a plan under a lease; every address of the plan is in exactly one list of the
    outcome.

    A run whose lease another one took over ends there; the outcome says so.

    Raises: StalePlanError when the state moved on since the plan, StateError when it cannot be
    written.
    """
    try:
        _check_unmoved(plan, session)
    except StalePlanError:
        promotion.follow_takeover(desk.home, session)
        raise
    return _Walk(plan, desk, session, facts).run()


def _check_unmoved(plan: Plan, session: StateSession) -> None:
    """Refuse a plan of another serial; one made before there was a state is of serial 0.

    Raises: StalePlanError.
    """
    serial = session.meta().serial
    if plan.project.serial != serial:
        raise StalePlanError(
            "the state moved on since this plan",
            code="plan_stale",
            found=f"serial {serial}",
            expected=f"serial {plan.project.serial}",
            remedy="brewslm plan --out NAME.plan.json",
        )


class _Walk:
    """One apply, from recovery to the revision."""

    def __init__(self, plan: Plan, desk: Desk, session: StateSession, facts: ApplyFacts) -> None:
        self._plan = plan
        self._spending = Spending(_budget(desk), desk.clock, has_accelerator=facts.has_accelerator)
        self._tell = desk.tell
        self._desk = desk = replace_in(desk, tell=self._hear)
        desk.stop.stop_when(self._spending.is_over)
        self._session = session
        self._facts = facts
        self._outcome = Outcome()
        self._records = session.resources()
        self._history = History(session, facts.apply_id, facts.actor, desk.clock, desk.redact)
        self._journal = Journal(
            session,
            desk,
            self._history,
            apply_id=facts.apply_id,
            is_resume_allowed=facts.is_resume_allowed,
        )
        self._stuck: dict[Address, str] = {}
        newest = session.revisions(limit=1)
        self._revision = newest[0].revision + 1 if newest else 1
        self._revised_serial = newest[0].serial if newest else 0

    def run(self) -> Outcome:
        """Recover, walk, record the revision; what a lost lease leaves undone is pending."""
        try:
            self._walk()
        except LeaseLostError as error:
            self._lose(error)
        return self._outcome

    def _walk(self) -> None:
        self._journal.recover()
        self._sweep()
        for address, record in self._records.items():
            self._desk.outputs[Address.parse(address)] = dict(record.outputs)
            self._desk.values[Address.parse(address)] = dict(record.values)
        for index, action in enumerate(self._plan.actions):
            self._step(action, index)
        self._repair_pointers()
        self._finish()

    def _lose(self, error: LeaseLostError) -> None:
        """Place what was not decided yet, and tell that nothing more is written."""
        outcome = self._outcome
        undecided = [item for item in self._plan.actions if item.address not in outcome.addresses]
        outcome.unchanged += [item.address for item in undecided if not item.is_work]
        outcome.pending += [item.address for item in undecided if item.is_work]
        outcome.lost = error
        self._desk.stop.lose_lease()
        outcome.serial = self._journal.serial
        self._desk.tell(telling.lost_lease(error, outcome.pending))

    def _hear(self, event: Event) -> None:
        """Pass an event on; look at the budget whenever work goes on."""
        self._tell(event)
        if isinstance(event, ActionProgressEvent):
            self._check_budget()

    def _check_budget(self) -> None:
        """Record and tell what was passed of the budget."""
        for passed in self._spending.passed():
            text = telling.budget_passed(passed, is_cancelling=self._spending.is_cancelling)
            payload = {"field": passed.name, "limit": passed.limit, "share": passed.share}
            self._history.add("system", "warning", "budget_exceeded", text, payload)
            self._desk.warn(str(_WORKFLOW), f"[budget_exceeded] {text}")

    def _step(self, action: Action, index: int) -> None:
        """Decide whether an action is begun at all."""
        self._check_budget()
        if not action.is_work:
            self._outcome.unchanged.append(action.address)
            self._note_recorded_verdict(action)
        elif self._desk.stop.is_requested or (self._facts.is_fail_fast and self._outcome.failed):
            self._leave(action)
        elif not action.is_repair and (upstream := self._stuck_upstream(action)) is not None:
            self._skip(action, upstream)
        elif action.operation is Operation.DELETE:
            self._delete(action, index)
        else:
            self._do(action, index)

    def _do(self, action: Action, index: int) -> None:
        """Begin an action, carry it out and record how it ended."""
        started_s = self._desk.clock.steady_s()
        begun: Begun | None = None
        if action.moved_from:
            self._move(action)
        try:
            facts = self._facts_of(action)
            if self._is_cut_off(action, facts):
                if not self._is_displaced(action):
                    self._cut_off(action)
                    return
                action = action.as_repair()
            begun = self._journal.begin(action, facts)
            self._desk.tell(telling.started(action, index, len(self._plan.actions), begun))
            with self._loading(action):
                done = self._carried_out(action, begun)
        except LeaseLostError:
            raise
        except BrewError as error:
            self._fail(action, error, begun, started_s)
        except OSError as error:
            self._fail(action, unwritable(error), begun, started_s)
        else:
            self._end(action, begun, done, started_s)

    def _loading(self, action: Action) -> AbstractContextManager[None]:
        is_loading = KINDS[action.target].work is Work.DOOR and not action.is_repair
        return self._spending.loading() if is_loading else nullcontext()

    def _move(self, action: Action) -> None:
        """Put the record of a renamed resource at its new address, all that names it following."""
        records = self._session.resources()
        moved = renamed(records, {action.moved_from: action.address})
        changed = [item for name, item in moved.items() if item != records.get(name)]
        self._journal.move(action, changed)
        self._records = self._session.resources()
        old = Address.parse(action.moved_from)
        for known in (self._desk.outputs, self._desk.values):
            known[action.parsed_address] = known.pop(old, {})

    def _carried_out(self, action: Action, begun: Begun) -> Done:
        desk, holding = self._desk, self._session.holding
        if action.is_repair:
            record = self._records[action.address]
            return repair.put_back(desk, action, record, self._session)
        for output in self._damaged(action):
            repair.set_aside_damage(desk.artifacts, output, holding)
        done = carry_out(desk, action, begun, self._looks(begun))
        if action.target == "export":
            files = done.outputs["files"]
            lay_out_export(desk.home, desk.artifacts, action.name, files, holding)
        if done.deployment is not None:
            promotion.lay_out(desk, done, holding)
        return done

    def _drift_of(self, action: Action) -> list[Drift]:
        return [item for item in self._plan.drift if item.address == action.address]

    def _damaged(self, action: Action) -> list[Output]:
        """Return the kept outputs of the record that the plan found to be other bytes."""
        record = self._records.get(action.address)
        if record is None:
            return []
        damaged = {item.path for item in self._drift_of(action) if item.kind == "changed"}
        return [output for name, output in record.outputs.items() if name in damaged]

    def _facts_of(self, action: Action) -> dict[str, Any]:
        """Return what identifies the result: the plan's own facts where it knew them all.

        Raises: StateError when a record lacks an output that this action consumes.
        """
        if action.facts is not None:
            return action.facts
        kind = KINDS[action.target]
        address = action.parsed_address
        try:
            return resource_facts(kind, address, self._desk.specs, self._desk.outputs)
        except KeyError as error:
            upstream, _, output = str(error.args[0]).partition(":")
            raise StateError(
                f"{upstream} is recorded without its {output}, which {action.address} consumes",
                code="state_corrupt",
                found="no such output",
                expected=str(error.args[0]),
                remedy=f"brewslm apply --replace {upstream}",
            ) from error

    def _is_cut_off(self, action: Action, facts: dict[str, Any]) -> bool:
        """Whether an upstream yielded what it had yielded before, so that nothing is left to do."""
        record = self._records.get(action.address)
        if record is None or action.fingerprint is not None or action.replaces:
            return False
        if is_held(record, str(facts["spec"].get("alias", "")), facts["inputs"]):
            return True
        return (
            record.fingerprint == fingerprint(facts)
            and record.status in (Status.CURRENT, Status.QUARANTINED)
            and record.spec == spec_values(self._desk.specs[action.parsed_address])
            and all(map(self._desk.artifacts.is_present, record.outputs.values()))
            and not self._damaged(action)
        )

    def _is_displaced(self, action: Action) -> bool:
        """Whether the plan found that what was laid out from the record is not what it says."""
        kept = self._records[action.address].outputs
        return any(item.repair and item.path not in kept for item in self._drift_of(action))

    def _note_skip(self, action: Action, because: str, upstream: str = "") -> None:
        payload = {"address": action.address, "because": because, "upstream": upstream}
        self._history.add(action.target, "info", "action_skipped", action.address, payload)

    def _cut_off(self, action: Action) -> None:
        self._outcome.skipped.append(action.address)
        self._note_skip(action, "early_cutoff")
        self._note_recorded_verdict(action)
        self._desk.tell(telling.cut_off(action))

    def _end(self, action: Action, begun: Begun, done: Done, started_s: float) -> None:
        """Make an action count: its End is durable before anything else hears of it."""
        earlier = self._records.get(action.address)
        elapsed_s = self._desk.clock.steady_s() - started_s
        actual = done.actual if done.is_reused else {"wall_s": round(elapsed_s, 3)} | done.actual
        record = self._record(action, begun, done)
        deployment = done.deployment and replace(done.deployment, revision=self._revision)
        self._journal.end(begun.operation, record, deployment, actual)
        self._desk.outputs[action.parsed_address] = done.outputs
        self._desk.values[action.parsed_address] = done.values
        (self._outcome.reused if done.is_reused else self._outcome.applied).append(action.address)
        payload = telling.ended_payload(action, begun, done, elapsed_s)
        if done.deployment is not None:
            self._announce(action, done.deployment, earlier, payload)
        elif action.is_repair and action.target == "deployment":
            alias = str(record.values["alias"])
            code = "deployment_pointer_repaired"
            self._history.add(action.target, "warning", code, alias, payload)
        elif action.target == "eval_pack" and not action.is_repair:
            self._note_verdict(action, done, payload)
        else:
            self._note_end(action, payload, is_reused=done.is_reused)
        remove_folder(begun.running.folder)
        self._desk.tell(telling.completed(action, begun, done, earlier, elapsed_s))

    def _note_end(self, action: Action, payload: dict[str, Any], *, is_reused: bool) -> None:
        """Add the run event of an action that ended well and is announced by nothing else."""
        ending = KINDS[action.target].ending
        code = "action_applied" if action.is_repair else ending.reason_code
        code = "action_reused" if is_reused else code
        self._history.add(action.target, "info", code, action.address, payload)

    def _announce(
        self,
        action: Action,
        deployment: DeploymentRecord,
        earlier: ResourceRecord | None,
        payload: dict[str, Any],
    ) -> None:
        """Make the link follow the recorded promotion; where it cannot, the next apply does it."""
        try:
            promotion.follow(self._desk, self._session, deployment, earlier)
            promotion.announce(self._desk, self._history, action, deployment, earlier, payload)
        except ArtifactError as error:
            self._warn_of(action.address, error)
        except OSError as error:
            self._warn_of(action.address, unwritable(error))

    def _warn_of(self, address: str, error: BrewError) -> None:
        """Tell of trouble that undoes nothing of what is recorded and makes the apply end badly."""
        self._outcome.errors.append(error)
        self._history.add_error(Address.parse(address).kind, error)
        self._desk.warn(address, f"[{error.code}] {error.message}")

    def _record(self, action: Action, begun: Begun, done: Done) -> ResourceRecord:
        if action.is_repair:
            return self._records[action.address]
        return ResourceRecord(
            address=action.address,
            kind=action.target,
            spec_version=KINDS[action.target].version,
            spec=spec_values(self._desk.specs[action.parsed_address]),
            facts=begun.running.facts,
            fingerprint=begun.running.fingerprint,
            outputs=done.outputs,
            values=done.values,
            parts=done.parts,
            status=done.status,
            reason=done.reason,
            revision=self._revision,
            former=earlier.former if (earlier := self._records.get(action.address)) else (),
        )

    def _fail(
        self, action: Action, error: BrewError, begun: Begun | None, started_s: float
    ) -> None:
        is_interrupted = isinstance(error, WorkerError) and error.code == "interrupted"
        if begun is not None:
            self._journal.fail(begun.operation, error, is_interrupted=is_interrupted)
        if is_interrupted:
            facts = {"address": action.address, "operation": str(action.operation)}
            self._history.add(action.target, "warning", "interrupted", action.address, facts)
            self._leave(action)
            return
        self._stuck[action.parsed_address] = "upstream_failed"
        self._outcome.failed.append(action.address)
        self._outcome.errors.append(error)
        if isinstance(error, ArtifactError) and error.code == "artifact_corrupt":
            with self._session.holding():
                self._desk.artifacts.set_aside(error.expected)
        self._history.add_error(action.target, error)
        elapsed_s = self._desk.clock.steady_s() - started_s
        self._desk.tell(telling.failed(action, error, elapsed_s))

    def _delete(self, action: Action, index: int) -> None:
        record = self._records[action.address]
        operation = self._journal.begin_delete(action)
        self._desk.tell(telling.started(action, index, len(self._plan.actions)))
        self._journal.end_delete(operation)
        self._outcome.applied.append(action.address)
        self._desk.values.pop(action.parsed_address, None)
        if action.target == "deployment":
            with promotion.moving_links(self._desk.home, self._session):
                promotion.unpoint(self._desk.home, str(record.values.get("alias", "champion")))
        payload = {
            "address": action.address,
            "operation": str(action.operation),
            "outputs": {name: output.digest for name, output in record.outputs.items()},
        }
        self._history.add(action.target, "info", "action_applied", action.address, payload)
        self._desk.tell(ActionCompleteEvent(address=action.address, elapsed_s=0.0))

    def _leave(self, action: Action) -> None:
        self._outcome.pending.append(action.address)
        self._stuck[action.parsed_address] = "interrupted"

    def _skip(self, action: Action, upstream: Address) -> None:
        because = self._stuck[upstream]
        if because == "interrupted" or action.operation is Operation.DELETE:
            self._leave(action)
            return
        self._stuck[action.parsed_address] = because
        self._outcome.skipped.append(action.address)
        self._note_skip(action, because, str(upstream))
        self._desk.tell(telling.skipped(action, because, upstream))

    def _stuck_upstream(self, action: Action) -> Address | None:
        if action.operation is Operation.DELETE:
            return next(iter(self._stuck), None)
        kind = KINDS[action.target]
        refs = kind.inputs(action.parsed_address, self._desk.specs)
        blocked = (ref.address for ref in refs if ref.address in self._stuck)
        return next(blocked, None)

    def _note_verdict(self, action: Action, done: Done, payload: dict[str, Any]) -> None:
        if done.is_reused:
            self._note_end(action, payload, is_reused=True)
        gates = done.values.get("gates", ())
        for gate in gates:
            verdict = str(gate["verdict"]).lower()
            if verdict in self._outcome.gates:
                self._outcome.gates[verdict] += 1
        if done.is_blocked:
            self._block(action)
            self._history.add(action.target, "error", "eval_gate_failed", done.reason, payload)
            promotion.tell_kept(self._desk, self._records, done.reason)
        else:
            judged = [gate for gate in gates if gate["required"] and gate["verdict"]]
            summary = "every required gate passed" if judged else "no required gate is set"
            self._history.add(action.target, "info", "eval_decided", summary, payload)
        if undecided := undecided_with_warning(gates):
            summary = f"optional gates undecided: {', '.join(undecided)}"
            self._history.add(action.target, "warning", "eval_inconclusive", summary, payload)

    def _note_recorded_verdict(self, action: Action) -> None:
        record = self._records.get(action.address)
        if action.target == "eval_pack" and record and record.status is Status.QUARANTINED:
            self._block(action)

    def _block(self, action: Action) -> None:
        self._outcome.is_gate_blocked = True
        self._stuck[action.parsed_address] = "gate_blocked"

    def _sweep(self) -> None:
        """Remove what killed runs left, all but what an open entry may go on from."""
        kept = {operation.folder for operation in self._session.operations(only_open=True)}
        mark_own(self._desk.artifacts, self._session)
        with self._session.holding():
            removed = sweep(self._desk.home, self._desk.artifacts, kept)
        if removed:
            summary = f"leftovers of earlier runs removed: {removed}"
            self._history.add("system", "info", "journal_recovered", summary, {})

    def _looks(self, begun: Begun) -> int:
        """Return how many candidates were judged on the evaluation rows, this one included: another
        threshold judges none anew, other rows begin at one, and an attempt that was cut short
        judged nothing.
        """
        candidate, rows = _judged(begun.running.facts)
        earlier = [
            _judged(operation.facts)
            for operation in self._session.operations(kind="eval_pack")
            if operation.status is OperationStatus.ENDED
        ]
        return len({candidate} | {other for other, on in earlier if on & rows})

    def _repair_pointers(self) -> None:
        is_asked = self._plan.is_complete or "deployment" in self._outcome.applied
        if self._plan.mode == REFRESH_ONLY or not is_asked:
            return
        try:
            promotion.lay_out_promoted(self._desk, self._session, self._session.holding)
        except ArtifactError as error:
            self._warn_of("deployment", error)
        except OSError as error:
            self._warn_of("deployment", unwritable(error))
        with promotion.moving_links(self._desk.home, self._session):
            moved = promotion.repair_pointers(self._desk.home, self._session)
        for alias in moved:
            if "deployment" not in self._outcome.applied:
                self._history.add("deployment", "warning", "deployment_pointer_repaired", alias, {})

    def _finish(self) -> None:
        outcome, stop = self._outcome, self._desk.stop
        is_cut_short = bool(outcome.pending) and stop.is_requested
        if is_cut_short or stop.count or stop.is_lease_lost:
            self._check_held()
            outcome.is_interrupted = True
            self._desk.tell(telling.interrupted(stop))
        if self._session.meta().serial != self._revised_serial:
            made = revision_of(
                self._plan,
                self._desk,
                outcome,
                self._session.resources(),
                self._unrevised(),
                self._facts.actor,
                self._facts.git_commit,
            )
            outcome.revision = self._session.add_revision(made).revision
            self._history.add("system", "info", "revision_recorded", str(outcome.revision), {})
        elif not (outcome.failed or outcome.applied or outcome.reused or outcome.pending):
            self._history.add("system", "info", "", "apply: nothing to do", {})
        outcome.serial = self._session.meta().serial
        self._desk.tell(StateSavedEvent(serial=outcome.serial, revision=outcome.revision))

    def _check_held(self) -> None:
        """Tell a run that was asked to stop from one that may not write any more.

        Raises: LeaseLostError.
        """
        with self._session.holding():
            return

    def _unrevised(self) -> list[str]:
        """Return what an earlier run applied that ended before it could record its revision."""
        return [
            address
            for address, record in self._records.items()
            if record.revision == self._revision
        ]


def _budget(desk: Desk) -> BudgetSettings:
    workflow = desk.specs.get(_WORKFLOW)
    return workflow.budget_settings if isinstance(workflow, WorkflowSpec) else BudgetSettings()


def _judged(facts: Mapping[str, Any]) -> tuple[str, set[str]]:
    """Return the candidate of an evaluation and the sets of rows it was evaluated on, by digest."""
    inputs = facts.get("inputs") or {}
    sets = {str(digest) for name, digest in inputs.items() if name in _ROW_INPUTS}
    return str(inputs.get("training_plan:lora_adapter")), sets
