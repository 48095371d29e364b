"""Accounting: counted again one row at a time, and refused where a law does not hold."""

from collections import Counter
from contextlib import nullcontext
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.rows.accounting import account, check_files, check_homes, split_counts
from brewslm.rows.record import Position, Reject, Split
from brewslm.rows.rejects import HoldCode, RejectCode
from brewslm.rows.stored import StoredExample

NAMES = ("gold", "tickets")
OPEN = [split for split in Split if split is not Split.HELD]


def example(
    source: str = "tickets",
    split: Split | None = Split.TRAIN,
    hold: HoldCode | None = None,
    digest: int = 0,
    *,
    is_gold: bool = False,
) -> StoredExample:
    return StoredExample(
        source, f"{source}.jsonl", 1, 0, digest.to_bytes(32), digest.to_bytes(32),
        "classification", ("text",), None, None, "", "a", True, None, (), is_gold, 1, hold, split,
    )  # fmt: skip


def reject(source: str = "tickets", code: str = "parse_error", of: str | None = None) -> Reject:
    return Reject(Position(source, 1), "", None, code, of_row_id=of)


PLACED = st.builds(example, st.sampled_from(NAMES), st.sampled_from(OPEN))
HELD = st.builds(
    example, st.sampled_from(NAMES), st.just(Split.HELD), st.sampled_from(list(HoldCode))
)
REJECTED = st.builds(reject, st.sampled_from(NAMES), st.sampled_from(list(RejectCode)))
DUPLICATES = st.builds(reject, st.sampled_from(NAMES), st.just("duplicate"), st.just("0" * 64))


@given(st.lists(PLACED | HELD), st.lists(REJECTED | DUPLICATES))
def test_every_row_is_counted_once_by_its_source_and_in_total(
    examples: list[StoredExample], rejects: list[Reject]
) -> None:
    sources = [item.source for item in examples] + [item.position.source for item in rejects]
    read = {name: sources.count(name) for name in NAMES}
    counted = account(read, examples, rejects)
    parts = {**{name: {name} for name in NAMES}, "total": set(NAMES)}
    found = {**counted["sources"], "total": counted["total"]}
    assert found.keys() == parts.keys()
    for name, own in parts.items():
        here = [item for item in examples if item.source in own]
        out = [item for item in rejects if item.position.source in own]
        assert found[name] == {
            "read": len(here) + len(out),
            "accepted": len(here),
            "rejected": Counter(item.code for item in out if item.code != "duplicate"),
            "duplicates": sum(item.code == "duplicate" for item in out),
            "holds": Counter(item.hold for item in here if item.hold),
            "splits": {split.value: sum(item.split is split for item in here) for split in Split},
        }
        for codes in (found[name]["rejected"], found[name]["holds"]):
            assert list(codes) == sorted(codes)


def test_every_code_may_occur_in_one_dataset() -> None:
    examples = [example(split=Split.HELD, hold=code) for code in HoldCode]
    rejects = [reject(code=code) for code in RejectCode]
    total = account({"tickets": len(examples) + len(rejects)}, examples, rejects)["total"]
    assert (len(total["holds"]), len(total["rejected"])) == (len(HoldCode), len(RejectCode))


@pytest.mark.parametrize(
    ("read", "examples", "rejects", "law"),
    [
        (1, [], [], "A1"),
        (1, [example(), example()], [], "A1"),
        (1, [example()], [reject()], "A1"),
        (0, [], [reject(code="duplicate", of="0")], "A1"),
        (1, [example(split=Split.HELD)], [], "A3"),
        (1, [example(split=None)], [], "A3"),
        (1, [example(hold=HoldCode.CAPPED)], [], "A3"),
        (1, [], [reject(code="unheard_of")], "A3"),
        (1, [example(split=Split.HELD, hold="unheard_of")], [], "A3"),  # type: ignore[arg-type]  # the fault
    ],
)
def test_row_without_a_fate_or_with_two_is_refused(
    read: int, examples: list[StoredExample], rejects: list[Reject], law: str
) -> None:
    with pytest.raises(AssertionError, match=f"law {law} is broken for tickets"):
        account({"tickets": read}, examples, rejects)


def test_example_that_waits_for_its_set_counts_as_held() -> None:
    counts = split_counts([example(split=None), example(), example(split=Split.VALIDATION)])
    assert counts == {
        "train": 1, "validation": 1, "test": 0, "gold_dev": 0, "gold_test": 0, "held": 1,
    }  # fmt: skip


def _files() -> tuple[dict[str, int], dict[str, int]]:
    splits = {split.value: number for number, split in enumerate(Split)}
    lines = {split.file: number for number, split in enumerate(Split)}
    return splits, {**lines, "rejected.jsonl": 7}


@pytest.mark.parametrize("name", [None, *_files()[1]])
@pytest.mark.parametrize("change", [-1, 1])
def test_file_with_another_number_of_lines_is_refused(name: str | None, change: int) -> None:
    splits, lines = _files()
    if name is None:
        check_files(splits, lines, 7)
        return
    with pytest.raises(AssertionError, match="law A4"):
        check_files(splits, {**lines, name: lines[name] + change}, 7)


@pytest.mark.parametrize(
    ("change", "is_broken"),
    [
        ({}, False),
        ({"split": Split.TEST}, True),
        ({"split": Split.HELD}, True),
        ({"split": None}, True),
        ({"split": Split.TEST, "row_digest": bytes(32)}, False),
        ({"split": Split.GOLD_TEST, "is_gold": True}, False),
    ],
)
def test_equal_rows_stand_in_one_set_of_their_side(change: dict[str, Any], is_broken: bool) -> None:
    one = example(digest=5)
    rows = [one, example(digest=6, split=Split.TEST), msgspec.structs.replace(one, **change)]
    refused = pytest.raises(AssertionError, match="law A5 is broken for tickets")
    with refused if is_broken else nullcontext():
        check_homes(rows)
