"""The order of rows depends on seed and epoch alone; packing loses and mixes nothing."""

from hypothesis import given
from hypothesis import strategies as st

from brewslm.engine.batches import Flattening, RightPadding, RowOrder, packed
from brewslm.engine.tokens import IGNORED, TokenRow

_LENGTHS = st.lists(st.integers(2, 60), min_size=1, max_size=80)


@given(lengths=_LENGTHS, seed=st.integers(0, 99), group=st.integers(0, 9), epoch=st.integers(0, 5))
def test_epoch_sees_every_row_once_and_again_in_the_same_order(
    lengths: list[int], seed: int, group: int, epoch: int
) -> None:
    order = RowOrder(lengths, seed, group)
    order.set_epoch(epoch)
    rows = list(order)
    assert sorted(rows) == list(range(len(lengths)))
    again = RowOrder(lengths, seed, group)
    again.set_epoch(epoch + 1)
    again.set_epoch(epoch)
    assert list(again) == rows


def test_grouping_puts_rows_of_similar_length_into_a_step() -> None:
    lengths = [number % 50 + 2 for number in range(400)]
    order = list(RowOrder(lengths, 1, 8))
    spreads = [
        max(lengths[row] for row in order[at : at + 8])
        - min(lengths[row] for row in order[at : at + 8])
        for at in range(0, 400, 8)
    ]
    assert sum(spreads) / len(spreads) < 3


@given(lengths=st.lists(st.integers(2, 30), min_size=1, max_size=40))
def test_packing_keeps_every_token_and_restarts_positions(lengths: list[int]) -> None:
    rows = [
        TokenRow(f"r{at}", [at * 100 + i for i in range(size)], [IGNORED, *range(size - 1)])
        for at, size in enumerate(lengths)
    ]
    sequences = packed(rows, max_tokens=32)
    held = [
        (token, label)
        for item in sequences
        for token, label in zip(item["input_ids"], item["labels"], strict=True)
    ]
    wanted = [pair for row in rows for pair in zip(row.input_ids, row.labels, strict=True)]
    assert sorted(held) == sorted(wanted)
    assert all(len(item["input_ids"]) <= 32 for item in sequences)
    for item in sequences:
        starts = [at for at, position in enumerate(item["position_ids"]) if position == 0]
        assert all(item["labels"][at] == IGNORED for at in starts)


def test_padding_is_neither_seen_nor_trained() -> None:
    batch = RightPadding(9)(
        [{"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}, {"input_ids": [4], "labels": [4]}]
    )
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 2, 3], [4, -100, -100]]


def test_flattening_joins_a_batch_into_one_sequence() -> None:
    row = {"input_ids": [1, 2], "labels": [-100, 2], "position_ids": [0, 1]}
    batch = Flattening(RightPadding(3))([row, row])
    assert batch["position_ids"].tolist() == [[0, 1, 0, 1]]
    assert batch["input_ids"].shape == (1, 4)


@given(
    lengths=_LENGTHS,
    group=st.integers(0, 9),
    multiple=st.integers(1, 12),
)
def test_multiple_leaves_out_less_than_one_of_it(
    lengths: list[int], group: int, multiple: int
) -> None:
    order = RowOrder(lengths, 3, group, multiple)
    rows = list(order)
    assert len(rows) == len(order) == len(set(rows))
    assert len(rows) % multiple == 0
    assert len(lengths) - len(rows) < multiple
