"""What is trained, from what, with which seeds."""

from typing import Annotated, Literal

from pydantic import Field

from brewslm.contracts import Category, Spec
from brewslm.stages.mode import TrainingMode
from brewslm.stages.recipe.loading_mark import LoadingMark


class IdentityFields(Spec):
    """Model, mode, template and seeds."""

    base_model: Annotated[str, Category.BASE] = ""
    """Must equal `model.base_model` if both are written."""
    training_mode: Annotated[TrainingMode | None, Category.RECIPE] = None
    """Must equal `training_plan.training_mode` if both are written."""
    task_type: Annotated[Literal["causal_lm"], Category.RECIPE] = "causal_lm"
    """Kind of model head."""
    trainer_backend: Annotated[Literal["auto", "trl_sft", "hf_trainer"], Category.RECIPE] = "auto"
    """auto is the trainer of the mode; hf_trainer the plain loop, for sft and cpt."""
    training_runtime_id: Annotated[str, Category.METADATA] = "auto"
    """auto follows `preferred_runtime_id`."""
    recommended_starting_checkpoint: Annotated[str, Field(max_length=255), Category.METADATA] = ""
    """Name of a warm-start checkpoint."""
    chat_template: Annotated[
        Literal["llama3", "chatml", "zephyr", "phi3"], Category.RECIPE, LoadingMark.COUNTS
    ] = "llama3"
    """Used when the tokenizer has none, or the next field is false."""
    use_tokenizer_chat_template: Annotated[bool, Category.RECIPE, LoadingMark.COUNTS] = True
    """Prefer the tokenizer's own template."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1), Category.RECIPE] = 42
    """Seed of adapter init, dropout and order."""
    data_seed: Annotated[int | None, Field(ge=0, le=2**32 - 1), Category.RECIPE] = None
    """Seed of the order of rows; null is `seed`."""
    full_determinism: Annotated[bool, Category.RECIPE] = False
    """Deterministic kernels only; slower."""
