"""One look of `brewslm reconcile`: follow the ref, plan, apply what is allowed, report.

What is not allowed is reported and left; a commit that failed is left until another one comes.
"""

from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from brewslm.apply.clock import Clock
from brewslm.apply.interruption import Stop
from brewslm.cli import sync_reasons as reasons
from brewslm.cli.applying import ApplyFlags, apply_planned
from brewslm.cli.git_clone import Clone
from brewslm.cli.planning import Planned, PlanWishes, make_plan, open_state
from brewslm.cli.session import Session
from brewslm.cli.sync_memory import MemoryFile
from brewslm.cli.usage import UsageError
from brewslm.contracts import Operation
from brewslm.diagnostics import FindingCode, exit_code_of
from brewslm.errors import (
    BrewError,
    ExitCode,
    InterruptedRunError,
    ManifestError,
    RefusedError,
    StalePlanError,
    StateLockedError,
    UnwrittenStateError,
)
from brewslm.files import is_refused_write, unwritable
from brewslm.plan.plan import Plan
from brewslm.render.errors import framed
from brewslm.render.verdict import verdict_line
from brewslm.sync import (
    Condition,
    Failure,
    Health,
    HealthStatus,
    LastApplied,
    Phase,
    Sync,
    SyncMemory,
    SyncOperation,
    SyncReport,
    SyncStatus,
    Target,
)

_DEATHS = 3
"""How often a commit may end the process before it counts as failed."""


class ReconcileFlags(Struct, frozen=True):
    """What is followed, and what may be done."""

    target: Target
    max_deletes: int = 3
    wait_s: float = 0.0
    """How long to wait for the lease."""
    is_retry: bool = False
    """Whether the followed commit may be tried again although it failed."""


class Look(Struct, frozen=True):
    """What one look came to."""

    report: SyncReport
    exit_code: ExitCode
    is_passing: bool = False
    """Whether what is in the way goes by itself."""


class Live(Struct, frozen=True):
    """What the state says is served."""

    last_applied: LastApplied | None = None
    is_promoted: bool = False
    has_deployment: bool = False
    """Whether a deployment was ever recorded."""


class _ApplyStop(Stop):
    """The stop of one apply: signals are passed on, a lost lease is its own affair."""

    def __init__(self, loop: Stop) -> None:
        super().__init__()
        self._loop = loop

    def request(self, signal_name: str) -> None:
        super().request(signal_name)
        self._loop.request(signal_name)


class Reconciler:
    """Looks at a project again and again; what it remembers is in a file."""

    def __init__(
        self,
        session: Session,
        clone: Clone,
        flags: ReconcileFlags,
        *,
        clock: Clock,
        stop: Stop,
        publish: Callable[[SyncReport], None],
    ) -> None:
        """publish: told what is reported, once a look and once more when an apply begins."""
        self._session = session
        self._clone = clone
        self._flags = flags
        self._clock = clock
        self._stop = stop
        self._publish = publish
        self._file = MemoryFile(session.home, session.redact.document)
        self._memory = SyncMemory()
        self._report = SyncReport(at=clock.now(), target=flags.target)
        self._plan: Plan | None = None

    def look(self, schedule: Callable[[bool], str | None]) -> Look:
        """Look once, and remember and publish what came of it.

        schedule: returns when the next look is, given whether this one was kept by what passes.
        Raises: UsageError, PlanError with no_clone, StateError with reconcile_memory_corrupt.
        """
        self._report = SyncReport(at=self._clock.now(), target=self._flags.target)
        self._plan = None
        self._clone.check_there()
        try:
            self._session.make_home()
            with self._file.alone():
                self._memory = self._file.load()
                seen = self._dated(self._seen(), schedule)
                seen = replace(seen, report=self._remembered(seen.report))
        except StateLockedError as error:
            seen = self._dated(self._in_the_way(error), schedule)
        except OSError as error:
            self._clone.check_there()
            if not is_refused_write(error):
                raise
            seen = self._dated(self._in_the_way(unwritable(error)), schedule)
        self._publish(seen.report)
        return seen

    def _dated(self, seen: Look, schedule: Callable[[bool], str | None]) -> Look:
        times = {"at": self._clock.now(), "next_retry_at": schedule(seen.is_passing)}
        return replace(seen, report=seen.report.model_copy(update=times))

    def _remembered(self, report: SyncReport) -> SyncReport:
        """Make a report durable; return it, with what kept it from becoming so."""
        self._memory = self._memory.model_copy(update={"report": report})
        try:
            self._file.save(self._memory)
        except OSError as error:
            if not is_refused_write(error):
                raise
            told = reasons.of_error(unwritable(error))
            return report.model_copy(update={"conditions": (*report.conditions, told)})
        return report

    def _seen(self) -> Look:
        before = self._memory.report
        if before is not None:
            self._note(operation=before.operation, last_applied=before.last_applied)
        try:
            self._follow(before)
            planned = make_plan(self._session, PlanWishes(max_deletes=self._flags.max_deletes))
            if planned.plan.git_commit != self._report.sync.revision:
                raise reasons.head_moved(planned.plan.git_commit)
            self._plan = planned.plan
            self._note(message=verdict_line(planned.plan))
            return self._decided(planned)
        except UsageError:
            raise
        except BrewError as error:
            return self._in_the_way(error)
        except OSError as error:
            if not is_refused_write(error):
                raise
            return self._in_the_way(unwritable(error))

    def _follow(self, before: SyncReport | None) -> None:
        """Bring the clone to the commit that is followed."""
        target = self._clone.followed(self._flags.target, self._memory.followed)
        self._note(target=target)
        if target.remote:
            if self._session.is_offline:
                raise reasons.offline(target.remote)
            self._clone.fetch(target)
        revision = self._clone.commit(target)
        self._note(sync=Sync(revision=revision))
        self._memory = self._memory.model_copy(update={"followed": target})
        if before is not None and self._clone.is_rewritten(before.sync.revision, revision):
            self._add(reasons.rewritten(before.sync.revision, revision))
        is_broken_off = bool(self._memory.moving_to)
        if not is_broken_off:
            self._clone.check_clean()
        self._clone.check_contents(revision, self._session.manifest)
        if is_broken_off or self._clone.head() != revision:
            self._move(revision, is_forced=is_broken_off)

    def _move(self, revision: str, *, is_forced: bool) -> None:
        self._save(moving_to=revision)
        try:
            self._clone.move(revision, is_forced=is_forced)
        except RefusedError:
            self._save(moving_to="")
            raise
        self._save(moving_to="")

    def _decided(self, planned: Planned) -> Look:
        """Apply a plan if it asks for something that is allowed and did not fail before."""
        plan = planned.plan
        self._add(*reasons.of_hold(plan.finding_values))
        code = exit_code_of(plan.finding_values)
        if code is not ExitCode.DONE:
            self._add(*reasons.of_findings(plan.finding_values))
            return self._ended(code, is_degraded=code is ExitCode.ERROR)
        key = (self._report.sync.revision, plan.manifest_digest)
        if self._flags.is_retry:
            self._flags = replace(self._flags, is_retry=False)
            self._memory = self._memory.without_failure(*key)
            self._note(operation=None)
        failure = self._memory.failure_of(*key)
        if not plan.has_changes:
            return self._at_rest(plan, failure)
        if failure and (failure.is_repair or not plan.is_only_repair):
            return self._left(failure)
        if self._stop.is_requested:
            return self._ended(ExitCode.INTERRUPTED)
        return self._applied(planned, failure)

    def _at_rest(self, plan: Plan, failure: Failure | None) -> Look:
        """Return the look at a project that has nothing to be done any more."""
        if plan.held_back is None:
            self._memory = self._memory.without_failure(
                self._report.sync.revision, plan.manifest_digest
            )
            return self._ended(ExitCode.DONE)
        if failure is not None:
            return self._left(failure)
        self._add(reasons.held_back(plan.held_back))
        return self._ended(ExitCode.GATE_NOT_PASSED, is_degraded=True)

    def _left(self, failure: Failure) -> Look:
        """Return the look at a commit that failed and is not tried again."""
        self._note(operation=failure.operation)
        self._add(*failure.conditions, reasons.not_retried(failure))
        code = ExitCode(failure.operation.exit_code or ExitCode.ERROR)
        return self._ended(code, is_degraded=True)

    def _applied(self, planned: Planned, failure: Failure | None) -> Look:
        """Carry a plan out, remembering before and after.

        failure: of the commit whose drift alone is repaired.
        """
        before = self._report.operation
        begun = self._begun(planned.plan, before)
        if begun.attempts > _DEATHS:
            return self._failed(begun, ExitCode.ERROR, [reasons.died(_DEATHS)], Phase.ERROR)
        self._begin(begun)
        heard = reasons.Heard()
        talk = StringIO() if self._session.is_quiet else self._session.err
        try:
            code = ExitCode(
                apply_planned(
                    replace(self._session, out=talk),
                    planned,
                    ApplyFlags(wait_s=self._flags.wait_s, is_approved=True),
                    listener=heard,
                    stop=_ApplyStop(self._stop),
                )
            )
        except (StateLockedError, StalePlanError) as error:
            self._note(operation=before)
            return self._in_the_way(error)
        except InterruptedRunError:
            code = ExitCode.INTERRUPTED
        except BrewError as error:
            return self._broken(begun, error)
        if code is not ExitCode.DONE:
            return self._unfinished(begun, code, heard)
        self._note(operation=self._finished(begun, Phase.SUCCEEDED, code), message=heard.result)
        return self._left(failure) if failure else self._at_rest(planned.plan, None)

    def _begun(self, plan: Plan, before: SyncOperation | None) -> SyncOperation:
        fresh = SyncOperation(
            phase=Phase.RUNNING,
            revision=self._report.sync.revision,
            manifest_digest=plan.manifest_digest,
            message=verdict_line(plan),
            started_at=self._clock.now(),
        )
        is_again = (
            before is not None
            and before.phase is Phase.RUNNING
            and (before.revision, before.manifest_digest) == (fresh.revision, fresh.manifest_digest)
        )
        attempts = before.attempts + 1 if before is not None and is_again else 1
        return fresh.model_copy(update={"attempts": attempts})

    def _begin(self, operation: SyncOperation) -> None:
        """Report that an apply begins; it does not where that cannot be remembered."""
        self._note(
            operation=operation,
            sync=Sync(status=SyncStatus.OUT_OF_SYNC, revision=operation.revision),
            health=Health(status=HealthStatus.PROGRESSING),
        )
        self._save(report=self._report)
        self._publish(self._report)

    def _unfinished(self, begun: SyncOperation, code: ExitCode, heard: reasons.Heard) -> Look:
        """Return the look at an apply that did not do all it should."""
        if code is ExitCode.INTERRUPTED:
            self._note(operation=self._finished(begun, Phase.ERROR, code))
            self._add(reasons.interrupted())
            return self._ended(code)
        if heard.is_passing:
            self._note(operation=self._finished(begun, Phase.ERROR, code))
            self._add(*heard.conditions)
            return replace(self._ended(code), is_passing=True)
        return self._failed(begun, code, heard.conditions, Phase.FAILED)

    def _broken(self, begun: SyncOperation, error: BrewError) -> Look:
        """Return the look at an apply that ended with an error of its own."""
        if isinstance(error, UnwrittenStateError) and error.document:
            self._session.err.write(framed(error.document))
        if isinstance(error, RefusedError) or reasons.is_passing(error):
            self._note(operation=self._finished(begun, Phase.ERROR, error.exit_code))
            return self._in_the_way(error)
        return self._failed(begun, error.exit_code, [reasons.of_error(error)], Phase.ERROR)

    def _failed(
        self, begun: SyncOperation, code: ExitCode, found: Sequence[Condition], phase: Phase
    ) -> Look:
        """Remember that a commit failed."""
        ended = self._finished(begun, phase, code)
        failure = Failure(
            revision=begun.revision,
            manifest_digest=begun.manifest_digest,
            is_repair=self._plan is not None and self._plan.is_only_repair,
            operation=ended,
            conditions=tuple(found),
        )
        self._memory = self._memory.with_failure(failure)
        return self._left(failure)

    def _finished(self, begun: SyncOperation, phase: Phase, code: ExitCode) -> SyncOperation:
        return begun.model_copy(
            update={"phase": phase, "finished_at": self._clock.now(), "exit_code": int(code)}
        )

    def _in_the_way(self, error: BrewError) -> Look:
        """Return the look that an error ended."""
        if isinstance(error, InterruptedRunError):
            return self._ended(ExitCode.INTERRUPTED)
        found = reasons.of_findings(getattr(error, "findings", ()))
        self._add(*(found or [reasons.of_error(error)]))
        is_known = self._plan is not None or isinstance(error, RefusedError)
        self._note(message=self._report.message or error.message)
        seen = self._ended(
            error.exit_code, is_degraded=isinstance(error, ManifestError), is_known=is_known
        )
        return replace(seen, is_passing=reasons.is_passing(error))

    def _ended(self, code: ExitCode, *, is_degraded: bool = False, is_known: bool = True) -> Look:
        """Return the look with sync and health as they are now.

        is_known: whether what the commit asks for was found out.
        """
        status = SyncStatus.SYNCED if code is ExitCode.DONE else SyncStatus.OUT_OF_SYNC
        revision = self._report.sync.revision
        if not is_known or not revision:
            status = SyncStatus.UNKNOWN
        health = HealthStatus.DEGRADED if is_degraded else HealthStatus.UNKNOWN
        try:
            live = self._live()
        except BrewError:
            pass
        else:
            health = health if is_degraded else self._health(live)
            self._note(last_applied=live.last_applied)
        self._note(sync=Sync(status=status, revision=revision), health=Health(status=health))
        return Look(self._report, code)

    def _health(self, live: Live) -> HealthStatus:
        is_wanted = live.has_deployment
        if self._plan is not None:
            is_wanted = any(
                action.target == "deployment" and action.operation is not Operation.DELETE
                for action in self._plan.actions
            )
        if is_wanted and not live.is_promoted:
            return HealthStatus.MISSING
        if any(item.code == FindingCode.HELD_BY_ROLLBACK for item in self._report.conditions):
            return HealthStatus.SUSPENDED
        if self._plan is None and live.last_applied is None:
            return HealthStatus.MISSING
        return HealthStatus.HEALTHY

    def _live(self) -> Live:
        with open_state(self._session) as state:
            newest = next(iter(state.revisions(limit=1)), None)
            has_deployment = "deployment" in state.resources()
            is_promoted = has_deployment and bool(state.deployments())
        applied = None
        if newest is not None:
            applied = LastApplied(
                commit=newest.git_commit,
                revision=newest.revision,
                serial=newest.serial,
                finished_at=newest.finished_at,
            )
        return Live(applied, is_promoted, has_deployment)

    def _note(self, **known: Any) -> None:
        self._report = self._report.model_copy(update=known)

    def _add(self, *conditions: Condition) -> None:
        self._note(conditions=(*self._report.conditions, *conditions))

    def _save(self, **changed: Any) -> None:
        self._memory = self._memory.model_copy(update=changed)
        self._file.save(self._memory)
