"""`brewslm apply`: plan or load a plan, ask, take the lease, do it, say how it ended."""

import sys
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import click

from brewslm import __version__
from brewslm.address import Address
from brewslm.apply.clock import SystemClock
from brewslm.apply.desk import Desk
from brewslm.apply.executor import ApplyFacts, apply_plan
from brewslm.apply.interruption import Stop, stopping_on_signals
from brewslm.apply.outcome import Outcome
from brewslm.apply.worker import ProcessWorker
from brewslm.cli.leasing import hold_lease, seconds
from brewslm.cli.planning import (
    Planned,
    PlanWishes,
    check_extras,
    check_room,
    make_plan,
    not_writable,
    use_saved_plan,
)
from brewslm.cli.provenance import actor_of
from brewslm.cli.selecting import selecting, selection
from brewslm.cli.session import Session
from brewslm.cli.usage import UsageError
from brewslm.diagnostics import FindingCode, exit_code_of
from brewslm.errors import ApplyError, ExitCode, StalePlanError
from brewslm.events import (
    ApprovalEvent,
    DriftEvent,
    Listener,
    PlanEvent,
    PlannedActionEvent,
    SummaryEvent,
    VersionEvent,
)
from brewslm.plan.plan import REFRESH_ONLY, Plan
from brewslm.plan.selection import Selection
from brewslm.render.ending import render_ending
from brewslm.render.progress import ProgressTalk
from brewslm.render.stream import EventStream, told_to_all
from brewslm.render.text import TextStyle, render_plan
from brewslm.state.store import StateSession


@click.command("apply")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--auto-approve", is_flag=True, help="Do not ask.")
@click.option("--expect-digest", help="The digest of the plan that was reviewed.")
@click.option("--lock-timeout", default="0s", show_default=True, help="How long to wait, as 10m.")
@click.option("--fail-fast", is_flag=True, help="Begin nothing more after a failure.")
@click.option("--no-resume", is_flag=True, help="Start interrupted training from the beginning.")
@click.option("--json", "is_json", is_flag=True, help="The event stream on standard output.")
@click.option("--json-into", type=click.Path(path_type=Path), help="The event stream in a file.")
@click.option(
    "--max-deletes", type=click.IntRange(0), default=3, show_default=True, help="Deletes allowed."
)
@click.option(
    "--refresh-only", is_flag=True, help="Take what is really there into the record; do no work."
)
@selecting
@click.pass_obj
def command(
    session: Session,
    file: Path | None,
    auto_approve: bool,
    expect_digest: str | None,
    lock_timeout: str,
    fail_fast: bool,
    no_resume: bool,
    is_json: bool,
    json_into: Path | None,
    max_deletes: int,
    refresh_only: bool,
    targets: tuple[str, ...],
    excludes: tuple[str, ...],
    replaces: tuple[str, ...],
) -> int:
    """Do what the plan says: exactly the listed actions and no other."""
    wait_s = seconds(lock_timeout)
    selected = selection(targets, excludes, replaces)
    if file is not None:
        _check_unselected(selected)
        planned = use_saved_plan(session, file, expect_digest)
    else:
        wishes = PlanWishes(
            max_deletes=max_deletes, is_refresh_only=refresh_only, selection=selected
        )
        planned = make_plan(session, wishes)
    plan = planned.plan
    if not is_json:
        style = TextStyle(session.has_color)
        session.put(render_plan(plan, style, saved_as=None))
    code = exit_code_of(plan.finding_values)
    if code is not ExitCode.DONE:
        return code
    check_extras(planned)
    check_room(session, planned)
    with ExitStack() as stack:
        listeners: list[Listener] = []
        clock = SystemClock()
        if is_json:
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
        if json_into is not None:
            listeners.append(EventStream(stack.enter_context(_opened(json_into)), clock.now))
        tell = told_to_all(listeners)
        _announce(plan, tell, is_from_file=file is not None)
        if not _is_approved(session, plan, tell, file, auto_approve=auto_approve, is_json=is_json):
            return ExitCode.ERROR
        facts = ApplyFacts(
            apply_id=uuid.uuid4().hex,
            actor=actor_of(session.environment),
            git_commit=plan.git_commit or "",
            is_resume_allowed=not no_resume,
            is_fail_fast=fail_fast,
        )
        summary, gates = _apply(session, planned, tell, facts, wait_s)
    if not is_json:
        session.put(render_ending(summary, gates, _left_out(plan)))
    return summary.exit_code


def _apply(
    session: Session, planned: Planned, tell: Listener, facts: ApplyFacts, wait_s: float
) -> tuple[SummaryEvent, list[dict[str, Any]]]:
    clock = SystemClock()
    started_s = clock.steady_s()
    session.make_home()
    stop = Stop()
    worker = ProcessWorker(session.home / "runs" / "worker.log", session.environment)
    with (
        stopping_on_signals(stop, worker.kill),
        hold_lease(session, facts, tell, stop, wait_s) as state,
    ):
        _check_unmoved(planned.plan, state)
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
        )
        try:
            outcome = apply_plan(planned.plan, desk, state, facts)
        finally:
            worker.close()
    summary = _summary(outcome, clock.steady_s() - started_s)
    tell(summary)
    return summary, desk.values.get(Address("eval_pack"), {}).get("gates", [])


def _check_unselected(selected: Selection) -> None:
    if selected != Selection():
        raise UsageError(
            "a saved plan says itself what it acts on",
            code="usage_error",
            found="--target, --exclude or --replace beside a plan's file",
            expected="the file alone",
            remedy="brewslm plan --out NAME.plan.json with these flags, then apply that",
        )


def _left_out(plan: Plan) -> str:
    """Return the sentence about what a partial plan leaves out, empty where it leaves nothing."""
    partial = (item for item in plan.finding_values if item.code is FindingCode.PARTIAL_PLAN)
    return next((item.message for item in partial), "")


def _check_unmoved(plan: Plan, state: StateSession) -> None:
    meta = state.meta()
    if plan.project.lineage and plan.project.serial != meta.serial:
        raise StalePlanError(
            "the state moved on since this plan",
            code="plan_stale",
            found=f"serial {meta.serial}",
            expected=f"serial {plan.project.serial}",
            remedy="brewslm plan --out NAME.plan.json",
        )


def _announce(plan: Plan, tell: Listener, *, is_from_file: bool) -> None:
    tell(
        VersionEvent(
            tool_version=__version__,
            operation="refresh_only" if plan.mode == REFRESH_ONLY else "apply",
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
    file: Path | None,
    *,
    auto_approve: bool,
    is_json: bool,
) -> bool:
    if not plan.has_changes or auto_approve:
        tell(ApprovalEvent(mode="auto", is_granted=True))
        return True
    if file is not None:
        tell(ApprovalEvent(mode="file", is_granted=True))
        return True
    if is_json or not sys.stdin.isatty():
        tell(ApprovalEvent(mode="prompt", is_granted=False))
        raise ApplyError(
            "nobody can be asked here, so nothing was done",
            code="approval_missing",
            found="standard output that is a stream of events" if is_json else "no terminal",
            expected="an approval",
            remedy="brewslm apply --auto-approve, or brewslm apply NAME.plan.json",
        )
    session.err.write('\nDo you want to do this? Only "yes" is taken for approval: ')
    session.err.flush()
    is_granted = sys.stdin.readline().strip() == "yes"
    tell(ApprovalEvent(mode="prompt", is_granted=is_granted))
    if not is_granted:
        session.say("Nothing was done.")
    return is_granted


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
