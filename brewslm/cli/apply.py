"""`brewslm apply`: plan or load a plan, ask, take the lease, do it, say how it ended."""

from pathlib import Path

import click

from brewslm.cli.applying import ApplyFlags, apply_planned
from brewslm.cli.device_flag import choosing_device
from brewslm.cli.leasing import seconds
from brewslm.cli.paths import NamedPath
from brewslm.cli.planning import (
    PlanWishes,
    make_plan,
    use_saved_plan,
)
from brewslm.cli.selecting import selecting, selection
from brewslm.cli.session import Session
from brewslm.cli.usage import UsageError
from brewslm.plan.selection import Selection


@click.command("apply")
@click.argument("file", type=NamedPath(), required=False)
@click.option("--auto-approve", is_flag=True, help="Do not ask.")
@click.option("--expect-digest", help="The digest of the plan that was reviewed.")
@click.option("--lock-timeout", default="0s", show_default=True, help="How long to wait, as 10m.")
@click.option("--fail-fast", is_flag=True, help="Begin nothing more after a failure.")
@click.option("--no-resume", is_flag=True, help="Start interrupted training from the beginning.")
@click.option("--json", "is_json", is_flag=True, help="The event stream on standard output.")
@click.option("--json-into", type=NamedPath(), help="The event stream in a file.")
@click.option(
    "--max-deletes", type=click.IntRange(0), default=3, show_default=True, help="Deletes allowed."
)
@click.option(
    "--refresh-only", is_flag=True, help="Take what is really there into the record; do no work."
)
@selecting
@choosing_device
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
    device: str | None,
    targets: tuple[str, ...],
    excludes: tuple[str, ...],
    replaces: tuple[str, ...],
) -> int:
    """Do what the plan says: exactly the listed actions and no other."""
    wait_s = seconds(lock_timeout)
    selected = selection(targets, excludes, replaces)
    if file is not None:
        _check_unselected(selected, device)
        planned = use_saved_plan(session, file, expect_digest)
    else:
        if expect_digest is not None:
            raise UsageError(
                "only a saved plan has a digest that was reviewed",
                code="usage_error",
                found="--expect-digest without a plan's file",
                expected="both",
                remedy="brewslm apply NAME.plan.json --expect-digest DIGEST",
            )
        wishes = PlanWishes(
            max_deletes=max_deletes,
            is_refresh_only=refresh_only,
            selection=selected,
            device=device,
        )
        planned = make_plan(session, wishes)
    flags = ApplyFlags(
        wait_s=wait_s,
        file=file,
        is_approved=auto_approve,
        is_reviewed=expect_digest is not None,
        is_fail_fast=fail_fast,
        is_resume_allowed=not no_resume,
        is_json=is_json,
        json_into=json_into,
    )
    return apply_planned(session, planned, flags)


def _check_unselected(selected: Selection, device: str | None) -> None:
    if selected != Selection() or device is not None:
        raise UsageError(
            "a saved plan says itself what it acts on",
            code="usage_error",
            found="--target, --exclude, --replace or --device with a plan's file",
            expected="the file alone",
            remedy="brewslm plan --out NAME.plan.json with these flags, then apply that",
        )
