"""Evaluation, checkpoints and the end of a run."""

from typing import Annotated, Literal

from pydantic import Field

from brewslm.contracts import Category, Spec


class StoppingFields(Spec):
    """When a run is evaluated, saved and ended."""

    eval_strategy: Annotated[Literal["no", "steps", "epoch"], Category.RECIPE] = "steps"
    """When validation loss is taken."""
    eval_steps: Annotated[int, Field(ge=1), Category.RECIPE] = 100
    """Optimizer steps between two evaluations."""
    save_strategy: Annotated[Literal["no", "steps", "epoch", "best"], Category.RECIPE] = "steps"
    """When a checkpoint is written."""
    save_steps: Annotated[int, Field(ge=1), Category.RECIPE] = 100
    """Optimizer steps between two checkpoints."""
    save_total_limit: Annotated[int, Field(ge=1, le=100), Category.METADATA] = 3
    """Checkpoints kept; the best is always among them."""
    load_best_model_at_end: Annotated[bool | Literal["auto"], Category.RECIPE] = "auto"
    """auto: true unless `eval_strategy` is no."""
    early_stopping_patience: Annotated[int, Field(ge=0, le=1000), Category.RECIPE] = 3
    """Validations without gain before stopping; 0 is off."""
    early_stopping_threshold: Annotated[float, Field(ge=0), Category.RECIPE] = 0.0
    """Smallest gain that counts."""
    plateau_patience: Annotated[int, Field(ge=0, le=1000), Category.RECIPE] = 0
    """Points of the training loss without gain before stopping; 0 is off."""
    plateau_window: Annotated[int, Field(ge=1, le=100), Category.RECIPE] = 5
    """Points in its moving mean; a point is the mean of 10 steps."""
    plateau_min_delta: Annotated[float, Field(ge=0), Category.RECIPE] = 0.001
    """Smallest gain that counts."""
    plateau_min_steps: Annotated[int, Field(ge=0), Category.RECIPE] = 50
    """No plateau stop before this optimizer step."""
    resume: Annotated[Literal["auto", "never"], Category.METADATA] = "auto"
    """auto: an interrupted run of the same fingerprint goes on."""
