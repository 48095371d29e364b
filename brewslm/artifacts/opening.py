"""Which shared artifact store a URL names; its driver is imported when it is asked for."""

from importlib import import_module
from typing import cast

from brewslm.artifacts.store import ArtifactStore
from brewslm.errors import ArtifactError, MissingExtraError

SCHEMES = ("s3", "gs", "az")


def open_shared_artifacts(url: str) -> ArtifactStore:
    """Return the store of a URL; nothing is connected to yet.

    Raises: ArtifactError for a URL of another kind, MissingExtraError without the driver,
    UnreachableError for a URL that names no folder. None repeats the URL.
    """
    scheme, sign, _ = url.partition("://")
    if not sign or scheme not in SCHEMES:
        raise ArtifactError(
            "backend.artifacts names no store",
            code="system_config_invalid",
            found="another scheme",
            expected="one of " + ", ".join(f"{name}://" for name in SCHEMES),
            remedy="correct the URL",
        )
    try:
        module = import_module("brewslm.artifacts.objects")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"artifacts in {scheme} cannot be opened here",
            code="missing_extra",
            found=f"not installed: {error.name}",
            expected="the extra object-store",
            remedy='pip install "brewslm[object-store]"',
        ) from error
    return cast("ArtifactStore", module.ObjectArtifacts(url))
