"""Placement: stable by key, grouped, exact under random, as a slow way of saying so has it."""

import hashlib
import math
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewslm.rows.dataset import SplitSpec
from brewslm.rows.identity import split_ratio
from brewslm.rows.record import Split
from brewslm.rows.split import Placement, place, set_of
from tests.rows.composing import lines_of, prepared, rows_of, source, write_rows

KEYS = {f"i:{number}": "" for number in range(2000)}
WHOLE = place(KEYS, SplitSpec()).sets


def test_shares_are_near_the_ratios() -> None:
    counts = Counter(place(KEYS, SplitSpec()).sets.values())
    assert abs(counts[Split.TRAIN] - 1600) < 60
    assert abs(counts[Split.VALIDATION] - 200) < 45


@given(st.integers(1, 1000))
def test_a_group_ignores_its_neighbours(count: int) -> None:
    some = dict(list(KEYS.items())[:count])
    placement = place(some, SplitSpec())
    assert all(placement.sets[key] is WHOLE[key] for key in some if key not in placement.forced)


def test_ratios_move_only_groups_between_the_boundaries() -> None:
    before = place(KEYS, SplitSpec()).sets
    after = place(KEYS, SplitSpec(train=0.7, validation=0.2, test=0.1)).sets
    moved = {key for key in KEYS if before[key] is not after[key]}
    assert moved == {key for key in KEYS if 0.7 <= split_ratio(42, key) < 0.8}


def test_another_seed_moves_groups() -> None:
    assert place(KEYS, SplitSpec()).sets != place(KEYS, SplitSpec(seed=43)).sets


def test_random_shares_are_exact_in_each_stratum() -> None:
    groups = {key: "ab"[index % 2] for index, key in enumerate(KEYS)}
    sets = place(groups, SplitSpec(method="random")).sets
    counts = Counter((groups[key], split) for key, split in sets.items())
    for stratum in "ab":
        assert [counts[stratum, split] for split in list(Split)[:3]] == [800, 100, 100]


@pytest.mark.parametrize("count", [10, 11, 14])
def test_small_data_fills_every_set_by_force(count: int) -> None:
    for seed in range(30):
        groups = {f"i:{number}": "" for number in range(count)}
        placement = place(groups, SplitSpec(seed=seed))
        assert set(placement.sets.values()) == set(list(Split)[:3])
        assert not placement.empty


def test_too_few_groups_leave_a_set_empty() -> None:
    placement = place({"i:1": ""}, SplitSpec())
    assert len(placement.empty) == 2
    assert not placement.forced


SETS = (Split.TRAIN, Split.VALIDATION, Split.TEST)


def at(seed: int, key: str) -> Fraction:
    """Where a group stands, as the reference page has it."""
    digest = hashlib.sha256(f"brewslm.split.v1\0{seed}\0{key}".encode()).digest()
    return Fraction(int.from_bytes(digest[:8], "big"), 2**64)


def slowly(groups: dict[str, str], settings: SplitSpec) -> Placement:
    """Place each group by exact fractions, by looking at all of them each time."""
    shares = [Fraction(share) for share in (settings.train, settings.validation, settings.test)]
    starts = [Fraction(0), shares[0], shares[0] + shares[1], Fraction(1)]
    stands = {key: at(settings.seed, key) for key in groups}
    sets = {key: SETS[sum(stands[key] >= start for start in starts[1:3])] for key in groups}
    if settings.method == "random":
        for stratum in set(groups.values()):
            left = sorted((key for key in groups if groups[key] == stratum), key=stands.__getitem__)
            exact = [len(left) * share for share in shares]
            counts = [math.floor(amount) for amount in exact]
            while sum(counts) < len(left):
                missing = [amount - count for amount, count in zip(exact, counts, strict=True)]
                counts[missing.index(max(missing))] += 1
            for split, count in zip(SETS, counts, strict=True):
                sets.update(dict.fromkeys(left[:count], split))
                left = left[count:]
    forced = set()
    empty = []
    for number, split in enumerate(SETS):
        if shares[number] == 0 or split in sets.values():
            continue
        if len(groups) < 10:
            empty.append(split)
            continue
        amounts = Counter(sets.values())
        start, end = starts[number : number + 2]
        away = {
            key: max(start - stand, stand - end, Fraction(0))
            for key, stand in stands.items()
            if amounts[sets[key]] > 1
        }
        nearest = min(sorted(away), key=away.__getitem__)
        sets[nearest] = split
        forced.add(nearest)
    return Placement(sets, frozenset(forced), tuple(empty))


CUTS = st.tuples(st.integers(0, 16), st.integers(0, 16)).map(sorted)
NARROW = st.sampled_from([[1, 2], [1, 15], [14, 15], [2, 3], [8, 9], [15, 16], [1, 16], [0, 1]])


@given(
    cuts=CUTS | NARROW,
    count=st.integers(0, 40) | st.integers(9, 12),
    seed=st.integers(0, 10_000),
    strata=st.integers(1, 3),
    method=st.sampled_from(["hash", "random"]),
)
@settings(max_examples=250)
def test_groups_go_where_the_slow_way_puts_them(
    cuts: list[int], count: int, seed: int, strata: int, method: Any
) -> None:
    first, second = cuts
    request = SplitSpec(
        train=first / 16,
        validation=(second - first) / 16,
        test=(16 - second) / 16,
        seed=seed,
        method=method,
    )
    groups = {f"g:{number}": f"s{number % strata}" for number in range(count)}
    expected = slowly(groups, request)
    found = place(groups, request)
    assert found == expected
    if method == "hash":
        stays = groups.keys() - found.forced
        assert all(set_of(key, request) is found.sets[key] for key in stays)


def test_group_on_a_boundary_belongs_to_the_set_that_begins_there() -> None:
    stands = split_ratio(42, "g:1")
    assert (
        set_of("g:1", SplitSpec(train=stands, validation=1 - stands, test=0.0)) is Split.VALIDATION
    )
    assert set_of("g:1", SplitSpec(train=0.0, validation=stands, test=1 - stands)) is Split.TEST


@pytest.mark.parametrize("method", ["hash", "random"])
def test_rows_of_a_declared_group_go_where_the_group_goes(tmp_path: Path, method: Any) -> None:
    rows = [{**row, "site": f"site{number % 40}"} for number, row in enumerate(rows_of(240))]
    write_rows(tmp_path / "tickets.jsonl", rows)
    settings = SplitSpec(train=0.5, validation=0.25, test=0.25, group_by=("site",), method=method)
    prepared(tmp_path, source(), split=settings)
    found = {
        (rows[line["line"] - 1]["site"], line["split"])
        for line in lines_of(tmp_path / "out", "index.jsonl")
    }
    keys = {f'g:["site{number}"]': "" for number in range(40)}
    expected = slowly(keys, settings).sets
    assert found == {(key[4:-2], split.role) for key, split in expected.items()}


@pytest.mark.parametrize("method", ["hash", "random"])
def test_equal_inputs_with_other_answers_go_to_one_set(tmp_path: Path, method: Any) -> None:
    rows = rows_of(120)
    answers = [{**row, "label": label} for row in rows for label in ("major", "minor")]
    write_rows(tmp_path / "tickets.jsonl", answers)
    prepared(
        tmp_path, source(), split=SplitSpec(train=0.5, validation=0.25, test=0.25, method=method)
    )
    sets: dict[str, set[str]] = {}
    for line in lines_of(tmp_path / "out", "index.jsonl"):
        sets.setdefault(rows[(line["line"] - 1) // 2]["text"], set()).add(line["split"])
    assert len(sets) == 120
    assert all(len(own) == 1 for own in sets.values())
    assert set.union(*sets.values()) >= {"train", "validation", "test"}


def test_group_of_several_strata_counts_in_the_first_of_them(tmp_path: Path) -> None:
    labels = ("major", "minor", "blocker")
    rows = [
        {
            **row,
            "site": f"site{number % 30}",
            "label": labels[(number + number // 30 * (number % 2)) % 3],
        }
        for number, row in enumerate(rows_of(120))
    ]
    strata = {
        f'g:["site{site}"]': min(
            f'"{row["label"]}"' for row in rows if row["site"] == f"site{site}"
        )
        for site in range(30)
    }
    request = SplitSpec(
        train=0.5,
        validation=0.25,
        test=0.25,
        method="random",
        group_by=("site",),
        stratify_by="label",
    )
    expected = slowly(strata, request).sets
    for order in (rows, rows[::-1]):
        write_rows(tmp_path / "tickets.jsonl", order)
        prepared(tmp_path, source(), split=request)
        index = lines_of(tmp_path / "out", "index.jsonl")
        assert {(line["group_key"], line["split"]) for line in index} == {
            (key, split.role) for key, split in expected.items()
        }


def test_rows_of_a_forced_group_say_so(tmp_path: Path) -> None:
    rows = [{**row, "site": f"site{number % 10}"} for number, row in enumerate(rows_of(30))]
    write_rows(tmp_path / "tickets.jsonl", rows)
    keys = {f'g:["site{number}"]': "" for number in range(10)}
    amounts = set()
    for seed in range(6):
        request = SplitSpec(seed=seed, group_by=("site",))
        prepared(tmp_path, source(), split=request)
        index = lines_of(tmp_path / "out", "index.jsonl")
        forced = {line["group_key"] for line in index if "split_forced" in line["flags"]}
        assert forced == slowly(keys, request).forced
        assert sum("split_forced" in line["flags"] for line in index) == 3 * len(forced)
        amounts.add(len(forced))
    assert len(amounts) > 1
