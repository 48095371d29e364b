"""deployment: the promoted pointer; it moves only when every required gate passed."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from brewslm.address import Address
from brewslm.contracts import Category, Ending, InputRef, Kind, Spec, Work
from brewslm.stages.workflow import TargetProfile

MOST_PARAMETERS = {"mobile_cpu": 4_000_000_000, "browser_webgpu": 2_000_000_000}
"""Parameters of a base model that a target runs at most, where it has a limit."""


class DeploymentSpec(Spec):
    """The manifest's `spec.deployment`."""

    target_profile_id: Annotated[TargetProfile | None, Category.PROMOTE] = None
    """Where the result will run; overrides the workflow's."""
    extra: Annotated[dict[str, Any], Category.METADATA] = {}
    """Knobs for the serving side; copied into the promoted record."""
    alias: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_-]+$"), Category.PROMOTE] = (
        "champion"
    )
    """Name of the pointer that moves."""


def _inputs(_address: Address, specs: Mapping[Address, Spec]) -> tuple[InputRef, ...]:
    exports = [InputRef(item, "files") for item in sorted(specs) if item.kind == "export"]
    return (
        InputRef(Address("training_plan"), "lora_adapter"),
        InputRef(Address("eval_pack"), "verdict"),
        *exports,
    )


_ENDING = Ending("deployment", "deployment_promoted", ("alias",))
KIND = Kind(
    "deployment", DeploymentSpec, Category.PROMOTE, 1, Work.POINTER, _inputs, ending=_ENDING
)
