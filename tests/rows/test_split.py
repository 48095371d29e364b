"""Placement: stable by key, grouped, exact under random."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.rows.identity import split_ratio
from brewslm.rows.record import Split
from brewslm.rows.request import SplitRequest
from brewslm.rows.split import place

KEYS = {f"i:{number}": "" for number in range(2000)}


def test_shares_are_near_the_ratios() -> None:
    counts = Counter(place(KEYS, SplitRequest()).sets.values())
    assert abs(counts[Split.TRAIN] - 1600) < 60
    assert abs(counts[Split.VALIDATION] - 200) < 45


@given(st.integers(1, 1000))
def test_a_group_ignores_its_neighbours(count: int) -> None:
    some = dict(list(KEYS.items())[:count])
    whole = place(KEYS, SplitRequest()).sets
    placement = place(some, SplitRequest())
    assert all(placement.sets[key] is whole[key] for key in some if key not in placement.forced)


def test_ratios_move_only_groups_between_the_boundaries() -> None:
    before = place(KEYS, SplitRequest()).sets
    after = place(KEYS, SplitRequest(0.7, 0.2, 0.1)).sets
    moved = {key for key in KEYS if before[key] is not after[key]}
    assert moved == {key for key in KEYS if 0.7 <= split_ratio(42, key) < 0.8}


def test_another_seed_moves_groups() -> None:
    assert place(KEYS, SplitRequest()).sets != place(KEYS, SplitRequest(seed=43)).sets


def test_random_shares_are_exact_in_each_stratum() -> None:
    groups = {key: "ab"[index % 2] for index, key in enumerate(KEYS)}
    sets = place(groups, SplitRequest(method="random")).sets
    counts = Counter((groups[key], split) for key, split in sets.items())
    for stratum in "ab":
        assert [counts[stratum, split] for split in list(Split)[:3]] == [800, 100, 100]


@pytest.mark.parametrize("count", [10, 11, 14])
def test_small_data_fills_every_set_by_force(count: int) -> None:
    for seed in range(30):
        groups = {f"i:{number}": "" for number in range(count)}
        placement = place(groups, SplitRequest(seed=seed))
        assert set(placement.sets.values()) == set(list(Split)[:3])
        assert not placement.empty


def test_too_few_groups_leave_a_set_empty() -> None:
    placement = place({"i:1": ""}, SplitRequest())
    assert len(placement.empty) == 2
    assert not placement.forced
