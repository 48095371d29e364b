"""Which checkpoint an interrupted training goes on from: the newest whose files are what the
journal recorded. Plan and apply ask here, so that what is promised is what happens.
"""

from pathlib import Path

from msgspec import Struct

from brewslm.fingerprint import digest_folder
from brewslm.state.records import OperationRecord


class Checkpoint(Struct, frozen=True):
    """A checkpoint that may be resumed: its folder holds exactly what the journal recorded."""

    operation: OperationRecord
    step: int
    path: Path
    digest: str


class Checkpoints(Struct, frozen=True):
    """What the recorded checkpoints of an operation are worth."""

    newest: Checkpoint | None
    """The newest one that is whole; None when no training can go on from here."""
    skipped: tuple[int, ...]
    """Steps of newer ones whose files are missing or changed, the newest first."""


def checkpoints_of(home: Path | None, operation: OperationRecord) -> Checkpoints:
    """Return the checkpoint that a training goes on from, and those that are passed over.

    home: the .brewslm folder; None takes the journal's word for its files.
    """
    skipped: list[int] = []
    for entry in sorted(operation.checkpoints, key=lambda item: -int(item["step"])):
        step, digest = int(entry["step"]), str(entry["digest"])
        path = Path(operation.folder, str(entry["path"]))
        if home is None or _is_whole(home / path, digest):
            newest = Checkpoint(operation, step, (home or Path()) / path, digest)
            return Checkpoints(newest, tuple(skipped))
        skipped.append(step)
    return Checkpoints(None, tuple(skipped))


def passed_over(found: Checkpoints) -> str:
    """Return the sentence about checkpoints that cannot be used."""
    many = len(found.skipped) > 1
    steps = ", ".join(map(str, found.skipped))
    where = f"step {found.newest.step}" if found.newest else "the beginning"
    return (
        f"the checkpoint{'s' if many else ''} at step{'s' if many else ''} {steps} "
        f"{'are' if many else 'is'} missing or damaged; training continues from {where}"
    )


def _is_whole(path: Path, digest: str) -> bool:
    try:
        return path.is_dir() and digest_folder(path) == digest
    except (OSError, ValueError):
        return False
