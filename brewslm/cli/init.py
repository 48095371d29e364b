"""`brewslm init`: a starter manifest, written once, and a state with a lineage of its own."""

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from brewslm.cli.planning import write_output
from brewslm.cli.session import Session
from brewslm.errors import ManifestError, PlanError
from brewslm.files import open_inside
from brewslm.manifest.starter import DEFAULT_LOCATOR, starter_text
from brewslm.render.starting import Surveyed, render_start
from brewslm.rows.introspect import Proposal, propose_feed
from brewslm.rows.mapper import DefaultOptions
from brewslm.rows.source import SourceError, open_source, parse_locator

_MANIFEST_MODE = 0o644


@dataclass(frozen=True)
class _Start:
    """A manifest to write, and what its proposals were found in."""

    text: str
    locator: str
    surveyed: Surveyed | None = None


@click.command("init")
@click.option("--from-data", metavar="FILE", help="Propose a mapping for the rows of this file.")
@click.option("--force", is_flag=True, help="Replace a manifest that is there.")
@click.pass_obj
def command(session: Session, from_data: str | None, force: bool) -> int:
    """Write a starter manifest and make the state; a manifest that is there stays as it is."""
    _check_folder(session.root)
    target = session.root / session.manifest
    is_kept = os.path.lexists(target) and not force
    if is_kept and from_data is not None:
        raise _already_there(session.manifest)
    start = None if is_kept else _start(session.root, from_data)
    is_new, lineage = _made_state(session)
    if start is not None:
        write_output(target, start.text.encode(), _MANIFEST_MODE)
    session.put(
        render_start(
            manifest=session.manifest,
            locator=start.locator if start else None,
            surveyed=start.surveyed if start else None,
            lineage=lineage,
            is_new_state=is_new,
        )
    )
    return 0


def _check_folder(root: Path) -> None:
    if not root.is_dir():
        raise PlanError(
            f'there is no folder "{root}"',
            code="system_config_invalid",
            found="a file" if root.exists() else "nothing",
            expected="a folder for the project",
            remedy=f"mkdir -p {root}",
        )


def _start(root: Path, from_data: str | None) -> _Start:
    if from_data is None:
        return _Start(starter_text(name=root.name), DEFAULT_LOCATOR)
    path = _relative(root, from_data)
    open_inside(root, path).close()
    locator = str(parse_locator(f"file:{path}"))
    surveyed = _survey(root, locator)
    best, *others = surveyed.proposals
    text = starter_text(name=root.name, proposal=best, others=others, locator=locator)
    return _Start(text, locator, surveyed)


def _relative(root: Path, given: str) -> str:
    """Return a path as the manifest writes it: below the project folder, with /."""
    path = Path(given)
    inside = path.relative_to(root) if path.is_absolute() and path.is_relative_to(root) else path
    return inside.as_posix()


def _survey(root: Path, locator: str) -> Surveyed:
    """Return what the rows of a file look like.

    Raises: SourceError when the file cannot be read, holds no row, or fits no mapper.
    """
    defaults = DefaultOptions()
    feed = open_source(locator, root)
    proposals: Sequence[Proposal] = propose_feed(
        feed, defaults.sample_rows, defaults.min_confidence
    )
    path, columns = feed.locator.path, tuple(feed.tally.columns)
    if not columns or not feed.rows_read:
        raise SourceError(
            f'"{path}" holds no rows',
            code="SOURCE_EMPTY",
            found=f"{feed.size_bytes} bytes, no row that can be read",
            expected=f"rows as {feed.locator.scheme.upper()}",
            remedy="put rows into the file, then run brewslm init again",
        )
    if not proposals:
        raise SourceError(
            f'no mapper fits the rows of "{path}"',
            code="MAPPING_LOW_CONFIDENCE",
            found="columns " + ", ".join(f'"{name}"' for name in columns),
            expected='columns such as "text" and "label", "question" and "answer", or "messages"',
            remedy="rename the columns, or run brewslm init without --from-data and write adapters",
        )
    return Surveyed(path, feed.rows_read, columns, tuple(proposals))


def _made_state(session: Session) -> tuple[bool, str]:
    """Return whether the state was made just now, and its lineage."""
    session.make_home()
    store = session.store()
    if store.exists():
        reader = store.read()
        try:
            return False, reader.meta().lineage
        finally:
            reader.close()
    return True, store.create(str(uuid.uuid4())).lineage


def _already_there(manifest: str) -> ManifestError:
    return ManifestError(
        f'there is a manifest "{manifest}" already',
        code="manifest_exists",
        found=manifest,
        expected="a folder without a manifest",
        remedy="brewslm init --from-data FILE --force replaces it; "
        "--manifest NAME.yaml writes another one",
    )
