"""`brewslm gc`: kept bytes that nothing leads to, shown and, when asked to, deleted."""

import json
import time

import click

from brewslm.apply.clock import SystemClock
from brewslm.apply.garbage import Garbage, GarbageOptions, delete, discard, find_garbage
from brewslm.apply.history import History
from brewslm.apply.interruption import Stop
from brewslm.cli.approval import standing
from brewslm.cli.leasing import hold_lease, seconds, unheard
from brewslm.cli.planning import open_state
from brewslm.cli.session import Session
from brewslm.cli.usage import UsageError
from brewslm.errors import ExitCode, RefusedError
from brewslm.render import words
from brewslm.state.store import StateReader


@click.command("gc")
@click.option("--delete", "is_deleting", is_flag=True, help="Delete it; without this it is shown.")
@click.option("--dry-run", is_flag=True, help="Show it and delete nothing; so it is by default.")
@click.option("--grace", default="7d", show_default=True, help="Age below which anything stays.")
@click.option(
    "--keep-revisions",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Newest revisions whose bytes stay.",
)
@click.option("--lock-timeout", default="0s", show_default=True, help="How long to wait, as 10m.")
@click.option("--json", "is_json", is_flag=True, help="As JSON.")
@click.pass_obj
def command(
    session: Session,
    is_deleting: bool,
    dry_run: bool,
    grace: str,
    keep_revisions: int,
    lock_timeout: str,
    is_json: bool,
) -> int:
    """Show kept bytes that no record, pointer, revision or open journal entry leads to."""
    if is_deleting and dry_run:
        raise UsageError(
            "--delete and --dry-run contradict each other",
            code="usage_error",
            remedy="write one of them",
        )
    if is_deleting:
        _check_whole(session)
    options = GarbageOptions(time.time(), seconds(grace), keep_revisions)
    with open_state(session) as state:
        is_applied = bool(state.meta().lineage)
        garbage = _found(session, state, options)
    if is_deleting and is_applied:
        garbage = _deleted(session, options, seconds(lock_timeout))
    session.put_data(_document(garbage, is_deleting) if is_json else "")
    if not is_json:
        session.put(_text(garbage, is_deleting))
    return ExitCode.DONE


def _check_whole(session: Session) -> None:
    """Refuse to delete what states that are not read here may lead to.

    Raises: RefusedError with delete_refused.
    """
    if session.is_state_apart():
        raise RefusedError(
            "the artifacts are shared and the state is not, so nobody knows what others need",
            code="delete_refused",
            found="backend.artifacts without backend.state",
            expected="a state that all clones share",
            remedy="name a shared state too: backend.state",
        )


def _found(session: Session, state: StateReader, options: GarbageOptions) -> Garbage:
    return find_garbage(state, session.artifacts(), session.root, session.home, options)


def _deleted(session: Session, options: GarbageOptions, wait_s: float) -> Garbage:
    """Mark and delete under one lease; the event that the fence guards comes before the end."""
    facts, artifacts = standing(session), session.artifacts()
    with hold_lease(session, facts, unheard, Stop(), wait_s, "gc") as held:
        with held.holding():
            artifacts.sweep()
        garbage = _found(session, held, options)
        discard(garbage, artifacts, held)
        History(held, facts.apply_id, facts.actor, SystemClock()).add(
            "system",
            "info",
            "gc_finished",
            f"{words.plural(len(garbage.objects), 'object')} deleted",
            {"objects": len(garbage.objects), "size_bytes": garbage.size_bytes},
        )
        delete(garbage, artifacts, session.home, held)
    return garbage


def _document(garbage: Garbage, is_deleted: bool) -> str:
    document = {
        "is_deleted": is_deleted,
        "objects": [
            {"digest": item.digest, "size_bytes": item.size_bytes} for item in garbage.objects
        ],
        "models": list(garbage.models),
        "size_bytes": garbage.size_bytes,
        "kept": garbage.kept,
        "young": garbage.young,
    }
    return json.dumps(document, sort_keys=True) + "\n"


def _text(garbage: Garbage, is_deleted: bool) -> str:
    objects = words.plural(len(garbage.objects), "object")
    models = words.plural(len(garbage.models), "laid-out model")
    verb = "Deleted" if is_deleted else "Could go:"
    lines = [
        f"{verb} {objects} of {words.size(garbage.size_bytes)} and {models}.",
        f"Kept: {words.plural(garbage.kept, 'object')} in use, "
        f"{garbage.young} not in use and younger than the grace.",
    ]
    if not is_deleted and (garbage.objects or garbage.models):
        lines.append("Nothing was deleted. To delete them: brewslm gc --delete")
    return "\n".join(lines) + "\n"
