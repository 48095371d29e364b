"""`brewslm schema`: the JSON Schemas that others may rely on."""

from pathlib import Path

import click

from brewslm.cli.paths import NamedPath
from brewslm.cli.planning import not_writable, write_output
from brewslm.cli.session import Session
from brewslm.render.schemas import NAMES, schema_bytes

_MODE = 0o644


@click.command("schema")
@click.argument("name", type=click.Choice(NAMES), default="manifest")
@click.option("--write", type=NamedPath(), help="Write all schemas into a folder.")
@click.pass_obj
def command(session: Session, name: str, write: Path | None) -> int:
    """Print the JSON Schema of a format."""
    if write is not None:
        try:
            write.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise not_writable(write, error) from error
        for item in NAMES:
            write_output(write / f"{item}.json", schema_bytes(item), _MODE)
        return 0
    session.put_data(schema_bytes(name).decode())
    return 0
