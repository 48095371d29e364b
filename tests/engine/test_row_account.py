"""The rows of a run by source: counted again from the prepared rows, and refused if they differ."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.engine.row_account import RowAccount, account_of, compare, steps_per_epoch
from brewslm.engine.sequences import SOURCES, EpochOrder, packed, unpacked
from brewslm.engine.token_row import Tokenized, TokenRow
from brewslm.errors import WorkerError
from brewslm.rows.dataset import CleaningSpec, LeakCheckSpec, SplitSpec
from tests.rows.composing import lines_of, prepared, rows_of, source, write_rows

WEIGHTS = {"common": 1.0, "hard": 2.5, "rare": 0.5}
TOO_LONG, NO_LOSS = "rows_too_long", "rows_without_loss"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sources of weights 1, 2.5 and 0.5, prepared."""
    root = tmp_path_factory.mktemp("weighted")
    for at, name in enumerate(WEIGHTS):
        write_rows(root / f"{name}.jsonl", rows_of(20, at * 1000))
    prepared(
        root,
        *(source(name, "train", weight=weight) for name, weight in WEIGHTS.items()),
        split=SplitSpec(train=1.0, validation=0.0, test=0.0),
        leak_check=LeakCheckSpec(exact=False, ngram=0, near=None),
    )
    return root / "out"


def tokenized(lines: list[dict[str, Any]], out: dict[str, str] | None = None) -> Tokenized:
    """Rows of a few tokens; out: row_id to the code that leaves it out."""
    out = out or {}
    left: dict[str, list[str]] = {}
    for line in lines:
        if line["row_id"] in out:
            left.setdefault(out[line["row_id"]], []).append(line["row_id"])
    ids = [line["row_id"] for line in lines if line["row_id"] not in out]
    return Tokenized([TokenRow(row_id, [1, 2, 3], [1, 2, 3]) for row_id in ids], left)


def left_out(lines: list[dict[str, Any]]) -> dict[str, str]:
    return {line["row_id"]: (TOO_LONG, NO_LOSS)[at % 2] for at, line in enumerate(lines[::5])}


def test_rows_are_repeated_and_counted_for_their_source(folder: Path) -> None:
    lines = lines_of(folder, "train.jsonl")
    sources = {line["row_id"]: line["source"] for line in lines_of(folder, "index.jsonl")}
    weights = {line["row_id"]: line["weight"] for line in lines}
    out = left_out(lines)
    account = account_of(folder, lines, tokenized(lines, out))
    assert account.names == ("common", "hard", "rare")
    found = Counter((row.row_id, account.names[row.source or 0]) for row in account.rows)
    assert found == {
        (row_id, sources[row_id]): weight for row_id, weight in weights.items() if row_id not in out
    }
    expected: dict[str, Counter[str]] = {TOO_LONG: Counter(), NO_LOSS: Counter()}
    for row_id, code in out.items():
        expected[code][sources[row_id]] += weights[row_id]
    assert account.left_out == expected
    epoch = Counter(name for (_, name), amount in found.items() for _ in range(amount))
    assert account.epoch_rows == epoch
    seen = {name: 2 * amount for name, amount in epoch.items()}
    document = account.document(seen)
    mix = json.loads((folder / "manifest.json").read_bytes())["mix"]["sources"]
    for name in WEIGHTS:
        assert document[name] == {
            "rows": sum(own == name for _, own in found),
            "effective_rows": epoch[name],
            "left_out": {code: counts[name] for code, counts in expected.items()},
            "planned_share_ratio": mix[name]["share_ratio"],
            "share_ratio": pytest.approx(epoch[name] / epoch.total()),
            "seen_rows": seen[name],
            "seen_share_ratio": pytest.approx(epoch[name] / epoch.total()),
        }
    uncounted = account.document({})
    assert {item["seen_rows"] for item in uncounted.values()} == {None}
    assert {item["seen_share_ratio"] for item in uncounted.values()} == {None}
    assert account.document({"common": 4})["rare"]["seen_rows"] == 0


def test_run_of_the_prepared_rows_is_accepted(folder: Path) -> None:
    lines = lines_of(folder, "train.jsonl")
    out = left_out(lines)
    account = account_of(folder, lines, tokenized(lines, out))
    total = sum(line["weight"] for line in lines)
    too_long = account.left_out[TOO_LONG].total()
    without_loss = account.left_out[NO_LOSS].total()
    account.check_epoch({})
    account.check_epoch({"rows": total - too_long - without_loss, TOO_LONG: too_long})
    for rows, others in ((total, too_long), (total - too_long - without_loss, too_long + 1)):
        with pytest.raises(WorkerError, match="rows of an epoch") as caught:
            account.check_epoch({"rows": rows, TOO_LONG: others})
        assert caught.value.code == "training_data_mismatch"
        assert (caught.value.found, caught.value.expected) == (
            f"rows {total - without_loss}",
            f"rows {rows + others}",
        )


@pytest.mark.parametrize("change", ["weight", "lost", "swapped"])
def test_rows_that_differ_from_the_prepared_ones_are_refused(folder: Path, change: str) -> None:
    lines = lines_of(folder, "train.jsonl")
    rows = tokenized(lines)
    if change == "weight":
        lines[0] = {**lines[0], "weight": lines[0]["weight"] + 1}
    elif change == "lost":
        rows.rows.pop()
    account = account_of(folder, lines, rows)
    if change == "swapped":
        account.rows.sort(key=lambda row: row.source or 0)
        account.rows[0] = account.rows[-1]
    with pytest.raises(WorkerError) as caught:
        account.check_epoch({})
    assert caught.value.code == "training_data_mismatch"


@given(
    sources=st.lists(st.integers(0, 2), min_size=1, max_size=30),
    rows_per_step=st.integers(1, 8),
    steps=st.integers(0, 20),
    group=st.integers(0, 3),
    is_packed=st.booleans(),
)
def test_run_saw_the_rows_of_its_steps(
    sources: list[int], rows_per_step: int, steps: int, group: int, is_packed: bool
) -> None:
    rows = [TokenRow(str(at), [1] * 3, [1] * 3, own) for at, own in enumerate(sources)]
    sequences = packed(rows, 8) if is_packed else unpacked(rows)
    account = RowAccount(rows, ("a", "b", "c"), {}, {}, is_by_source=True)
    order = EpochOrder([3] * len(sequences), 7, group)
    shown: Counter[str] = Counter()
    epoch, left = 0, steps
    while left:
        order.set_epoch(epoch)
        epoch_rows = list(order)
        for start in range(0, len(epoch_rows), rows_per_step):
            if left:
                left -= 1
                for number in epoch_rows[start : start + rows_per_step]:
                    shown.update("abc"[own] for own in sequences[number][SOURCES])
        epoch += 1
    account.check_run(sequences, order, rows_per_step, steps, shown)
    for change in (-1, 1):
        other = {**shown, "a": shown["a"] + change}
        with pytest.raises(WorkerError, match=f"rows of {steps} steps") as caught:
            account.check_run(sequences, order, rows_per_step, steps, other)
        assert caught.value.code == "training_data_mismatch"
    per_epoch = len(range(0, len(sequences), rows_per_step))
    assert steps_per_epoch(len(sequences), rows_per_step) == per_epoch


def test_row_of_two_sources_counts_for_all_of_them_together(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", rows_of(5))
    write_rows(tmp_path / "b.jsonl", rows_of(6))
    prepared(
        tmp_path,
        source("a", "train", weight=2.0),
        source("b", "train", weight=3.0),
        split=SplitSpec(train=1.0, validation=0.0, test=0.0),
        cleaning=CleaningSpec(dedupe="off"),
        leak_check=LeakCheckSpec(exact=False, ngram=0, near=None),
    )
    lines = lines_of(tmp_path / "out", "train.jsonl")
    account = account_of(tmp_path / "out", lines, tokenized(lines))
    assert not account.is_by_source
    assert len(account.rows) == 5 * 2 + 6 * 3
    account.check_epoch({"rows": 28, TOO_LONG: 0})
    account.rows.pop()
    with pytest.raises(WorkerError) as caught:
        account.check_epoch({})
    assert (caught.value.found, caught.value.expected) == ("all sources 27", "all sources 28")


def test_folder_without_an_index_has_one_unknown_source(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [{"row_id": "a"}, {"row_id": "b", "weight": 2}]
    account = account_of(tmp_path, lines, tokenized(lines))
    assert account.epoch_rows == {"unknown": 3}
    account.check_epoch({})


def test_equal_counts_are_equal_whatever_their_order() -> None:
    compare("rows", {"a": 1, "b": 2}, Counter(b=2, a=1))
    with pytest.raises(WorkerError) as caught:
        compare("rows", {}, {"b": 2, "a": 1})
    assert (caught.value.found, caught.value.expected) == ("no rows", "a 1, b 2")


def _placed(folder: Path, *lines: tuple[str, str, str, bool], mix: dict[str, int]) -> Path:
    """Write what a prepared folder says of its rows.

    lines: row_id, source, set and whether it is a duplicate; mix: effective rows by source.
    """
    names = ("row_id", "source", "split", "is_duplicate")
    index = (json.dumps(dict(zip(names, line, strict=True))) for line in lines)
    (folder / "index.jsonl").write_text("\n".join(index) + "\n")
    sources = {name: {"effective_rows": rows} for name, rows in mix.items()}
    (folder / "manifest.json").write_text(json.dumps({"mix": {"sources": sources}}))
    return folder


def test_row_counts_for_the_source_that_it_is_trained_from(tmp_path: Path) -> None:
    """Not for one whose copy was dropped, nor for one of another set; a source may give none."""
    folder = _placed(
        tmp_path,
        ("a", "early", "train", True),
        ("a", "late", "train", False),
        ("b", "exam", "gold_test", False),
        ("b", "late", "train", False),
        mix={"late": 2, "none": 0},
    )
    lines = [{"row_id": "a"}, {"row_id": "b"}]
    account = account_of(folder, lines, tokenized(lines))
    assert account.names == ("late",)
    assert account.epoch_rows == {"late": 2}
    account.check_epoch({})


def test_copies_of_equal_rows_are_taken_in_the_order_of_the_lines(tmp_path: Path) -> None:
    folder = _placed(
        tmp_path, ("a", "own", "train", False), ("a", "own", "train", False), mix={"own": 4}
    )
    lines = [{"row_id": "a", "weight": 3}, {"row_id": "a", "weight": 1}]
    row = TokenRow("a", [1, 2], [1, 2])
    account = account_of(folder, lines, Tokenized([row], {TOO_LONG: ["a"]}))
    assert account.epoch_rows == {"own": 3}
    assert account.left_out == {TOO_LONG: Counter({"own": 1})}
    account.check_epoch({})
