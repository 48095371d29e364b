"""`brewslm state push`: put back a state that was pulled, or a record that the state could not
take.
"""

import sys
from pathlib import Path

import click

from brewslm.apply import state_edits
from brewslm.apply.clock import SystemClock
from brewslm.apply.desk import Place
from brewslm.apply.evidence import check_promotions
from brewslm.apply.interruption import Stop
from brewslm.apply.promotion import moving_links, repair_pointers
from brewslm.artifacts.store import ArtifactReader
from brewslm.cli.approval import standing
from brewslm.cli.leasing import hold_lease, seconds, unheard
from brewslm.cli.paths import NamedPath
from brewslm.cli.planning import open_state
from brewslm.cli.session import Session
from brewslm.contracts import Work
from brewslm.errors import ApplyError, ExitCode, StateError
from brewslm.files import move
from brewslm.stages.kinds import KINDS
from brewslm.state.portable import check_successor, is_pulled, open_pulled
from brewslm.state.records import Meta
from brewslm.state.rescue import Unwritten, push, read_unwritten
from brewslm.state.store import StateReader

_OPERATION = "state push"


@click.command("push")
@click.argument("file", type=NamedPath())
@click.option("--force", "is_forced", is_flag=True, help="Replace a newer or another state too.")
@click.option("--lock-timeout", default="0s", show_default=True, help="How long to wait, as 10m.")
@click.pass_obj
def command(session: Session, file: Path, is_forced: bool, lock_timeout: str) -> int:
    """Put back a pulled state, or a record that an apply could not write.

    The state before is kept below .brewslm/backups.
    """
    data, wait_s = _read(file), seconds(lock_timeout)
    if is_pulled(data):
        return _push_state(
            session, open_pulled(data, session.state_schema), wait_s, is_forced=is_forced
        )
    return _push_record(session, file, read_unwritten(data), wait_s)


def _push_record(session: Session, file: Path, unwritten: Unwritten, wait_s: float) -> int:
    facts = standing(session)
    held = hold_lease(session, facts, unheard, Stop(), wait_s, _OPERATION, is_pushing=True)
    with held as state:
        artifacts = session.artifacts()
        _check_kept(unwritten, artifacts)
        if unwritten.deployment is not None:
            check_promotions([unwritten.deployment], unwritten.records, (), artifacts)
        serial = push(unwritten, state)
        with moving_links(session.home, state):
            repair_pointers(session.home, state)
    move(file, file.with_name(f"{file.name}.pushed"))
    session.put(f"{unwritten.operation.address} is recorded, serial {serial}.\n")
    return ExitCode.DONE


def _push_state(session: Session, pulled: StateReader, wait_s: float, *, is_forced: bool) -> int:
    store = session.store()
    if not store.exists():
        session.make_home()
        store.create(pulled.meta().lineage)
    with open_state(session) as state:
        seen = state.meta()
        is_other = is_forced or check_successor(pulled, state)
    if not is_other:
        session.put("Nothing was done: that is the state.\n")
        return ExitCode.DONE
    if is_forced and not _is_typed(session, seen):
        return ExitCode.ERROR
    facts, place = standing(session), Place(session.home, session.artifacts())
    with hold_lease(session, facts, unheard, Stop(), wait_s, _OPERATION) as held:
        if is_forced:
            _check_unmoved(seen, held.meta())
        else:
            check_successor(pulled, held)
        check_promotions(
            pulled.deployments(), pulled.resources().values(), held.deployments(), place.artifacts
        )
        serial = state_edits.replace_all(pulled, place, held, facts, SystemClock())
    session.put(
        f"The state is the pushed one, serial {serial}. The one before is in .brewslm/backups.\n"
    )
    return ExitCode.DONE


def _is_typed(session: Session, meta: Meta) -> bool:
    """Return whether the lineage of the state that goes was typed on the terminal.

    Raises: ApplyError with approval_missing where nobody can be asked.
    """
    if not sys.stdin.isatty():
        raise ApplyError(
            "nobody can be asked here, so nothing was done",
            code="approval_missing",
            found="no terminal",
            expected="the lineage of the state that goes, typed",
            remedy="run brewslm state push --force in a terminal",
        )
    session.err.write(
        f"\nSerial {meta.serial} of lineage {meta.lineage} is replaced. Type its lineage to go on: "
    )
    session.err.flush()
    is_typed = sys.stdin.readline().strip() == meta.lineage
    if not is_typed:
        session.say("Nothing was done.")
    return is_typed


def _check_unmoved(seen: Meta, meta: Meta) -> None:
    """Refuse to replace another state than the one that was typed.

    Raises: StateError.
    """
    if (seen.lineage, seen.serial) != (meta.lineage, meta.serial):
        raise StateError(
            "the state moved on meanwhile",
            code="plan_stale",
            found=f"serial {meta.serial}",
            expected=f"serial {seen.serial}",
            remedy="brewslm state push asks again",
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StateError(
            f"{path} cannot be read",
            code="unreadable",
            found=str(error.strerror),
            expected="a state that was pulled, or the file that an apply left",
            remedy="name that file",
        ) from error


def _check_kept(unwritten: Unwritten, artifacts: ArtifactReader) -> None:
    """Refuse a record whose bytes are not kept any more.

    Raises: ArtifactError.
    """
    for record in unwritten.records:
        if record.kind in KINDS and KINDS[record.kind].work in (Work.DOOR, Work.POINTER):
            for output in record.outputs.values():
                artifacts.verify(output)
