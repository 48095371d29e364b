"""The KL term of supervised fine-tuning."""

from typing import Annotated

from pydantic import Field

from brewslm.contracts import Category, Spec


class KlFields(Spec):
    """Pull towards the answers of the base."""

    kl_lambda: Annotated[float, Field(ge=0, le=10), Category.RECIPE] = 0.0
    """Weight of KL(base || tuned); 0 is off."""
    kl_tau: Annotated[float, Field(ge=0.1, le=20), Category.RECIPE] = 1.0
    """Temperature of both distributions."""
