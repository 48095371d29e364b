"""The base model's files, looked at once more right before a worker loads them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from brewslm.address import Address
from brewslm.apply.desk import Desk, Running
from brewslm.errors import ApplyError, PlanError, RefusedError
from brewslm.files import link_files
from brewslm.fingerprint import digest_value
from brewslm.plan.digest_cache import DigestCache
from brewslm.plan.model_files import changed_names, names_of_files

_MODEL = Address("model")


def base_to_load(desk: Desk, running: Running) -> Path:
    """Return a folder below the action's of links to the base model's files and nothing else,
    every byte of which is the recorded one.

    Each file is read once an apply, and again where its stat result is another one by then. Raises:
    ApplyError with artifact_missing or artifact_corrupt, RefusedError with base_refused.
    """
    recorded = desk.values.get(_MODEL, {}).get("files", {})
    expected = desk.output(_MODEL, "base").digest
    place = Place(desk.base_folder, desk.root, desk.base_digests)
    return verified_base(place, expected, recorded, running.folder / "inputs" / "model")


@dataclass(frozen=True)
class Place:
    """Where a base model's files are, and what was read of them."""

    folder: Path | None
    root: Path
    """The project folder."""
    digests: DigestCache


def verified_base(place: Place, expected: str, recorded: Mapping[str, str], parent: Path) -> Path:
    """Return a folder below `parent`, named as the model's own, of links to its files.

    expected, recorded: the digest of the base model and those of its files. Raises: ApplyError with
    artifact_missing or artifact_corrupt, RefusedError with base_refused.
    """
    folder = place.folder
    if folder is None or not folder.is_dir():
        raise ApplyError(
            "the base model's files are not here",
            code="artifact_missing",
            remedy="put the model into the local cache, then: brewslm plan",
        )
    try:
        names = names_of_files(folder, place.root)
    except PlanError as error:
        raise RefusedError(
            error.message,
            code=error.code.lower(),
            found=error.found,
            expected=error.expected,
            remedy=error.remedy,
        ) from error
    files = {name: place.digests.digest(name, folder / name)[0] for name in names}
    if digest_value(files) != expected:
        raise ApplyError(
            "the base model's files are not the recorded ones",
            code="artifact_corrupt",
            found=", ".join(changed_names(recorded, files)),
            expected=expected,
            remedy="put the recorded files back, or take these as the base: "
            "brewslm apply --refresh-only",
        )
    links = {name: folder / name for name in names}
    return link_files(parent / folder.resolve().name, links)
