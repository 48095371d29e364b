"""Folders that apply lays out below .brewslm for people: promoted models and exports.

What is already there is never trusted: it is read and compared with its digest, and what differs is
set aside under a name that ends with `.found`, so that no edit is lost.
"""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from brewslm.artifacts.laying import verified_folder
from brewslm.artifacts.store import ArtifactStore
from brewslm.contracts import Output
from brewslm.errors import ArtifactError
from brewslm.files import make_private_folder, move, swap_folder, temporary_name
from brewslm.fingerprint import digest_folder
from brewslm.plan.placed import EXPORTS, MODELS, short_name

Holding = Callable[[], AbstractContextManager[None]]
"""Keeps the lease from being taken over while a block changes files; raises LeaseLostError."""


def model_folder(home: Path, digest: str) -> Path:
    """Return where the model of a digest is laid out."""
    return home / MODELS / short_name(digest)


def lay_out_model(home: Path, artifacts: ArtifactStore, model: Output, holding: Holding) -> Path:
    """Make sure that a model is laid out, whole and durable; return its folder.

    What is there stays until the model is laid out beside it: it may be what is served.

    Raises: ArtifactError, LeaseLostError.
    """
    folder = model_folder(home, model.digest)
    make_private_folder(folder.parent)
    if is_laid_out(folder, model.digest):
        return folder
    built = temporary_name(folder)
    try:
        artifacts.materialise(model, built)
        _set_aside(folder, holding)
        move(built, folder)
    finally:
        shutil.rmtree(built, ignore_errors=True)
    return folder


def lay_out_export(
    home: Path, artifacts: ArtifactStore, format_name: str, files: Output, holding: Holding
) -> Path:
    """Make sure that an export is laid out, whole and durable; return its folder.

    An earlier export is replaced by rename; a folder that holds anything else is set aside.

    Raises: ArtifactError, LeaseLostError.
    """
    folder = make_private_folder(home / EXPORTS) / format_name
    if is_laid_out(folder, files.digest):
        return folder
    built = temporary_name(folder)
    try:
        artifacts.materialise(files, built)
        if not _is_kept(artifacts, folder):
            _set_aside(folder, holding)
        with holding():
            swap_folder(built, folder)
    finally:
        shutil.rmtree(built, ignore_errors=True)
    return folder


def is_laid_out(folder: Path, digest: str) -> bool:
    """Return whether a folder holds exactly what its digest says, and durably so."""
    try:
        with verified_folder(folder, digest):
            return True
    except ArtifactError:
        return False


def _set_aside(folder: Path, holding: Holding) -> None:
    """Move a folder out of the way; harmless when there is none.

    Raises: LeaseLostError.
    """
    if folder.exists() or folder.is_symlink():
        with holding():
            move(folder, temporary_name(folder, "found"))


def _is_kept(artifacts: ArtifactStore, folder: Path) -> bool:
    """Return whether the artifact store has what is in a folder, so that it may be replaced."""
    try:
        if folder.is_symlink():
            return False
        digest = digest_folder(folder)
    except (OSError, ValueError):
        return False
    return artifacts.is_present(Output(digest, 0, is_folder=True))
