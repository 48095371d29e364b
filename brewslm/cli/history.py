"""`brewslm history`: the revisions, newest first."""

import json

import click

from brewslm.cli.addresses import unknown_address
from brewslm.cli.planning import open_state
from brewslm.cli.session import Session
from brewslm.render.overview import render_revisions
from brewslm.state.documents import to_document


@click.command("history")
@click.argument("address", required=False)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@click.option("--json", "is_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def command(session: Session, address: str | None, limit: int, is_json: bool) -> int:
    """Show the revisions, or only those that touched ADDRESS."""
    with open_state(session) as state:
        revisions = [
            item
            for item in state.revisions()
            if address is None or any(action["address"] == address for action in item.actions)
        ][:limit]
        if address is not None and not revisions:
            raise unknown_address(address, state.resources())
    if is_json:
        lines = (
            json.dumps(to_document(item), ensure_ascii=False, sort_keys=True) for item in revisions
        )
        session.put_data("".join(f"{line}\n" for line in lines))
    else:
        session.put(render_revisions(revisions))
    return 0
