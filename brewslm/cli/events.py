"""`brewslm events`: the append-only history of runs."""

import json

import click

from brewslm.cli.planning import open_state
from brewslm.cli.session import Session
from brewslm.render.overview import render_events
from brewslm.state.documents import to_document


@click.command("events")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="How many.")
@click.option("--since", help="Not before this RFC 3339 time.")
@click.option("--stage", help="Only this stage, such as training.")
@click.option("--severity", help="Only info, warning, error or critical.")
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
    with open_state(session) as state:
        found = state.run_events(
            limit=limit, stage=stage, severity=severity, reason_code=reason_code, since=since
        )
    if is_json:
        lines = (
            json.dumps(to_document(item), ensure_ascii=False, sort_keys=True) for item in found
        )
        session.put("".join(f"{line}\n" for line in lines))
    else:
        session.put(render_events(found))
    return 0
