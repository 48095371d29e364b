"""`brewslm reconcile`: follow a git ref and apply what is allowed, once or again and again."""

import gc
import random
from collections.abc import Callable

import click

from brewslm.apply.clock import SystemClock
from brewslm.apply.interruption import stopping_on_signals
from brewslm.cli.git_clone import open_clone
from brewslm.cli.leasing import seconds
from brewslm.cli.reconciling import ReconcileFlags, Reconciler
from brewslm.cli.session import Session
from brewslm.cli.sync_memory import MemoryFile
from brewslm.cli.usage import UsageError
from brewslm.cli.watching import LoopStop, Schedule, look_once, watch
from brewslm.errors import ExitCode
from brewslm.render.sync import sync_json, sync_line, sync_text
from brewslm.sync import SyncReport, Target


@click.command("reconcile")
@click.option("--ref", default="", help="Branch, tag or commit; the upstream, else the branch.")
@click.option("--remote", default="", help="Fetch this remote first, and follow its REF.")
@click.option("--watch", "is_watching", is_flag=True, help="Look again and again.")
@click.option("--interval", default="60s", show_default=True, help="How long between two looks.")
@click.option(
    "--max-backoff", default="30m", show_default=True, help="The longest wait while in trouble."
)
@click.option("--json", "is_json", is_flag=True, help="One JSON object a line.")
@click.option("--status", "is_status", is_flag=True, help="What the last look found; do nothing.")
@click.option("--retry", is_flag=True, help="Try the commit again although it failed.")
@click.option("--lock-timeout", default="0s", show_default=True, help="How long to wait, as 10m.")
@click.option(
    "--max-deletes", type=click.IntRange(0), default=3, show_default=True, help="Deletes allowed."
)
@click.pass_obj
def command(
    session: Session,
    ref: str,
    remote: str,
    is_watching: bool,
    interval: str,
    max_backoff: str,
    is_json: bool,
    is_status: bool,
    retry: bool,
    lock_timeout: str,
    max_deletes: int,
) -> int:
    """Bring the project to what a git ref asks for, without asking; report what is not allowed."""
    publish = _published(session, is_json=is_json)
    if is_status:
        return _status(session, is_json=is_json)
    schedule = Schedule(_positive(interval), _positive(max_backoff))
    flags = ReconcileFlags(
        target=Target(ref=ref, remote=remote),
        max_deletes=max_deletes,
        wait_s=seconds(lock_timeout),
        is_retry=retry,
    )
    stop = LoopStop()
    clock = SystemClock()
    clone = open_clone(session.root, session.environment, lambda: stop.is_requested)
    reconciler = Reconciler(session, clone, flags, clock=clock, stop=stop, publish=publish)
    with stopping_on_signals(stop, lambda: None):
        if not is_watching:
            return look_once(reconciler, stop)
        gc.enable()  # a loop lives long, unlike the calls that it is off for
        return watch(reconciler, schedule, stop, clock, random.SystemRandom())


def _published(session: Session, *, is_json: bool) -> Callable[[SyncReport], None]:
    def publish(report: SyncReport) -> None:
        if is_json:
            session.put_data(sync_json(report))
        else:
            session.put(sync_line(report))

    return publish


def _status(session: Session, *, is_json: bool) -> int:
    report = MemoryFile(session.home).load().report
    if report is None:
        report = SyncReport(
            at=SystemClock().now(),
            target=Target(ref="HEAD"),
            message="no look was ever taken here; brewslm reconcile takes one",
        )
    if is_json:
        session.put_data(sync_json(report))
    else:
        session.put(sync_text(report))
    return ExitCode.DONE if report.is_well else ExitCode.CHANGES_PENDING


def _positive(text: str) -> float:
    found = seconds(text)
    if found < 1:
        raise UsageError(
            "a loop waits at least a second",
            code="usage_error",
            found=text,
            expected="1s or longer",
            remedy="--interval 60s",
        )
    return found
