"""How rows come to the model: their order, which depends on seed and epoch alone, and batches with
padding on the right.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler

from brewslm.engine.tokens import IGNORED, TokenRow
from brewslm.rows.packing import packed_rows

SOURCES = "sources"
"""In a sequence and a batch: the number of the source of each row, where the run counts them."""
_MEGABATCHES = 50


class RowOrder(Sampler[int]):
    """The order of rows in an epoch: shuffled, and by length within groups of batches if asked.

    It depends on seed and epoch alone, so that a resumed run sees the rows it would have seen.
    """

    def __init__(
        self, lengths: Sequence[int], seed: int, group_rows: int, multiple: int = 1
    ) -> None:
        """lengths: tokens of each row; group_rows: rows an optimizer step, 0 to shuffle only.

        multiple: of which the number of rows of an epoch is one; the rest is left out.
        """
        self._lengths = lengths
        self._count = len(lengths) // multiple * multiple
        self._seed = seed
        self._group_rows = group_rows
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is asked for next."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Return the number of rows of an epoch."""
        return self._count

    def __iter__(self) -> Iterator[int]:
        """Yield row numbers."""
        chance = random.Random(f"{self._seed}:{self._epoch}")  # noqa: S311  an order, no secret
        order = list(range(len(self._lengths)))
        chance.shuffle(order)
        rows = self._grouped(order, chance) if self._group_rows else order
        return iter(rows[: self._count])

    def _grouped(self, order: list[int], chance: random.Random) -> list[int]:
        """Return the rows in steps of similar length, the steps themselves shuffled."""
        span = max(self._group_rows * _MEGABATCHES, self._group_rows)
        steps: list[list[int]] = []
        for start in range(0, len(order), span):
            chunk = sorted(order[start : start + span], key=lambda i: -self._lengths[i])
            steps += [
                chunk[at : at + self._group_rows] for at in range(0, len(chunk), self._group_rows)
            ]
        short = [step for step in steps if len(step) < self._group_rows]
        full = [step for step in steps if len(step) == self._group_rows]
        chance.shuffle(full)
        return [row for step in full + short for row in step]


class RightPadding:
    """Makes a batch of rows: padding on the right, without attention and without loss."""

    def __init__(self, pad_id: int) -> None:
        """pad_id: token that fills short rows."""
        self._pad_id = pad_id

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Return input_ids, attention_mask and labels, each of shape (rows, longest)."""
        longest = max(len(row["input_ids"]) for row in rows)

        def filled(name: str, filler: int) -> torch.Tensor:
            return torch.tensor(
                [[*row[name], *[filler] * (longest - len(row[name]))] for row in rows]
            )

        mask = [[1] * len(r["input_ids"]) + [0] * (longest - len(r["input_ids"])) for r in rows]
        return {
            "input_ids": filled("input_ids", self._pad_id),
            "attention_mask": torch.tensor(mask),
            "labels": filled("labels", IGNORED),
            **_sources_of(rows),
        }


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
        ids = [token for row in rows for token in row["input_ids"]]
        positions = [at for row in rows for at in row["position_ids"]]
        labels = [label for row in rows for label in row["labels"]]
        return {
            "input_ids": torch.tensor([ids]),
            "position_ids": torch.tensor([positions]),
            "labels": torch.tensor([labels]),
            **_sources_of(rows),
        }


def _sources_of(rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    numbers = [number for row in rows for number in row.get(SOURCES, ())]
    return {SOURCES: torch.tensor(numbers)} if numbers else {}


def packed(rows: Sequence[TokenRow], max_tokens: int) -> list[dict[str, list[int]]]:
    """Return sequences of several rows each, by best fit, longest rows first.

    A row's first position carries no loss, so that nothing is predicted across rows.
    """
    lengths = [(len(row.input_ids), row.row_id) for row in rows]
    return [
        _joined([rows[number] for number in numbers])
        for numbers in packed_rows(lengths, max_tokens)
    ]


def unpacked(rows: Sequence[TokenRow]) -> list[dict[str, list[int]]]:
    """Return each row as a sequence of its own."""
    return [_sequence(row) for row in rows]


def _sequence(row: TokenRow) -> dict[str, list[int]]:
    sequence = {"input_ids": row.input_ids, "labels": row.labels}
    return sequence if row.source is None else {**sequence, SOURCES: [row.source]}


def _joined(rows: Sequence[TokenRow]) -> dict[str, list[int]]:
    sequence = {
        "input_ids": [token for row in rows for token in row.input_ids],
        "labels": [label for row in rows for label in (IGNORED, *row.labels[1:])],
        "position_ids": [at for row in rows for at in range(len(row.input_ids))],
    }
    sources = [row.source for row in rows if row.source is not None]
    return {**sequence, SOURCES: sources} if sources else sequence
