"""What a plan is made with, beside the manifest, the state and the artifacts."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

from brewslm.contracts import RowProgress, untold
from brewslm.plan.device import Device
from brewslm.plan.digest_cache import DigestCache
from brewslm.plan.selection import Selection


class PlanOptions(Struct, frozen=True):
    """How a plan is made, and where."""

    scratch: Path
    """Folder below .brewslm/cache; may be deleted at any time."""
    digests: DigestCache
    environment: Mapping[str, str] = field(default_factory=dict)
    """Where the local model cache is looked up."""
    git_commit: str | None = None
    refresh: str = "auto"
    """auto, none or full."""
    max_deletes: int = 3
    home: Path | None = None
    """The .brewslm folder whose laid-out files and links are compared; None looks at none."""
    is_elsewhere: bool = False
    """Whether another machine applies, so that a base model may be known from the record alone."""
    is_refresh_only: bool = False
    """Whether only drift is looked for; the manifest's wishes are left for another plan."""
    selection: Selection = Selection()
    tell_rows: RowProgress = untold
    """Hears how far the rows are."""
    memory_bytes: int | None = None
    """Capacity of the device that trains, None when unknown."""
    wanted_device: str = "auto"
    """Device that was asked for, recorded where it is not auto; never part of an identity."""
    device: Device = field(default_factory=Device)
    """How fast it computes."""
