"""The errors that every artifact store gives for the same trouble."""

import os

from brewslm.errors import ArtifactError

_REMEDY = "brewslm apply makes them again"


def missing(digest: str) -> ArtifactError:
    """Return the error of bytes that are not kept any more."""
    return ArtifactError(
        "kept bytes are gone",
        code="artifact_missing",
        found="nothing",
        expected=digest,
        remedy=_REMEDY,
    )


def corrupt(digest: str, found: str) -> ArtifactError:
    """Return the error of bytes that are not what their digest says."""
    return ArtifactError(
        "kept bytes are not what their digest says",
        code="artifact_corrupt",
        found=found,
        expected=digest,
        remedy=_REMEDY,
    )


def differs(folder: str, digest: str, found: str) -> ArtifactError:
    """Return the error of a materialized folder that does not hold what its digest says."""
    return ArtifactError(
        f'the folder "{folder}" does not hold what was recorded',
        code="deployment_target_invalid",
        found=found,
        expected=digest,
        remedy="brewslm apply sets it aside and writes it again from the artifact store",
    )


def unreadable(digest: str, error: OSError) -> ArtifactError:
    """Return the error of bytes that the system does not let us read."""
    return ArtifactError(
        "kept bytes cannot be read",
        code="permission_denied",
        found=os.strerror(error.errno or 0),
        expected=digest,
        remedy="correct owner and permissions of .brewslm",
    )


def linked(name: str) -> ArtifactError:
    """Return the error of writing into a store that is a link to somewhere else."""
    return ArtifactError(
        "the artifact store must not be a link",
        code="system_config_invalid",
        found=f"{name} is a link",
        expected="a folder",
        remedy=f"put the folder itself in the place of {name}",
    )
