"""`brewslm events`: the append-only history of runs."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import click

from brewslm.apply.interruption import Stop, stopping_on_signals
from brewslm.cli.following import PAUSE_S, SHARED_PAUSE_S, Find, follow, pause_of
from brewslm.cli.planning import open_state
from brewslm.cli.session import Session
from brewslm.cli.usage import UsageError
from brewslm.errors import ExitCode, StateError
from brewslm.render.overview import render_clusters, render_events
from brewslm.state.documents import to_document
from brewslm.state.records import RunEvent
from brewslm.state.run_events import SEVERITIES, STAGES
from brewslm.state.store import StateReader


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
@click.option("--follow", "is_following", is_flag=True, help="Oldest first; wait for more.")
@click.option(
    "--clusters", "is_clustered", is_flag=True, help="Failures that look the same, counted."
)
@click.option("--json", "is_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def command(
    session: Session,
    limit: int,
    since: str | None,
    stage: str | None,
    severity: str | None,
    reason_code: str | None,
    is_following: bool,
    is_clustered: bool,
    is_json: bool,
) -> int:
    """Show the history of runs, newest first."""
    if is_clustered:
        return _clusters(session, stage, reason_code, is_json=is_json)
    not_before = _utc(since) if since is not None else None

    def find(state: StateReader, amount: int) -> list[RunEvent]:
        return state.run_events(
            limit=amount, stage=stage, severity=severity, reason_code=reason_code, since=not_before
        )

    def show(events: Sequence[RunEvent]) -> None:
        if not is_json:
            session.put(render_events(events))
            return
        for item in events:
            line = json.dumps(to_document(item), ensure_ascii=False, sort_keys=True)
            session.put_data(f"{line}\n")

    if is_following:
        return _followed(session, find, show, limit)
    with open_state(session) as state:
        found = find(state, limit)
    show(found)
    return ExitCode.DONE


def _clusters(
    session: Session, stage: str | None, reason_code: str | None, *, is_json: bool
) -> ExitCode:
    """Show what failed how often over the whole history, the most frequent first."""
    with open_state(session) as state:
        found = [
            item
            for item in state.failure_clusters()
            if stage in (None, item.stage) and reason_code in (None, item.reason_code)
        ]
    found.sort(key=lambda item: -item.failure_count)
    if is_json:
        for item in found:
            session.put_data(json.dumps(to_document(item), ensure_ascii=False) + "\n")
    else:
        session.put(render_clusters(found))
    return ExitCode.DONE


def _followed(
    session: Session, find: Find, show: Callable[[Sequence[RunEvent]], None], limit: int
) -> ExitCode:
    """Show the newest events, oldest of them first, and then each one that comes."""

    def warn(error: StateError) -> None:
        session.say(f"warning[{error.code}]: {error.message}: {error.found}; looking again")

    stop = Stop()
    with stopping_on_signals(stop, lambda: None):
        with open_state(session) as state:
            found = find(state, limit)
        if found:
            show(found[::-1])
        newest = found[0] if found else None
        pause_s = SHARED_PAUSE_S if session.is_state_shared() else PAUSE_S
        pause = pause_of(session.out, pause_s)
        follow(session.store(), find, newest, show, pause, warn, stop)
    return ExitCode.INTERRUPTED if stop.is_requested else ExitCode.DONE


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
