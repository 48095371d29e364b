"""How much a training run has to do, from counts alone."""

import math
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from brewslm.plan.lengths import mean_tokens
from brewslm.stages.training_config import TrainingConfig


class Work(Struct, frozen=True):
    """The size of a training run."""

    rows: int
    tokens: float
    """Of one pass over the train rows."""
    steps: int
    epochs: float


def training_work(config: TrainingConfig, prepared: Mapping[str, Any]) -> Work:
    """Return how much a recipe has to do on prepared rows."""
    rows = int(prepared.get("train_rows_effective") or prepared["splits"]["train"])
    effective_batch = config.batch_size * config.gradient_accumulation_steps
    epochs = epochs_of(config, rows)
    steps = max(1, math.ceil(-(-rows // effective_batch) * epochs))
    if config.max_steps > 0:
        steps, epochs = config.max_steps, config.max_steps * effective_batch / max(rows, 1)
    return Work(rows, rows * mean_tokens(prepared, "train"), steps, epochs)


def epochs_of(config: TrainingConfig, rows: int) -> float:
    """Return the passes over the train set."""
    if config.auto_epochs:
        return 5.0 if rows < 500 else 3.0 if rows < 5000 else 2.0
    return config.num_epochs


def evaluations(config: TrainingConfig, work: Work) -> int:
    """Return how often validation loss is taken, before the first step included."""
    match config.eval_strategy:
        case "epoch":
            return 1 + round(work.epochs)
        case "steps":
            return 1 + work.steps // max(1, config.eval_steps)
        case _:
            return 0


def on_host(config: TrainingConfig, host: Mapping[str, Any]) -> TrainingConfig:
    """Return a recipe as this host carries it out; host: the values that it uses instead."""
    return config.model_copy(update=dict(host))
