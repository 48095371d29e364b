"""The base model's files, looked at once more right before a worker loads them."""

from collections.abc import Sequence
from pathlib import Path

from brewslm.address import Address
from brewslm.apply.desk import Desk, Running
from brewslm.errors import ApplyError, PlanError, RefusedError
from brewslm.files import link_files
from brewslm.fingerprint import digest_value
from brewslm.plan.model_files import changed_names, names_of_files

_MODEL = Address("model")


def base_to_load(desk: Desk, running: Running) -> Path:
    """Return a folder below the action's of links to the base model's files and nothing else,
    every byte of which is the recorded one.

    Each file is read once an apply, and again where its stat result is another one by then. Raises:
    ApplyError with artifact_missing or artifact_corrupt, RefusedError with base_refused.
    """
    folder = desk.base_folder
    if folder is None or not folder.is_dir():
        raise ApplyError(
            "the base model's files are not here",
            code="artifact_missing",
            remedy="put the model into the local cache, then: brewslm plan",
        )
    try:
        names = names_of_files(folder)
    except PlanError as error:
        raise RefusedError(
            error.message,
            code=error.code.lower(),
            found=error.found,
            expected=error.expected,
            remedy=error.remedy,
        ) from error
    files = {name: desk.base_digests.digest(name, folder / name)[0] for name in names}
    expected = desk.output(_MODEL, "base").digest
    if digest_value(files) != expected:
        recorded = desk.values.get(_MODEL, {}).get("files", {})
        raise ApplyError(
            "the base model's files are not the recorded ones",
            code="artifact_corrupt",
            found=", ".join(changed_names(recorded, files)),
            expected=expected,
            remedy="put the recorded files back, or take these as the base: "
            "brewslm apply --refresh-only",
        )
    return link_base(folder, names, running.folder / "inputs" / "model")


def link_base(folder: Path, names: Sequence[str], parent: Path) -> Path:
    """Return a folder, named as the model's own, of links to these files of it."""
    links = {name: folder / name for name in names}
    return link_files(parent / folder.resolve().name, links)
