"""The base model's files, looked at once more right before a worker loads them."""

from pathlib import Path

from brewslm.address import Address
from brewslm.apply.desk import Desk
from brewslm.errors import ApplyError, PlanError, RefusedError
from brewslm.fingerprint import digest_value
from brewslm.plan.model_files import changed_names, names_of_files

_MODEL = Address("model")


def base_to_load(desk: Desk) -> Path:
    """Return the folder of the base model, every byte of which is the recorded one.

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
    return folder
