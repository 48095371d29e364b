"""`brewslm plan`: compare the manifest with the record and the real thing, and show what apply
would do.
"""

from pathlib import Path

import click

from brewslm.cli.device_flag import choosing_device
from brewslm.cli.paths import NamedPath
from brewslm.cli.plan_memory import PlanFlags, question, recall
from brewslm.cli.selecting import selecting
from brewslm.cli.session import Session


@click.command("plan")
@click.option("--out", type=NamedPath(), help="Save the plan; apply takes it.")
@click.option("--json", "is_json", is_flag=True, help="The plan as JSON on standard output.")
@click.option("--json-into", type=NamedPath(), help="The plan as JSON in a file.")
@click.option("--markdown", type=NamedPath(), help="The plan as Markdown in a file.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 2 when changes are pending.")
@click.option(
    "--refresh",
    type=click.Choice(["auto", "none", "full"]),
    default="auto",
    show_default=True,
    help="How hard to look at what is really there: auto compares sizes and times and reads what "
    "differs; none trusts the record and opens no recorded file; full reads every source, model "
    "file and artifact again, so that damage shows as drift.",
)
@click.option("--refresh-only", is_flag=True, help="Look for drift and for nothing else.")
@click.option("--show-unchanged", is_flag=True, help="List unchanged resources too.")
@click.option("--explain", is_flag=True, help="Show every field with its origin.")
@click.option(
    "--max-deletes", type=click.IntRange(0), default=3, show_default=True, help="Deletes allowed."
)
@selecting
@click.option("--against", metavar="REF", help="Say too what changes beside this commit.")
@click.option(
    "--policy-ref",
    metavar="REF",
    help="Commit whose brewslm.policy.yaml decides; that of --against, else HEAD.",
)
@click.option(
    "--untrusted",
    is_flag=True,
    help="Plan a stranger's change: only files as git tracks them, no link, no environment, no "
    "state, no cache; nothing is written beside the project.",
)
@click.option(
    "--state-snapshot",
    type=NamedPath(),
    metavar="FILE",
    help="Plan against what brewslm state pull wrote; no store is opened.",
)
@choosing_device
@click.pass_obj
def command(
    session: Session,
    out: Path | None,
    is_json: bool,
    json_into: Path | None,
    markdown: Path | None,
    detailed_exitcode: bool,
    refresh: str,
    refresh_only: bool,
    show_unchanged: bool,
    explain: bool,
    max_deletes: int,
    against: str | None,
    policy_ref: str | None,
    untrusted: bool,
    state_snapshot: Path | None,
    device: str | None,
    targets: tuple[str, ...],
    excludes: tuple[str, ...],
    replaces: tuple[str, ...],
) -> int:
    """Show what apply would do, why, and at what price; nothing is changed."""
    flags = PlanFlags(
        out=out,
        is_json=is_json,
        json_into=json_into,
        markdown=markdown,
        is_detailed=detailed_exitcode,
        refresh=refresh,
        is_refresh_only=refresh_only,
        shows_unchanged=show_unchanged,
        explains=explain,
        max_deletes=max_deletes,
        against=against,
        policy_ref=policy_ref,
        is_untrusted=untrusted,
        snapshot=state_snapshot,
        targets=targets,
        excludes=excludes,
        replaces=replaces,
        device=device,
    )
    asked = question(session, flags) if flags.may_be_recalled else None
    answer = recall(session, asked) if asked is not None else None
    if answer is None:
        from brewslm.cli.plan_answer import planned  # noqa: PLC0415  a recalled plan needs none of it

        answer = planned(session, flags, asked)
    session.put_data(answer.text)
    return answer.exit_code
