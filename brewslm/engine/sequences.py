"""What a model is shown, as plain lists: the order of rows in an epoch, rows packed into sequences,
and the columns of a batch. `batches` makes tensors of them.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from brewslm.engine.token_row import TokenRow
from brewslm.rows.masks import IGNORED
from brewslm.rows.packing import packed_rows

SOURCES = "sources"
"""In a sequence and a batch: the number of the source of each row, where the run counts them."""
_MEGABATCHES = 50


class EpochOrder:
    """The order of rows in an epoch: shuffled, and by length within groups of batches if asked.

    It depends on seed and epoch alone, so that a resumed run sees the rows it would have seen.
    """

    def __init__(
        self, lengths: Sequence[int], seed: int, group_rows: int, multiple: int = 1
    ) -> None:
        """lengths: tokens of each row; group_rows: rows per optimizer step, 0 to shuffle only.

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
        span = self._group_rows * _MEGABATCHES
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


def padded(rows: Sequence[Mapping[str, Any]], pad_id: int) -> dict[str, list[Any]]:
    """Return the columns of a batch whose short rows are filled on the right, without attention
    and without loss: input_ids, attention_mask and labels, each rows by tokens of the longest.

    pad_id: token that fills short rows.
    """
    sizes = [len(row["input_ids"]) for row in rows]
    missing = [max(sizes) - size for size in sizes]

    def filled(name: str, filler: int) -> list[list[int]]:
        return [[*row[name], *[filler] * gap] for row, gap in zip(rows, missing, strict=True)]

    mask = [[1] * size + [0] * gap for size, gap in zip(sizes, missing, strict=True)]
    return {
        "input_ids": filled("input_ids", pad_id),
        "attention_mask": mask,
        "labels": filled("labels", IGNORED),
        **_sources_of(rows),
    }


def flattened(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the columns of a batch as one sequence of all packed rows: input_ids, position_ids
    and labels, each one by tokens. Positions restart with each row, so that attention stays within
    rows.
    """
    columns = ("input_ids", "position_ids", "labels")
    joined = {name: [[item for row in rows for item in row[name]]] for name in columns}
    return {**joined, **_sources_of(rows)}


def _sources_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    numbers = [number for row in rows for number in row.get(SOURCES, ())]
    return {SOURCES: numbers} if numbers else {}


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
