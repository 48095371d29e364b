"""How much is seen: epochs, steps and batches."""

from typing import Annotated

from pydantic import Field

from brewslm.contracts import Category, Spec


class BatchFields(Spec):
    """Length of the run and size of its batches."""

    num_epochs: Annotated[float, Field(ge=1, le=100), Category.RECIPE] = 3.0
    """Passes over the train set."""
    auto_epochs: Annotated[bool, Category.RECIPE] = False
    """With `num_epochs` unwritten: 5 under 500 train rows, 3 under 5,000, else 2."""
    max_steps: Annotated[int, Field(ge=-1), Category.RECIPE] = -1
    """Optimizer steps; overrides epochs. -1 is off."""
    max_minutes: Annotated[float | None, Field(gt=0), Category.RECIPE] = None
    """Wall minutes of training, after which it ends as if all steps were done."""
    batch_size: Annotated[int, Field(ge=1, le=256), Category.RECIPE] = 4
    """Rows a device and forward pass; raising it costs memory."""
    gradient_accumulation_steps: Annotated[int, Field(ge=1), Category.RECIPE] = 4
    """Forward passes an optimizer step."""
    eval_batch_size: Annotated[int | None, Field(ge=1, le=1024), Category.METADATA] = None
    """Rows a pass for evaluation loss; null is `batch_size`."""
