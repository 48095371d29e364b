"""What the engine does differently in each training mode."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from msgspec import Struct

from brewslm.engine.token_row import Tokenized, TokenRow
from brewslm.engine.tokens import Renderer
from brewslm.registry import Registry
from brewslm.stages.training_config import TrainingConfig

Sequences = list[dict[str, list[int]]]
Losses = Callable[[Any, Mapping[str, torch.Tensor], torch.dtype], torch.Tensor]
"""(model, micro-batch, dtype of its forward pass) to the loss of every item, shape (items,)."""


class ModeWork(Struct, frozen=True):
    """From prepared rows to losses."""

    tokenize: Callable[[Renderer, Iterable[dict[str, Any]], TrainingConfig], Tokenized]
    """(renderer, prepared rows, recipe) to rows of tokens, and those that were left out."""
    sequence: Callable[[list[TokenRow], TrainingConfig], Sequences]
    """Rows of an epoch to what the model is fed."""
    losses: Losses


WORK: Registry[ModeWork] = Registry("brewslm.engine.modes", "WORK", "training mode")
