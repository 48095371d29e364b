"""`brewslm state`: what the state remembers, and putting back what it could not take."""

import json
import uuid
from pathlib import Path

import click
from msgspec.structs import asdict

from brewslm.apply.executor import ApplyFacts
from brewslm.apply.interruption import Stop
from brewslm.apply.promotion import repair_pointers
from brewslm.artifacts.store import ArtifactReader
from brewslm.cli.leasing import hold_lease
from brewslm.cli.planning import open_state, write_output
from brewslm.cli.provenance import actor_of
from brewslm.cli.session import Session
from brewslm.cli.show import command as show_command
from brewslm.cli.usage import SuggestingGroup
from brewslm.contracts import Work
from brewslm.errors import StateError
from brewslm.events import Event
from brewslm.files import move
from brewslm.render.overview import render_addresses
from brewslm.stages.kinds import KINDS
from brewslm.state.documents import to_document
from brewslm.state.portable import pulled_bytes
from brewslm.state.rescue import Unwritten, push, read_unwritten


@click.group("state", cls=SuggestingGroup)
def command() -> None:
    """List and show what the state remembers."""


@command.command("list")
@click.option("--kind", type=click.Choice(list(KINDS)), help="Only resources of this kind.")
@click.option("--json", "is_json", is_flag=True, help="As JSON.")
@click.pass_obj
def list_resources(session: Session, kind: str | None, is_json: bool) -> int:
    """List all recorded resources."""
    with open_state(session) as state:
        records = {
            name: record
            for name, record in state.resources().items()
            if kind in (None, record.kind)
        }
        meta = state.meta()
    if is_json:
        document = {
            "meta": asdict(meta),
            "resources": {name: to_document(record) for name, record in records.items()},
        }
        session.put_data(json.dumps(document, ensure_ascii=False, sort_keys=True) + "\n")
    else:
        session.put(render_addresses(records))
    return 0


@command.command("show")
@click.argument("address")
@click.option("--json", "is_json", is_flag=True, help="As JSON.")
@click.pass_context
def show_resource(ctx: click.Context, address: str, is_json: bool) -> int:
    """Show one record with its facts."""
    return int(ctx.invoke(show_command, what=address, is_json=is_json))


@command.command("push")
@click.argument("file", type=click.Path(path_type=Path))
@click.pass_obj
def push_record(session: Session, file: Path) -> int:
    """Put a record into the state that an apply could not write."""
    unwritten = read_unwritten(_read(file))
    facts = ApplyFacts(uuid.uuid4().hex, actor_of(session.environment), git_commit="")
    with hold_lease(session, facts, _silent, Stop(), wait_s=0, is_pushing=True) as state:
        _check_kept(unwritten, session.artifacts())
        serial = push(unwritten, state)
        with state.holding():
            repair_pointers(session.home, state)
    move(file, file.with_name(f"{file.name}.pushed"))
    session.put(f"{unwritten.operation.address} is recorded, serial {serial}.\n")
    return 0


@command.command("pull")
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file.")
@click.pass_obj
def pull(session: Session, out: Path | None) -> int:
    """Give the whole state as one JSON document that carries its digest."""
    with open_state(session) as state:
        data = pulled_bytes(state)
    if out is None:
        session.put_data(data.decode())
    else:
        write_output(out, data)
    return 0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StateError(
            f"{path} cannot be read",
            code="unreadable",
            found=str(error.strerror),
            expected="the file that an apply left",
            remedy="name the file that the apply named",
        ) from error


def _check_kept(unwritten: Unwritten, artifacts: ArtifactReader) -> None:
    """Refuse a record whose bytes are not kept any more.

    Raises: ArtifactError.
    """
    for record in unwritten.records:
        if record.kind in KINDS and KINDS[record.kind].work in (Work.DOOR, Work.POINTER):
            for output in record.outputs.values():
                artifacts.verify(output)


def _silent(_event: Event) -> None:
    """Hear of an event and say nothing."""
