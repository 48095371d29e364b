"""`brewslm events`: the append-only history of runs."""

import json
from datetime import UTC, datetime

import click

from brewslm.cli.planning import open_state
from brewslm.cli.session import Session
from brewslm.cli.usage import UsageError
from brewslm.render.overview import render_events
from brewslm.state.documents import to_document
from brewslm.state.run_events import SEVERITIES, STAGES


@click.command("events")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many.")
@click.option("--since", help="Not before this time, in UTC.")
@click.option("--stage", type=click.Choice(STAGES), help="Only this stage.")
@click.option(
    "--severity",
    type=click.Choice(SEVERITIES),
    help="Only this severity.",
)
@click.option("--code", "reason_code", help="Only this reason code.")
@click.option("--json", "is_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def command(
    session: Session,
    limit: int,
    since: str | None,
    stage: str | None,
    severity: str | None,
    reason_code: str | None,
    is_json: bool,
) -> int:
    """Show the history of runs, newest first."""
    since = _utc(since) if since is not None else None
    with open_state(session) as state:
        found = state.run_events(
            limit=limit, stage=stage, severity=severity, reason_code=reason_code, since=since
        )
    if is_json:
        lines = (
            json.dumps(to_document(item), ensure_ascii=False, sort_keys=True) for item in found
        )
        session.put_data("".join(f"{line}\n" for line in lines))
    else:
        session.put(render_events(found))
    return 0


def _utc(text: str) -> str:
    """Return a time as run events hold it; one without a zone is in UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f'"{text}" is no time',
            code="usage_error",
            found=text,
            expected="a date, or a date and time in UTC",
            remedy="write --since 2026-01-31 or --since 2026-01-31T08:00:00Z",
        ) from error
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
