"""What drifted, put back as it is recorded: found files are set aside, kept bytes are laid out
again.

Whatever is set aside keeps its name with `.found` behind it; nobody's edit is thrown away.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from brewslm.apply import promotion
from brewslm.apply.desk import Desk, Done
from brewslm.artifacts.store import ArtifactStore
from brewslm.contracts import Output
from brewslm.errors import ArtifactError
from brewslm.files import move, temporary_name
from brewslm.fingerprint import digest_folder
from brewslm.plan.action import Action
from brewslm.plan.placed import EXPORTS, MODELS, short_name
from brewslm.state.records import ResourceRecord
from brewslm.state.store import StateSession

Holding = Callable[[], AbstractContextManager[None]]
"""Keeps the lease from being taken over while a block changes files; raises LeaseLostError."""


def put_back(desk: Desk, action: Action, record: ResourceRecord, session: StateSession) -> Done:
    """Lay out an export or a promoted model again and return what its record says.

    Raises: ArtifactError when the kept bytes are gone or damaged, LeaseLostError.
    """
    if record.kind == "export":
        set_aside_edited(desk, action.name, session.holding)
        promotion.place_export(desk, action.name, record.outputs["files"], session.holding)
    else:
        promoted = record.outputs["promoted"]
        laid_out = desk.home / MODELS / short_name(promoted.digest)
        set_aside_other(laid_out, promoted, session.holding)
        promotion.lay_out(desk.home, desk.artifacts, promoted)
        with promotion.moving_links(desk.home, session):
            promotion.point(desk.home, str(record.values["alias"]), promoted.digest)
    return Done(
        outputs=dict(record.outputs),
        values=dict(record.values),
        parts=dict(record.parts),
        status=record.status,
        reason=record.reason,
        is_reused=True,
    )


def set_aside_other(folder: Path, output: Output, holding: Holding) -> None:
    """Move a folder that is not the output out of the way; harmless when it is or is not there.

    Raises: LeaseLostError.
    """
    if not (folder.exists() or folder.is_symlink()) or _is_same(folder, output):
        return
    with holding():
        move(folder, temporary_name(folder, "found"))


def set_aside_edited(desk: Desk, format_name: str, holding: Holding) -> None:
    """Move an export's folder out of the way if it holds what is kept nowhere else, such as an
    edit; what an apply laid out before it was killed is kept, and simply replaced.

    Raises: LeaseLostError.
    """
    folder = desk.home / EXPORTS / format_name
    digest = _digest(folder)
    if digest is not None and desk.artifacts.is_present(Output(digest, 0, is_folder=True)):
        return
    if folder.exists() or folder.is_symlink():
        with holding():
            move(folder, temporary_name(folder, "found"))


def set_aside_damage(artifacts: ArtifactStore, output: Output, holding: Holding) -> None:
    """Move every kept object of an output that is not what its digest says out of the way.

    Raises: LeaseLostError.
    """
    digests = [output.digest]
    if output.is_folder:
        try:
            digests += [item.digest for item in artifacts.listing(output.digest).values()]
        except ArtifactError as error:
            if error.code != "artifact_corrupt":
                return
    for digest in digests:
        try:
            artifacts.verify(Output(digest, 0))
        except ArtifactError as error:
            if error.code == "artifact_corrupt":
                with holding():
                    artifacts.set_aside(digest)


def _is_same(folder: Path, output: Output) -> bool:
    return _digest(folder) == output.digest


def _digest(folder: Path) -> str | None:
    """Return the digest of a folder, None where there is none or it cannot be read."""
    try:
        return None if folder.is_symlink() else digest_folder(folder)
    except (OSError, ValueError):
        return None
