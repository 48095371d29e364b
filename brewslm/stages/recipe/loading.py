"""Loading of rows, and logs."""

from typing import Annotated, Literal

from pydantic import Field

from brewslm.contracts import Category, Spec

Tracker = Literal[
    "tensorboard", "wandb", "mlflow", "trackio", "comet_ml", "swanlab", "clearml", "dvclive"
]


class LoadingFields(Spec):
    """Loader processes, log points and trackers."""

    dataloader_num_workers: Annotated[int, Field(ge=0, le=64), Category.METADATA] = 0
    """Loader processes."""
    dataloader_prefetch_factor: Annotated[int | None, Field(ge=1, le=64), Category.METADATA] = None
    """Batches ahead for each loader."""
    dataloader_pin_memory: Annotated[bool, Category.METADATA] = True
    """Ignored without CUDA."""
    dataloader_drop_last: Annotated[bool, Category.RECIPE] = False
    """Drop the last short batch."""
    logging_steps: Annotated[int, Field(ge=1), Category.METADATA] = 10
    """Optimizer steps between two logged points."""
    report_to: Annotated[tuple[Tracker, ...] | Literal["none"], Category.METADATA] = ()
    """Trackers; credentials from the worker's environment."""
    observability: Annotated[dict[str, str | int | float | bool | None], Category.METADATA] = {}
    """Keys of the manifest that begin with `observability_`; recorded only."""
