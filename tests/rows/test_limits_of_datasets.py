"""How much may be wrong with a dataset: each limit on its edge, and one row beyond it."""

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from brewslm.diagnostics import Finding, Severity
from brewslm.rows.dataset import LeakCheckSpec, MixBackSpec, SplitSpec
from brewslm.rows.prepare import Preparation
from tests.rows.composing import codes_of, prepared, rows_of, source, write_rows

EVERYTHING = SplitSpec(train=1.0, validation=0.0, test=0.0)
UNCHECKED = LeakCheckSpec(exact=False, ngram=0, near=None)
RATE = "REJECT_RATE_EXCEEDED"


def about(result: Preparation, code: str) -> list[Finding]:
    return [item for item in result.findings if item.code == code]


@settings(max_examples=50)
@given(
    read=st.sampled_from([10, 20, 50, 100]) | st.integers(1, 60),
    rejected=st.integers(0, 30),
    duplicates=st.integers(0, 5),
    rate=st.sampled_from([None, 0.0, 0.05, 0.1, 0.25, 0.5]),
)
@example(read=10, rejected=1, duplicates=0, rate=0.1)
@example(read=10, rejected=1, duplicates=0, rate=0.5)
def test_share_of_rejects_warns_from_a_fifth_of_its_limit_and_blocks_beyond_it(
    read: int, rejected: int, duplicates: int, rate: float | None
) -> None:
    rejected = min(read, rejected)
    rows: list[dict[str, Any]] = rows_of(read - rejected)
    duplicates = min(duplicates, len(rows))
    rows += [{"text": "no label"}] * rejected + rows[:duplicates]
    contract = {} if rate is None else {"max_reject_rate": rate}
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder) / "tickets.jsonl", rows)
        result = prepared(
            Path(folder), source(), split=EVERYTHING, leak_check=UNCHECKED, contract=contract
        )
    share = Fraction(rejected, read + duplicates)
    limit = Fraction(str(0.1 if rate is None else rate))
    found = [(item.severity, item.found.split()[0]) for item in about(result, RATE)]
    if share > limit:
        assert found == [(Severity.ERROR, f"{float(share):.4f}")]
    elif share > limit / 5:
        assert found == [(Severity.WARNING, f"{float(share):.4f}")]
    else:
        assert found == []


def test_rows_that_are_lost_with_a_broken_line_count_each(tmp_path: Path) -> None:
    write_rows(tmp_path / "tickets.jsonl", rows_of(8))
    with (tmp_path / "tickets.jsonl").open("a") as lines:
        lines.write('{"text": "a", "label": "b"} ' * 4 + "\n")
    result = prepared(tmp_path, source(), split=EVERYTHING, leak_check=UNCHECKED)
    (told,) = about(result, RATE)
    assert (told.severity, told.found.split()[0]) == (Severity.ERROR, "0.3333")
    assert "1 of 9 rows are rejected" in told.message
    assert "about 4 rows are lost" in told.message


@pytest.mark.parametrize(("limit", "is_exceeded"), [(0, True), (2, True), (3, False), (4, False)])
def test_rejects_of_a_code_have_their_own_limit(
    tmp_path: Path, limit: int, is_exceeded: bool
) -> None:
    rows = [*rows_of(200), *[{"text": "no label"}] * 3, {"label": "no text"}]
    write_rows(tmp_path / "tickets.jsonl", rows)
    contract = {"max_rejects_by_code": {"missing_label": limit, "missing_text": 1, "empty_turn": 0}}
    result = prepared(tmp_path, source(), split=EVERYTHING, leak_check=UNCHECKED, contract=contract)
    found = [(item.severity, item.field, item.found, item.expected) for item in about(result, RATE)]
    field = "spec.dataset.contract.max_rejects_by_code.missing_label"
    assert found == [(Severity.ERROR, field, "3", f"at most {limit}")] * is_exceeded


@pytest.mark.parametrize(("least", "is_unmet"), [(0, False), (20, False), (21, True)])
def test_train_rows_may_not_be_fewer_than_asked_for(
    tmp_path: Path, least: int | None, is_unmet: bool
) -> None:
    write_rows(tmp_path / "tickets.jsonl", rows_of(20))
    write_rows(tmp_path / "gold.jsonl", rows_of(30, 900))
    result = prepared(
        tmp_path,
        source(),
        source("gold", "gold_test"),
        split=EVERYTHING,
        leak_check=UNCHECKED,
        contract={"min_rows": least},
    )
    found = [(item.severity, item.found) for item in about(result, "MIN_ROWS_UNMET")]
    assert found == [(Severity.ERROR, "20")] * is_unmet


@pytest.mark.parametrize(("rows", "is_small"), [(0, False), (1, True), (29, True), (30, False)])
@pytest.mark.parametrize("role", ["gold_dev", "gold_test"])
def test_gold_set_below_thirty_rows_is_small(
    tmp_path: Path, role: str, rows: int, is_small: bool
) -> None:
    write_rows(tmp_path / "tickets.jsonl", rows_of(20))
    write_rows(tmp_path / "gold.jsonl", rows_of(rows, 900))
    result = prepared(
        tmp_path, source(), source("gold", role), split=EVERYTHING, leak_check=UNCHECKED
    )
    assert [item.found for item in about(result, "SMALL_GOLD_SET")] == [str(rows)] * is_small


def test_set_without_rows_is_missed_only_where_it_has_a_share(tmp_path: Path) -> None:
    write_rows(tmp_path / "tickets.jsonl", rows_of(1))
    for share, is_missed in ((0.0, False), (0.25, True)):
        split = SplitSpec(train=1 - share, validation=share, test=0.0)
        result = prepared(tmp_path, source(), split=split, leak_check=UNCHECKED)
        empty = [item.message.split()[1] for item in about(result, "SPLIT_EMPTY")]
        assert len(empty) == is_missed
    write_rows(tmp_path / "val.jsonl", rows_of(3, 900))
    sets = set()
    for start in range(8):
        write_rows(tmp_path / "tickets.jsonl", rows_of(1, start))
        sources = source(), source("val", "validation")
        result = prepared(tmp_path, *sources, split=split, leak_check=UNCHECKED)
        sets |= {item.message.split()[1] for item in about(result, "SPLIT_EMPTY")}
    assert sets == {"train"}, "validation has the rows that were provided for it"


@pytest.mark.parametrize(("general", "is_short"), [(24, True), (25, False), (26, False)])
def test_too_few_rows_to_mix_back_are_those_below_the_share(
    tmp_path: Path, general: int, is_short: bool
) -> None:
    write_rows(tmp_path / "tickets.jsonl", rows_of(100))
    write_rows(tmp_path / "general.jsonl", rows_of(general, 5000))
    result = prepared(
        tmp_path,
        source(),
        source("general"),
        split=EVERYTHING,
        leak_check=UNCHECKED,
        mix_back=MixBackSpec(source="general", fraction=0.2),
    )
    assert ("MIX_BACK_SHORT" in codes_of(result)) is is_short


def test_the_share_that_is_named_as_remedy_is_not_short(tmp_path: Path) -> None:
    """255 of 522 rows are a share of 0.4885; 0.489 would ask for 256."""
    write_rows(tmp_path / "tickets.jsonl", rows_of(267))
    write_rows(tmp_path / "general.jsonl", rows_of(255, 5000))
    share = 0.5
    for _ in range(2):
        result = prepared(
            tmp_path,
            source(),
            source("general"),
            split=EVERYTHING,
            leak_check=UNCHECKED,
            mix_back=MixBackSpec(source="general", fraction=share),
        )
        for found in about(result, "MIX_BACK_SHORT"):
            share = float(found.actionable_fix.rpartition("fraction: ")[2])
    assert share < 0.5
    assert "MIX_BACK_SHORT" not in codes_of(result)


def test_one_input_with_two_answers_is_a_conflict_and_repeated_rows_are_none(
    tmp_path: Path,
) -> None:
    rows = rows_of(20)
    write_rows(tmp_path / "tickets.jsonl", [*rows, rows[3], {**rows[3], "text": "other"}])
    assert about(prepared(tmp_path, source()), "LABEL_CONFLICT") == []
    write_rows(tmp_path / "tickets.jsonl", [*rows, {**rows[3], "label": "blocker"}])
    (conflict,) = about(prepared(tmp_path, source()), "LABEL_CONFLICT")
    assert conflict.message.startswith("1 ")
    assert conflict.found == "tickets.jsonl:4, tickets.jsonl:21"
