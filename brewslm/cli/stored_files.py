"""The stored files of a resource by name: listed, printed, or written into a folder."""

import os
from pathlib import Path

from msgspec import Struct

from brewslm.artifacts.store import ArtifactReader
from brewslm.cli.planning import not_writable, write_output
from brewslm.cli.session import Session
from brewslm.contracts import Output
from brewslm.errors import PlanError
from brewslm.registry import closest
from brewslm.render import words
from brewslm.state.records import ResourceRecord

_SUFFIXES = {"decision": ".md", "metrics": ".json", "verdict": ".json"}
_TEXT_SUFFIXES = (".csv", ".json", ".jsonl", ".md", ".txt")
_LINES = ("predictions.", "scores.")
_WITH_ROWS = (*_LINES, "prepared/")


class StoredFile(Struct, frozen=True):
    """A file by the name that it is asked for."""

    name: str
    output: Output

    @property
    def holds_rows(self) -> bool:
        """Whether rows of the project's data may be in it."""
        return self.name.startswith(_WITH_ROWS)


def stored_files(record: ResourceRecord, artifacts: ArtifactReader) -> list[StoredFile]:
    """Return the stored files of a record, folders spread to their files, by name.

    Raises: ArtifactError where a folder's listing is missing or damaged.
    """
    found: dict[str, Output] = {}
    for name, output in record.outputs.items():
        if output.is_folder:
            listing = artifacts.listing(output.digest)
            found |= {f"{name}/{path}": item for path, item in listing.items()}
    in_folders = {item.digest for item in found.values()}
    for name, output in record.outputs.items():
        is_apart = not output.is_folder and output.digest not in in_folders
        if is_apart and artifacts.is_present(output):
            suffix = ".jsonl" if name.startswith(_LINES) else _SUFFIXES.get(name, "")
            found[name + suffix] = output
    return [StoredFile(name, output) for name, output in sorted(found.items())]


def listed(record: ResourceRecord, artifacts: ArtifactReader) -> str:
    """Return a line for each stored file: name, size, digest."""
    rows = [
        (words.visible(item.name), words.size(item.output.size_bytes), item.output.digest)
        for item in stored_files(record, artifacts)
    ]
    return "\n".join(words.table(rows)) + "\n" if rows else "No stored file.\n"


def read_stored(record: ResourceRecord, artifacts: ArtifactReader, wanted: str) -> str:
    """Return the text of a stored file; its name alone is enough where only one file has it.

    Raises: PlanError for an unknown name, ArtifactError.
    """
    files = stored_files(record, artifacts)
    named = [item for item in files if item.name == wanted] or [
        item for item in files if item.name.rpartition("/")[2] == wanted
    ]
    if len(named) != 1:
        names = [item.name for item in files]
        near = [item.name for item in named] or closest(wanted, names)
        raise PlanError(
            f"{record.address} has {'several files' if named else 'no file'} of that name",
            code="unknown_address",
            found=wanted,
            expected=", ".join(near or names) or "a resource with stored files",
            remedy=f"brewslm show {record.address} --files",
        )
    return artifacts.read_bytes(named[0].output.digest).decode(errors="replace")


def extract(
    session: Session, record: ResourceRecord, artifacts: ArtifactReader, folder: Path
) -> None:
    """Write all stored files of a record into a folder that is not there yet.

    Raises: PlanError where the folder is there, ArtifactError, ApplyError.
    """
    if os.path.lexists(folder):
        raise PlanError(
            f'"{folder.name}" is there already',
            code="output_unwritable",
            found=words.visible(str(folder)),
            expected="a folder that does not exist yet",
            remedy=f"brewslm show {record.address} --extract another-name",
        )
    files = stored_files(record, artifacts)
    if not files:
        session.say(f"{record.address} has no stored file; nothing was written")
        return
    for item in files:
        artifacts.verify(item.output)
    for item in files:
        place = folder / item.name
        try:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise not_writable(place.parent, error) from error
        data = artifacts.read_bytes(item.output.digest)
        if place.suffix in _TEXT_SUFFIXES:
            data = session.redacted(data.decode(errors="surrogateescape")).encode(
                errors="surrogateescape"
            )
        write_output(place, data)
    name = words.visible(folder.name)
    if any(item.holds_rows for item in files):
        session.warn(
            f"warning: wrote {words.plural(len(files), 'file')} into {name}; some hold rows of your"
            " data, and only you may read them"
        )
    else:
        session.say(f"wrote {words.plural(len(files), 'file')} into {name}")
