"""training_plan: a candidate LoRA adapter, trained on the prepared rows."""

from collections.abc import Mapping
from typing import Annotated, Literal

from brewslm.address import Address
from brewslm.contracts import Category, Ending, InputRef, Kind, Spec, Work
from brewslm.stages.mode import MODES, Mode, TrainingMode
from brewslm.stages.training_config import TrainingConfig
from brewslm.stages.workflow import PlanProfile


class TrainingPlanSpec(Spec):
    """The manifest's `spec.training_plan`."""

    training_mode: Annotated[TrainingMode, Category.RECIPE] = "sft"
    """What the loss is."""
    plan_profile: Annotated[PlanProfile, Category.METADATA] = "balanced"
    """Fills fields that `config` does not write; counts through those values."""
    preferred_runtime_id: Annotated[str | None, Category.METADATA] = None
    """Where the work runs; null and auto are local."""
    pin_environment: Annotated[Literal["none", "toolchain", "device"], Category.RECIPE] = "none"
    """Puts library versions, or versions and accelerator, into the fingerprint."""
    config: TrainingConfig = TrainingConfig()
    """The recipe."""


def mode_of(plan: TrainingPlanSpec) -> Mode:
    """Return the mode that a recipe asks for, by its name or by a field that stands for it."""
    name = plan.config.training_mode or plan.training_mode
    for mode in MODES.all().values():
        if mode.replaces == name and getattr(plan.config, mode.switch):
            return mode
    return MODES.load(name)


def _inputs(_address: Address, _specs: Mapping[Address, Spec]) -> tuple[InputRef, ...]:
    return (
        InputRef(Address("model"), "base"),
        InputRef(Address("dataset"), "train"),
        InputRef(Address("dataset"), "validation"),
        InputRef(Address("dataset"), "prepared", is_ordering=True),
    )


_ENDING = Ending(
    "training",
    counts=(
        "steps",
        "kept_step",
        "stop_reason",
        "train_loss",
        "eval_loss",
        "rows",
        "rows_left_out",
        "trained_tokens",
    ),
)
KIND = Kind(
    "training_plan",
    TrainingPlanSpec,
    Category.RECIPE,
    1,
    Work.DOOR,
    _inputs,
    door="brewslm.engine.run:run",
    ending=_ENDING,
)
