"""`brewslm state`: what the state remembers, read only."""

import json
from pathlib import Path

import click
from msgspec.structs import asdict

from brewslm.cli.planning import open_state, write_output
from brewslm.cli.session import Session
from brewslm.cli.show import command as show_command
from brewslm.cli.usage import SuggestingGroup
from brewslm.render.overview import render_addresses
from brewslm.stages.kinds import KINDS
from brewslm.state.documents import to_document
from brewslm.state.portable import pulled_bytes


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
