"""model: the base model, pinned to a digest of its files."""

import re
from typing import Annotated

from brewslm.contracts import Category, Kind, Spec, Work

REVISION = re.compile(r"[A-Za-z0-9][\w.+-]*(/[\w+-][\w.+-]*)*")
"""A commit, or the name of a branch or tag."""


class ModelSpec(Spec):
    """The manifest's `spec.model`."""

    base_model: Annotated[str, Category.BASE] = ""
    """Hub id `org/name`, relative folder starting with `./`, or `builtin:nano`."""
    revision: Annotated[str | None, Category.BASE] = None
    """Commit or tag of a Hub id; null is the recorded commit, else the newest one in the cache."""
    cache_fingerprint: Annotated[str | None, Category.BASE] = None
    """Expected digest of the model files, `sha256:` and 64 hex digits."""
    source_ref: Annotated[str | None, Category.METADATA] = None
    """Where the model came from."""
    registry_id: Annotated[int | None, Category.METADATA] = None
    """Id in a registry elsewhere."""
    license: Annotated[str | None, Category.METADATA] = None
    """Licence name, copied into export cards."""


KIND = Kind("model", ModelSpec, Category.BASE, 1, Work.OBSERVED)
