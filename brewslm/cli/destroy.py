"""`brewslm destroy`: forget everything that was applied; kept bytes stay until gc."""

from pathlib import Path

import click

from brewslm.cli.applying import ApplyFlags, apply_planned
from brewslm.cli.leasing import seconds
from brewslm.cli.paths import NamedPath
from brewslm.cli.planning import Planned, open_state
from brewslm.cli.provenance import git_commit
from brewslm.cli.session import Session
from brewslm.errors import ApplyError, ExitCode
from brewslm.plan.destroy import plan_destroy


@click.command("destroy")
@click.option("--auto-approve", is_flag=True, help="Do not ask.")
@click.option("--lock-timeout", default="0s", show_default=True, help="How long to wait, as 10m.")
@click.option("--json", "is_json", is_flag=True, help="The event stream on standard output.")
@click.option("--json-into", type=NamedPath(), help="The event stream in a file.")
@click.pass_obj
def command(
    session: Session,
    auto_approve: bool,
    lock_timeout: str,
    is_json: bool,
    json_into: Path | None,
) -> int:
    """Delete every record and the promoted pointer; artifacts and your own files stay."""
    wait_s = seconds(lock_timeout)
    with open_state(session) as state:
        plan = plan_destroy(state, git_commit(session.root))
        newest = next(iter(state.revisions(limit=1)), None)
        is_revised = state.meta().serial == (newest.serial if newest else 0)
    if not plan.actions and is_revised:
        session.put("Nothing was done: nothing is recorded.\n")
        return ExitCode.DONE
    flags = ApplyFlags(
        wait_s=wait_s, is_approved=auto_approve, is_json=is_json, json_into=json_into
    )
    return apply_planned(session, Planned(plan, {}, None, _no_rows), flags)


def _no_rows() -> Path:
    raise ApplyError("a destroy prepares no rows", code="artifact_missing", remedy="brewslm plan")
