"""`brewslm rollback`: promote again what was promoted before, or end the hold that this left."""

import click

from brewslm.apply.clock import SystemClock
from brewslm.apply.desk import Place
from brewslm.apply.interruption import Stop
from brewslm.apply.rollback import release, roll_back
from brewslm.cli.approval import approved, standing
from brewslm.cli.leasing import hold_lease, seconds, unheard
from brewslm.cli.planning import load_digests, open_state
from brewslm.cli.session import Session
from brewslm.cli.usage import UsageError
from brewslm.errors import ExitCode
from brewslm.plan.rollback import plan_rollback
from brewslm.plan.rollback_base import Surroundings
from brewslm.render.text import TextStyle, render_plan

_OPERATION = "rollback"


@click.command("rollback")
@click.argument("revision", type=click.IntRange(1), required=False)
@click.option("--auto-approve", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show it and do nothing.")
@click.option("--release", "is_release", is_flag=True, help="End the hold of an earlier rollback.")
@click.option("--lock-timeout", default="0s", show_default=True, help="How long to wait, as 10m.")
@click.pass_obj
def command(
    session: Session,
    revision: int | None,
    auto_approve: bool,
    dry_run: bool,
    is_release: bool,
    lock_timeout: str,
) -> int:
    """Promote what was promoted at REVISION, by default what was promoted before."""
    wait_s = seconds(lock_timeout)
    if is_release:
        if revision is not None or dry_run:
            raise UsageError(
                "--release stands alone", code="usage_error", remedy="brewslm rollback --release"
            )
        return _release(session, wait_s)
    with open_state(session) as state:
        around = Surroundings(session.root, session.environment, load_digests(session))
        rollback = plan_rollback(state, session.artifacts(), revision, around)
    if rollback is None:
        session.put("Nothing was done: that is what is promoted.\n")
        return ExitCode.DONE
    style = TextStyle(session.has_color)
    session.put(render_plan(rollback.plan, style, saved_as=None))
    if dry_run:
        return ExitCode.DONE
    if not auto_approve and not approved(session, "brewslm rollback --auto-approve"):
        return ExitCode.ERROR
    facts, clock = standing(session), SystemClock()
    place = Place(session.home, session.artifacts())
    with hold_lease(session, facts, unheard, Stop(), wait_s, _OPERATION) as held:
        made = roll_back(rollback, place, held, facts, clock)
    target = rollback.target
    session.put(
        f"Promoted again: {target.alias} is what revision {target.revision} promoted. "
        f"Revision {made.revision}.\n"
        "The deployment is held there until another candidate is wanted, or: "
        "brewslm rollback --release\n"
    )
    return ExitCode.DONE


def _release(session: Session, wait_s: float) -> int:
    facts = standing(session)
    with open_state(session) as state:
        is_applied = bool(state.meta().lineage)
    if is_applied:
        with hold_lease(session, facts, unheard, Stop(), wait_s, _OPERATION) as held:
            is_applied = release(held, facts, SystemClock()) is not None
    if is_applied:
        session.put("The hold is over; the next apply may promote again.\n")
    else:
        session.put("Nothing was done: no rollback holds the deployment.\n")
    return ExitCode.DONE
