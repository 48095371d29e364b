"""Files that a caller names: relative to the project folder, as with `git -C`."""

from pathlib import Path
from typing import Any

import click

from brewslm.cli.session import Session


class NamedPath(click.Path):
    """A file or folder of a command line, relative to the folder of --chdir."""

    def __init__(self) -> None:
        """Take any path; whether it is there is for the command to say."""
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path as the commands may open it."""
        path = Path(str(super().convert(value, param, ctx)))
        session = ctx.find_object(Session) if ctx is not None else None
        return path if session is None else placed(session, path)


def placed(session: Session, path: Path) -> Path:
    """Return a path as it can be opened from the caller's own folder."""
    return path if session.root == Path.cwd() else session.root / path


def as_named(session: Session, path: Path) -> Path:
    """Return a path as the caller named it, to be told."""
    return path.relative_to(session.root) if path.is_relative_to(session.root) else path
