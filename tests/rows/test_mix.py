"""What an epoch sees: caps, weights and rows put back, against choosing row by row."""

import hashlib
import tempfile
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewslm.rows.dataset import LeakCheckSpec, MixBackSpec, SplitSpec
from tests.rows.composing import lines_of, prepared, rows_of, source, write_rows

UNCHECKED = LeakCheckSpec(exact=False, ngram=0, near=None)


def order(seed: int, row_id: str) -> str:
    """The digest by which rows are chosen, as the reference page has it."""
    return hashlib.sha256(f"{seed}\0{row_id}".encode()).hexdigest()


def stands(seed: int, row_id: str) -> Fraction:
    return Fraction(int(order(seed, row_id)[:16], 16), 2**64)


def copies(seed: int, row_id: str, weight: float, below: Fraction) -> int:
    """below: what the rows that the cap leaves stand below; a fraction is one of these rows."""
    whole = int(Fraction(weight))
    return whole + (stands(seed, row_id) < (Fraction(weight) - whole) * below)


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=3, max_size=3),
    weights=st.tuples(*[st.sampled_from([0.25, 0.5, 1, 1.75, 2, 3.5])] * 2),
    most=st.none() | st.integers(1, 20),
    fraction=st.none() | st.sampled_from([0.05, 0.1, 0.5]),
    seed=st.integers(0, 99),
)
def test_rows_of_an_epoch_are_those_that_the_slow_way_chooses(
    sizes: list[int],
    weights: tuple[float, float],
    most: int | None,
    fraction: float | None,
    seed: int,
) -> None:
    names = ("a", "b", "general")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for at, (name, size) in enumerate(zip(names, sizes, strict=True)):
            write_rows(root / f"{name}.jsonl", rows_of(size, at * 1000))
        result = prepared(
            root,
            source("a", "train", weight=weights[0]),
            source("b", "train", weight=weights[1]),
            *([] if fraction is None else [source("general", weight=3.0)]),
            split=SplitSpec(train=0.5, validation=0.25, test=0.25, seed=seed),
            max_examples=most,
            leak_check=UNCHECKED,
            mix_back=MixBackSpec(
                source=None if fraction is None else "general", fraction=fraction or 0
            ),
        )
        index = lines_of(root / "out", "index.jsonl")
        train = lines_of(root / "out", "train.jsonl")
    weight_of = dict(zip(names, weights, strict=False))
    expected: dict[str, int] = {}
    holds: dict[str, str] = {}
    ordered = sorted(
        (order(seed, line["row_id"]), line["row_id"], line["source"]) for line in index
    )
    own = [(row_id, name) for _, row_id, name in ordered if name != "general"]
    is_capped = most is not None and most < len(own)
    below = stands(seed, own[most or 0][0]) if is_capped else Fraction(1)
    for number, (row_id, name) in enumerate(own):
        amount = copies(seed, row_id, weight_of[name], below)
        if most is not None and number >= most:
            holds[row_id] = "capped"
        elif amount:
            expected[row_id] = amount
        else:
            holds[row_id] = "weight_excluded"
    general = [row_id for _, row_id, name in ordered if name == "general"]
    if fraction is not None:
        wanted = round(fraction * sum(expected.values()) / (1 - fraction))
        expected |= dict.fromkeys(general[:wanted], 1)
        holds |= dict.fromkeys(general[wanted:], "capped")
    assert {line["row_id"]: line["weight"] for line in train} == expected
    assert {line["row_id"]: line["hold"] for line in index if line["hold"]} == holds
    total = sum(expected.values())
    assert result.manifest["train_rows_effective"] == total
    sources = {line["row_id"]: line["source"] for line in index}
    rows = Counter(sources[row_id] for row_id in expected)
    effective: Counter[str] = Counter()
    for row_id, amount in expected.items():
        effective[sources[row_id]] += amount
    mix: dict[str, Any] = result.manifest["mix"]
    assert mix["sources"] == {
        name: {
            "rows": rows[name],
            "weight": weight_of.get(name, 3.0),
            "effective_rows": effective[name],
            "share_ratio": pytest.approx(effective[name] / total),
        }
        for name in sorted(rows)
    }
    assert mix["mix_back"] == (
        None
        if fraction is None
        else {"source": "general", "fraction": fraction, "rows": rows["general"]}
    )


@pytest.mark.parametrize("role", ["validation", "test", "gold_dev", "gold_test"])
def test_rows_outside_of_training_are_neither_repeated_nor_left_out(
    tmp_path: Path, role: str
) -> None:
    write_rows(tmp_path / "tickets.jsonl", rows_of(10))
    write_rows(tmp_path / "other.jsonl", rows_of(30, 900))
    for number, weight in enumerate((0.25, 3.0)):
        result = prepared(
            tmp_path,
            source(role="train"),
            source("other", role, weight=weight),
            split=SplitSpec(train=1.0, validation=0.0, test=0.0),
            max_examples=5,
            leak_check=UNCHECKED,
            out=f"out{number}",
        )
        name = "val.jsonl" if role == "validation" else f"{role}.jsonl"
        lines = lines_of(tmp_path / f"out{number}", name)
        assert [line["weight"] for line in lines] == [1] * 30
        assert result.manifest["mix"]["sources"].keys() == {"tickets"}


@pytest.mark.parametrize("weight", [0.5, 1.5, 2.25])
def test_a_cap_does_not_change_what_a_weight_means(tmp_path: Path, weight: float) -> None:
    write_rows(tmp_path / "a.jsonl", rows_of(400))
    most = 100 if weight > 1 else 200
    result = prepared(
        tmp_path,
        source("a", "train", weight=weight),
        split=SplitSpec(train=1, validation=0, test=0, seed=3),
        max_examples=most,
        leak_check=UNCHECKED,
    )
    assert result.manifest["train_rows_effective"] == pytest.approx(most * weight, rel=0.15)
