"""The order of rows depends on seed and epoch alone; packing loses nothing and learns nothing
across rows.
"""

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from brewslm.engine.sequences import SOURCES, EpochOrder, flattened, packed, padded, unpacked
from brewslm.engine.token_row import TokenRow
from brewslm.rows.masks import IGNORED


def batched(rows: Sequence[int], size: int) -> list[list[int]]:
    return [list(rows[at : at + size]) for at in range(0, len(rows), size)]


LENGTHS = st.lists(st.integers(2, 60), min_size=1, max_size=80)


def ordered(lengths: list[int], seed: int, epoch: int, group: int = 0) -> list[int]:
    order = EpochOrder(lengths, seed, group)
    order.set_epoch(epoch)
    return list(order)


@given(lengths=LENGTHS, seed=st.integers(0, 99), group=st.integers(0, 9), epoch=st.integers(0, 5))
def test_epoch_sees_every_row_once_and_again_in_the_same_order(
    lengths: list[int], seed: int, group: int, epoch: int
) -> None:
    rows = ordered(lengths, seed, epoch, group)
    assert sorted(rows) == list(range(len(lengths)))
    again = EpochOrder(lengths, seed, group)
    again.set_epoch(epoch + 1)
    list(again)
    again.set_epoch(epoch)
    assert list(again) == rows


def test_order_is_that_of_earlier_versions() -> None:
    lengths = list(range(2, 14))
    assert ordered(lengths, 1, 0) == [2, 8, 7, 1, 9, 3, 0, 10, 5, 4, 6, 11]
    assert ordered(lengths, 1, 0, 3) == [2, 1, 0, 8, 7, 6, 5, 4, 3, 11, 10, 9]
    orders = [ordered(lengths, seed, epoch) for seed in range(3) for epoch in range(3)]
    assert len({tuple(order) for order in orders}) == 9


@given(
    lengths=st.lists(st.integers(2, 60), min_size=1, max_size=230),
    seed=st.integers(0, 9),
    group=st.integers(1, 4),
)
def test_steps_hold_rows_of_similar_length_and_the_short_ones_come_last(
    lengths: list[int], seed: int, group: int
) -> None:
    expected = [
        step
        for chunk in batched(ordered(lengths, seed, 0), 50 * group)
        for step in batched(sorted(chunk, key=lambda row: -lengths[row]), group)
    ]
    full = [step for step in expected if len(step) == group]
    found = ordered(lengths, seed, 0, group)
    steps = batched(found[: len(full) * group], group)
    assert sorted(steps) == sorted(full)
    short = [row for step in expected if len(step) < group for row in step]
    assert found[len(full) * group :] == short


@given(lengths=LENGTHS, group=st.integers(0, 9), multiple=st.integers(1, 12))
def test_multiple_leaves_out_less_than_one_of_it(
    lengths: list[int], group: int, multiple: int
) -> None:
    order = EpochOrder(lengths, 3, group, multiple)
    rows = list(order)
    assert rows == ordered(lengths, 3, 0, group)[: len(rows)]
    assert len(rows) == len(order) == len(lengths) - len(lengths) % multiple


def token_rows(sizes: list[int], *, is_counted: bool) -> list[TokenRow]:
    """Rows of tokens that occur once; every token carries loss."""
    return [
        TokenRow(
            f"r{at}",
            [at * 100 + place for place in range(size)],
            [at * 100 + place for place in range(size)],
            at % 3 if is_counted else None,
        )
        for at, size in enumerate(sizes)
    ]


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=40), is_counted=st.booleans())
def test_packed_rows_are_whole_and_predict_nothing_of_each_other(
    sizes: list[int], is_counted: bool
) -> None:
    rows = token_rows(sizes, is_counted=is_counted)
    sequences = packed(rows, max_tokens=32)
    seen = []
    for item in sequences:
        ids, labels, places = item["input_ids"], item["labels"], item["position_ids"]
        assert len(ids) == len(labels) == len(places) <= 32
        starts = [at for at, place in enumerate(places) if place == 0]
        own = [rows[ids[at] // 100] for at in starts]
        for start, row in zip(starts, own, strict=True):
            stop = start + len(row.input_ids)
            assert ids[start:stop] == row.input_ids
            assert places[start:stop] == list(range(len(row.input_ids)))
            assert labels[start:stop] == [IGNORED, *row.labels[1:]]
        assert sum(len(row.input_ids) for row in own) == len(ids)
        assert item.get(SOURCES) == ([row.source for row in own] if is_counted else None)
        seen += [row.row_id for row in own]
        pairs = [(ids[at - 1], label) for at, label in enumerate(labels) if at and label != IGNORED]
        assert all(before // 100 == label // 100 for before, label in pairs)
    assert sorted(seen) == sorted(row.row_id for row in rows)


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6), is_counted=st.booleans())
def test_padding_is_neither_seen_nor_trained(sizes: list[int], is_counted: bool) -> None:
    rows = token_rows(sizes, is_counted=is_counted)
    batch = padded(unpacked(rows), pad_id=7777)
    width = max(sizes)
    for at, row in enumerate(rows):
        gap = width - sizes[at]
        assert batch["input_ids"][at] == row.input_ids + [7777] * gap
        assert batch["labels"][at] == row.labels + [IGNORED] * gap
        assert batch["attention_mask"][at] == [1] * sizes[at] + [0] * gap
    assert batch.get(SOURCES) == ([row.source for row in rows] if is_counted else None)
    assert {len(batch[name]) for name in ("input_ids", "labels", "attention_mask")} == {len(rows)}


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=12), is_counted=st.booleans())
def test_flattening_joins_a_batch_into_one_sequence(sizes: list[int], is_counted: bool) -> None:
    sequences: list[dict[str, Any]] = packed(token_rows(sizes, is_counted=is_counted), 32)
    batch = flattened(sequences)
    for name in ("input_ids", "position_ids", "labels"):
        assert batch[name] == [[value for item in sequences for value in item[name]]]
    sources = [number for item in sequences for number in item.get(SOURCES, ())]
    assert batch.get(SOURCES, []) == sources


def test_trained_tokens_are_those_that_carry_loss() -> None:
    assert TokenRow("a", [1, 2, 3], [IGNORED, 2, 3]).trained_tokens == 2
