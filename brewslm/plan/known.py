"""What is known of a project while it is planned: observation begins it, the walk goes on with
it.
"""

from pathlib import Path
from typing import Any

from msgspec import Struct, field

from brewslm.address import Address
from brewslm.contracts import Output, Spec
from brewslm.manifest.project import Wanted
from brewslm.plan.action import PlanInput
from brewslm.plan.base_model import BaseModel
from brewslm.plan.rehearsed import SetRehearsal

_DATASET = Address("dataset")


class Known(Struct):
    """Specs with their content fixes, and the outputs and values that are known so far."""

    specs: dict[Address, Spec]
    wanted: dict[Address, Wanted]
    outputs: dict[Address, dict[str, Output]] = field(default_factory=dict)
    values: dict[Address, dict[str, Any]] = field(default_factory=dict)
    contents: dict[Address, str] = field(default_factory=dict)
    """Digest of the bytes of what is read from outside: the base model, the sources."""
    inputs: list[PlanInput] = field(default_factory=list)
    moves: dict[str, str] = field(default_factory=dict)
    """Recorded address to wanted address of what was renamed."""
    base: BaseModel | None = None
    found_base: BaseModel | None = None
    """The base model as its files are now, where they are not the recorded ones."""
    prepared_folder: Path | None = None
    """The prepared rows, when this plan made them."""
    rehearsed: SetRehearsal | None = None
    """What becomes of the train rows, where there is something to train and it could be tried."""
    is_data_whole: bool = True
    """Whether every source could be read; nothing is said about training otherwise."""

    @property
    def prepared(self) -> dict[str, Any]:
        """The manifest of the prepared data, empty when not all of it could be read."""
        if not self.is_data_whole:
            return {}
        return dict(self.values.get(_DATASET, {}).get("manifest") or {})
