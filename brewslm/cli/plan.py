"""`brewslm plan`: compare the manifest with the record and the real thing, and show what apply
would do.
"""

from pathlib import Path

import click

from brewslm.cli.devices import choosing_device
from brewslm.cli.paths import NamedPath, as_named
from brewslm.cli.planning import PlanWishes, make_plan, write_output
from brewslm.cli.provenance import ci_run_of
from brewslm.cli.reviewing import Review
from brewslm.cli.selecting import selecting, selection
from brewslm.cli.session import Session
from brewslm.cli.usage import UsageError
from brewslm.diagnostics import exit_code_of
from brewslm.errors import ExitCode
from brewslm.render.markdown import render_markdown
from brewslm.render.text import TextStyle, render_plan


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
    wishes = PlanWishes(
        refresh,
        max_deletes,
        refresh_only,
        selection(targets, excludes, replaces),
        Review(against, policy_ref),
        is_untrusted=untrusted,
        snapshot=state_snapshot,
        device=device,
    )
    _check_sight(wishes)
    plan = make_plan(session, wishes).plan
    for path in (out, json_into):
        if path is not None:
            write_output(path, plan.to_bytes())
    if markdown is not None:
        run = ci_run_of(session.environment)
        write_output(markdown, render_markdown(plan, run).encode())
    if is_json:
        session.put_data(plan.to_bytes().decode())
    else:
        style = TextStyle(session.has_color, show_unchanged, explain)
        session.put(render_plan(plan, style, saved_as=str(as_named(session, out)) if out else ""))
    code = exit_code_of(plan.finding_values)
    if code is ExitCode.DONE and detailed_exitcode and plan.is_pending:
        return ExitCode.CHANGES_PENDING
    return code


def _check_sight(wishes: PlanWishes) -> None:
    if wishes.is_refresh_only and wishes.is_elsewhere:
        raise UsageError(
            "drift is looked for where things are",
            code="usage_error",
            found="--refresh-only together with --untrusted or --state-snapshot",
            expected="one of them",
            remedy="brewslm plan --refresh-only, on the machine that applies",
        )
