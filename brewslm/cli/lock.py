"""`brewslm lock` and `brewslm force-unlock`: who holds the lease, and ending exactly that one."""

import json
import sys
import uuid

import click
from msgspec.structs import asdict

from brewslm.apply.clock import SystemClock
from brewslm.cli.planning import open_state
from brewslm.cli.provenance import actor_of
from brewslm.cli.session import Session
from brewslm.cli.usage import SuggestingGroup
from brewslm.errors import ExitCode
from brewslm.render.words import visible
from brewslm.state.lease import FORCED
from brewslm.state.records import RunEvent


@click.group("lock", cls=SuggestingGroup)
def command() -> None:
    """Show who holds the lease."""


@command.command("show")
@click.option("--json", "is_json", is_flag=True, help="As JSON.")
@click.option("--exit-code", "uses_exit_code", is_flag=True, help="Exit 5 when it is held.")
@click.pass_obj
def show(session: Session, is_json: bool, uses_exit_code: bool) -> int:
    """Show holder, expiry and fence."""
    with open_state(session) as state:
        held = state.lease()
    if is_json:
        document = asdict(held) if held else None
        session.put_data(json.dumps({"lease": document}, sort_keys=True) + "\n")
    elif held is None:
        session.put("The lease is free.\n")
    else:
        session.put(
            f"{held.operation} {held.lease_id} by {visible(held.holder)} (pid {held.pid})\n"
            f"  since    {held.acquired_at}, renewed {held.renewed_at}\n"
            f"  until    {held.expires_at}\n"
            f"  fence    {held.fence}\n"
        )
    return ExitCode.STATE_LOCKED if held and uses_exit_code else ExitCode.DONE


@click.command("force-unlock")
@click.argument("lease_id")
@click.option("--yes", "is_approved", is_flag=True, help="Do not ask.")
@click.pass_obj
def force_unlock(session: Session, lease_id: str, is_approved: bool) -> int:
    """End exactly the lease with this full ID, for a holder that is certainly dead."""
    if not is_approved:
        session.err.write(
            "A run that is alive after all loses what it has not recorded yet.\n"
            'Only "yes" is taken for approval: '
        )
        session.err.flush()
        if sys.stdin.readline().strip() != "yes":
            session.say("Nothing was done.")
            return ExitCode.ERROR
    actor = actor_of(session.environment)
    event = RunEvent(
        sequence=0,
        event_id=uuid.uuid4().hex,
        run_id="",
        stage="system",
        severity="warning",
        reason_code=FORCED,
        actor=actor,
        summary=f"lease {lease_id} was ended by {actor}",
        payload={"lease_id": lease_id},
        at=SystemClock().now(),
    )
    ended = session.store().force_unlock(lease_id, event)
    session.put(f"Ended {ended.operation} {ended.lease_id} of {visible(ended.holder)}.\n")
    return ExitCode.DONE
