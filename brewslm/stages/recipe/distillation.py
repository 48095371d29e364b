"""Distillation."""

from typing import Annotated, Literal

from pydantic import Field

from brewslm.contracts import Category, Spec


class DistillationFields(Spec):
    """Teacher and weights of its terms."""

    distillation_enabled: Annotated[bool, Category.RECIPE] = False
    """true with mode sft means mode kd."""
    distillation_teacher_model: Annotated[str, Category.RECIPE] = ""
    """Teacher; same tokenizer as the base."""
    distillation_teacher_revision: Annotated[str | None, Category.RECIPE] = None
    """Pins the teacher."""
    distillation_alpha: Annotated[float, Field(ge=0, le=1), Category.RECIPE] = 0.6
    """Weight of the hard labels."""
    distillation_temperature: Annotated[float, Field(ge=0.1, le=20), Category.RECIPE] = 2.0
    """Temperature T."""
    distillation_offline: Annotated[bool, Category.RECIPE] = False
    """Use the `teacher_logits` stored in the rows."""
    distillation_hidden_state_weight: Annotated[float, Field(ge=0, le=10), Category.RECIPE] = 0.0
    """Weight of an extra term on hidden states."""
    distillation_hidden_state_loss: Annotated[Literal["mse", "cosine"], Category.RECIPE] = "mse"
    """Form of that term."""
