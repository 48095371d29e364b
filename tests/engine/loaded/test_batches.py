"""Batches as tensors: of the right shapes, whole numbers, and in the order of a sampler."""

import torch
from torch.utils.data import DataLoader

from brewslm.engine.batches import Flattening, RightPadding, RowOrder
from brewslm.engine.sequences import EpochOrder


def test_padding_is_neither_seen_nor_trained() -> None:
    batch = RightPadding(9)(
        [{"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}, {"input_ids": [4], "labels": [4]}]
    )
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 2, 3], [4, -100, -100]]
    assert {column.dtype for column in batch.values()} == {torch.int64}


def test_flattening_joins_a_batch_into_one_sequence() -> None:
    row = {"input_ids": [1, 2], "labels": [-100, 2], "position_ids": [0, 1], "sources": [3]}
    batch = Flattening(RightPadding(3))([row, row])
    assert batch["position_ids"].tolist() == [[0, 1, 0, 1]]
    assert batch["input_ids"].shape == (1, 4)
    assert batch["sources"].tolist() == [3, 3]


def test_rows_that_are_not_packed_are_padded() -> None:
    rows = [{"input_ids": [1, 2], "labels": [1, 2]}, {"input_ids": [4], "labels": [4]}]
    batch = Flattening(RightPadding(9))(rows)
    assert batch["input_ids"].tolist() == [[1, 2], [4, 9]]
    assert "position_ids" not in batch


def test_loader_takes_rows_in_the_order_of_their_epoch() -> None:
    lengths = [number % 7 + 2 for number in range(40)]
    order, plain = RowOrder(lengths, 5, 4), EpochOrder(lengths, 5, 4)
    for epoch in (0, 1):
        for chosen in (order, plain):
            chosen.set_epoch(epoch)
        loaded = DataLoader(range(40), batch_size=4, sampler=order)
        assert [row for batch in loaded for row in batch.tolist()] == list(plain)
