"""How rows come to the model: a sampler of their order, and batches as tensors."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler

from brewslm.engine.sequences import EpochOrder, flattened, padded


class RowOrder(EpochOrder, Sampler[int]):
    """The order of rows in an epoch, as a sampler."""


class RightPadding:
    """Makes a batch of rows: padding on the right, without attention and without loss."""

    def __init__(self, pad_id: int) -> None:
        """pad_id: token that fills short rows."""
        self._pad_id = pad_id

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return input_ids, attention_mask and labels, each of shape (rows, longest)."""
        return _tensors(padded(rows, self._pad_id))


class Flattening:
    """Makes one sequence of all packed rows of a batch; positions restart with each row, so that
    attention stays within rows. Rows that are not packed, as validation has them, are padded.
    """

    def __init__(self, padding: RightPadding) -> None:
        """padding: for rows that are not packed."""
        self._padding = padding

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return input_ids, position_ids and labels, each of shape (1, tokens)."""
        if "position_ids" not in rows[0]:
            return self._padding(rows)
        return _tensors(flattened(rows))


def _tensors(columns: Mapping[str, list[Any]]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(column) for name, column in columns.items()}
