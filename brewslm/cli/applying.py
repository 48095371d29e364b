"""Carrying out a plan for a command: show, check, ask, take the lease, do it, say how it ended."""

import sys
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, TextIO

from msgspec import Struct

from brewslm import __version__
from brewslm.address import Address
from brewslm.apply.clock import SystemClock
from brewslm.apply.desk import Desk
from brewslm.apply.discreet import DiscreetWorker, redacting
from brewslm.apply.executor import ApplyFacts, apply_plan
from brewslm.apply.interruption import Stop, stopping_on_signals
from brewslm.apply.outcome import Outcome
from brewslm.apply.worker import ProcessWorker
from brewslm.cli.devices import check_device
from brewslm.cli.leasing import hold_lease
from brewslm.cli.planning import (
    Planned,
    check_extras,
    check_place,
    check_room,
    not_writable,
)
from brewslm.cli.provenance import actor_of
from brewslm.cli.session import Session
from brewslm.diagnostics import FindingCode, exit_code_of
from brewslm.errors import ApplyError, ExitCode, RefusedError
from brewslm.events import (
    ApprovalEvent,
    DriftEvent,
    Listener,
    PlanEvent,
    PlannedActionEvent,
    SummaryEvent,
    VersionEvent,
)
from brewslm.plan.plan import Plan
from brewslm.plan.policy import APPROVAL, promotes, requires_approval
from brewslm.render.ending import render_ending
from brewslm.render.progress import ProgressTalk
from brewslm.render.stream import EventStream, told_to_all
from brewslm.render.text import TextStyle, render_plan

_UNASKED = {
    "normal": "brewslm apply --auto-approve, or brewslm apply NAME.plan.json",
    "refresh_only": "brewslm apply --refresh-only --auto-approve",
    "destroy": "brewslm destroy --auto-approve",
}


class ApplyFlags(Struct, frozen=True):
    """How a plan is carried out."""

    wait_s: float = 0.0
    """How long to wait for the lease."""
    file: Path | None = None
    """The file of a saved plan, which is approval enough."""
    is_approved: bool = False
    is_reviewed: bool = False
    """Whether the digest of the plan in the file was given, as somebody reviewed it."""
    is_fail_fast: bool = False
    is_resume_allowed: bool = True
    is_json: bool = False
    json_into: Path | None = None


def apply_planned(
    session: Session,
    planned: Planned,
    flags: ApplyFlags,
    *,
    listener: Listener | None = None,
    stop: Stop | None = None,
) -> int:
    """Show a plan, ask, carry it out under a lease and return the exit code.

    listener: told everything too; stop: asked to stop when a signal arrives.

    Raises: LeaseLostError after the end was told, when another run took over.
    """
    plan = planned.plan
    if not flags.is_json:
        style = TextStyle(session.has_color)
        session.put(render_plan(plan, style, saved_as=None))
    code = exit_code_of(plan.finding_values)
    if code is not ExitCode.DONE:
        return code
    _check_review(session, planned, flags)
    check_extras(planned)
    check_device(planned.wanted_device, planned.host, plan)
    check_room(session, planned)
    check_place(session)
    with ExitStack() as stack:
        listeners: list[Listener] = [] if listener is None else [listener]
        clock = SystemClock()
        if flags.is_json:
            listeners.append(EventStream(session.out, clock.now))
        else:
            talk = ProgressTalk(
                session.err,
                is_terminal=session.err.isatty() and not session.is_quiet,
                is_debug=session.is_debug,
                has_color=session.has_color,
            )
            stack.callback(talk.close)
            listeners.append(talk)
        if flags.json_into is not None:
            listeners.append(EventStream(stack.enter_context(_opened(flags.json_into)), clock.now))
        tell = redacting(told_to_all(listeners), session.redact)
        _announce(plan, tell, is_from_file=flags.file is not None)
        if not _is_approved(session, plan, tell, flags):
            return ExitCode.ERROR
        facts = ApplyFacts(
            apply_id=uuid.uuid4().hex,
            actor=actor_of(session.environment),
            git_commit=plan.git_commit or "",
            is_resume_allowed=flags.is_resume_allowed,
            is_fail_fast=flags.is_fail_fast,
            has_accelerator=planned.host.has_cuda,
        )
        outcome, summary, gates = _apply(
            session, planned, tell, facts, flags.wait_s, stop or Stop()
        )
    if not flags.is_json:
        session.put(render_ending(summary, gates, _left_out(plan)))
    if outcome.lost is not None:
        raise outcome.lost
    return summary.exit_code


def _check_review(session: Session, planned: Planned, flags: ApplyFlags) -> None:
    """Refuse to promote what nobody approved, where the policy asks for that.

    Raises: RefusedError with policy_refused.
    """
    level = requires_approval(planned.policy)
    is_asked = flags.file is None and not flags.is_approved
    if not level or is_asked or flags.is_reviewed or not promotes(planned.plan):
        return
    error = RefusedError(
        f"the policy's {APPROVAL} does not allow this",
        code="policy_refused",
        found="a plan that nobody reviewed, and that may promote",
        expected="the digest of a reviewed plan, or yes on a terminal",
        remedy="brewslm plan --out NAME.plan.json, have it reviewed, then: "
        "brewslm apply NAME.plan.json --expect-digest DIGEST",
    )
    if level == "mandatory":
        raise error
    session.say(f"warning[{error.code}]: {error.message}: {error.found}")


def _apply(
    session: Session,
    planned: Planned,
    tell: Listener,
    facts: ApplyFacts,
    wait_s: float,
    stop: Stop,
) -> tuple[Outcome, SummaryEvent, list[dict[str, Any]]]:
    clock = SystemClock()
    started_s = clock.steady_s()
    session.make_home()
    log_path = session.home / "runs" / "worker.log"
    redactor = session.redact
    environment = planned.host.device.shown_alone(session.environment)
    worker = DiscreetWorker(ProcessWorker(log_path, environment), redactor)
    with (
        stopping_on_signals(stop, worker.kill),
        hold_lease(session, facts, tell, stop, wait_s, _operation(planned.plan)) as state,
    ):
        desk = Desk(
            root=session.root,
            home=session.home,
            artifacts=session.artifacts(),
            worker=worker,
            tell=tell,
            clock=clock,
            stop=stop,
            specs=planned.specs,
            outputs={},
            values={},
            base_folder=planned.base_folder,
            prepare=planned.prepare,
            rescue_folders=session.rescue_folders,
            redact=redactor,
        )
        try:
            outcome = apply_plan(planned.plan, desk, state, facts)
        finally:
            worker.close()
    summary = _summary(outcome, clock.steady_s() - started_s)
    tell(summary)
    return outcome, summary, desk.values.get(Address("eval_pack"), {}).get("gates", [])


def _left_out(plan: Plan) -> str:
    """Return the sentence about what a partial plan leaves out, empty where it leaves nothing."""
    partial = (item for item in plan.finding_values if item.code == FindingCode.PARTIAL_PLAN)
    return next((item.message for item in partial), "")


def _announce(plan: Plan, tell: Listener, *, is_from_file: bool) -> None:
    tell(
        VersionEvent(
            tool_version=__version__,
            operation=_operation(plan),
            project=plan.project.name,
            lineage=plan.project.lineage,
        )
    )
    tell(
        PlanEvent(
            plan_digest=plan.digest,
            source="file" if is_from_file else "fresh",
            summary=plan.summary,
            estimate=plan.estimate.model_dump(mode="json"),
            is_complete=plan.is_complete,
        )
    )
    for drift in plan.drift:
        tell(DriftEvent(**drift.model_dump(exclude={"remedy"})))
    for action in plan.actions:
        if action.is_work:
            tell(
                PlannedActionEvent(
                    address=action.address,
                    operation=str(action.operation),
                    category=action.category,
                    reason=action.reason,
                    reuse=action.reuse.model_dump(mode="json") if action.reuse else None,
                    resume=action.resume.model_dump(mode="json") if action.resume else None,
                    estimate=action.estimate.model_dump(mode="json"),
                )
            )


def _is_approved(
    session: Session,
    plan: Plan,
    tell: Listener,
    flags: ApplyFlags,
) -> bool:
    if not plan.has_changes or flags.is_approved:
        tell(ApprovalEvent(mode="auto", is_granted=True))
        return True
    if flags.file is not None:
        tell(ApprovalEvent(mode="file", is_granted=True))
        return True
    if flags.is_json or not sys.stdin.isatty():
        tell(ApprovalEvent(mode="prompt", is_granted=False))
        raise ApplyError(
            "nobody can be asked here, so nothing was done",
            code="approval_missing",
            found="standard output that is a stream of events" if flags.is_json else "no terminal",
            expected="an approval",
            remedy=_UNASKED.get(plan.mode, _UNASKED["normal"]),
        )
    session.err.write('\nDo you want to do this? Only "yes" is taken for approval: ')
    session.err.flush()
    is_granted = sys.stdin.readline().strip() == "yes"
    tell(ApprovalEvent(mode="prompt", is_granted=is_granted))
    if not is_granted:
        session.say("Nothing was done.")
    return is_granted


def _operation(plan: Plan) -> Literal["apply", "destroy", "rollback", "refresh_only"]:
    return "apply" if plan.mode == "normal" else plan.mode


def _opened(path: Path) -> TextIO:
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise not_writable(path, error) from error


def _summary(outcome: Outcome, elapsed_s: float) -> SummaryEvent:
    return SummaryEvent(
        applied=outcome.applied,
        reused=outcome.reused,
        failed=outcome.failed,
        skipped=outcome.skipped,
        pending=outcome.pending,
        unchanged=outcome.unchanged,
        gates=outcome.gates,
        serial=outcome.serial,
        revision=outcome.revision,
        exit_code=int(outcome.exit_code),
        elapsed_s=round(elapsed_s, 3),
    )
