"""`brewslm state`: what the state remembers, edits by hand, and putting back what it could not
take.
"""

import json
from pathlib import Path

import click
from msgspec.structs import asdict

from brewslm.address import Address
from brewslm.apply import state_edits
from brewslm.apply.clock import SystemClock
from brewslm.apply.desk import Place
from brewslm.apply.interruption import Stop
from brewslm.cli.addresses import unknown_address
from brewslm.cli.approval import standing
from brewslm.cli.importing import command as import_command
from brewslm.cli.leasing import hold_lease, seconds, unheard
from brewslm.cli.paths import NamedPath
from brewslm.cli.planning import open_state, write_output
from brewslm.cli.pushing import command as push_command
from brewslm.cli.session import Session
from brewslm.cli.show import command as show_command
from brewslm.cli.usage import SuggestingGroup, UsageError
from brewslm.errors import ExitCode
from brewslm.render.overview import render_addresses
from brewslm.stages.kinds import KINDS
from brewslm.state.documents import to_document
from brewslm.state.portable import pulled_bytes


@click.group("state", cls=SuggestingGroup)
def command() -> None:
    """List, show and edit what the state remembers."""


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


@command.command("rm")
@click.argument("address")
@click.option("--dry-run", is_flag=True, help="Say what would be forgotten and do nothing.")
@click.option("--lock-timeout", default="0s", show_default=True, help="How long to wait, as 10m.")
@click.pass_obj
def forget(session: Session, address: str, dry_run: bool, lock_timeout: str) -> int:
    """Forget one resource; its bytes and your files stay."""
    wait_s = seconds(lock_timeout)
    with open_state(session) as state:
        records = state.resources()
        if address not in records:
            raise unknown_address(address, records)
        state_edits.check_removal(state)
    if dry_run:
        session.put(f"Would forget {address}.\n")
        return ExitCode.DONE
    facts, place = standing(session), Place(session.home, session.artifacts())
    with hold_lease(session, facts, unheard, Stop(), wait_s, "state rm") as held:
        state_edits.remove(address, place, held, facts, SystemClock())
    session.put(f"Forgot {address}. If the manifest has it still, the next apply makes it again.\n")
    return ExitCode.DONE


@command.command("mv")
@click.argument("old")
@click.argument("new")
@click.option("--dry-run", is_flag=True, help="Say what would change and do nothing.")
@click.option("--lock-timeout", default="0s", show_default=True, help="How long to wait, as 10m.")
@click.pass_obj
def rename(session: Session, old: str, new: str, dry_run: bool, lock_timeout: str) -> int:
    """Give a source or an adapter another address; nothing is done again for that."""
    wait_s = seconds(lock_timeout)
    with open_state(session) as state:
        records = state.resources()
        if old not in records:
            raise unknown_address(old, records)
        changed = state_edits.moved(state, old, _address(new))
    if dry_run:
        following = ", ".join(item.address for item in changed if item.address != new) or "nothing"
        session.put(f"Would rename {old} to {new}; following: {following}.\n")
        return ExitCode.DONE
    facts, place = standing(session), Place(session.home, session.artifacts())
    with hold_lease(session, facts, unheard, Stop(), wait_s, "state mv") as held:
        state_edits.move(old, new, place, held, facts, SystemClock())
    session.put(f"{old} is {new} now. Rename it in the manifest too.\n")
    return ExitCode.DONE


def _address(text: str) -> str:
    """Return an address as it is recorded.

    Raises: UsageError for what is none.
    """
    try:
        return str(Address.parse(text))
    except ValueError as error:
        raise UsageError(
            f'"{text}" is no address',
            code="usage_error",
            found=text,
            expected='kind.name, or kind["odd name"]',
            remedy="write data_source.NAME or adapter.NAME",
        ) from error


@command.command("pull")
@click.option("--out", type=NamedPath(), help="Write to this file.")
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


command.add_command(push_command)
command.add_command(import_command)
