"""What counts of a file are its rows: another way of writing them does nothing further down."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from brewslm.errors import ExitCode
from brewslm.plan.action import Action
from tests.apply.bench import Bench, row


def _windows(lines: list[str]) -> str:
    return "\r\n".join(lines) + "\r\n"


def _unended(lines: list[str]) -> str:
    return "\n".join(lines)


def _turned(lines: list[str]) -> str:
    rows = (json.dumps(dict(reversed(json.loads(line).items()))) for line in lines)
    return "".join(f"{line}\n" for line in rows)


def _shuffled(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in random.Random(5).sample(lines, len(lines)))  # noqa: S311


def _actions(bench: Bench) -> dict[str, Action]:
    return {item.address: item for item in bench.built().plan.actions if item.is_work}


def _lines(bench: Bench) -> list[str]:
    return (bench.root / "data" / "rows.jsonl").read_text().splitlines()


def _write(bench: Bench, text: str) -> None:
    (bench.root / "data" / "rows.jsonl").write_bytes(text.encode())


def _data(action: Action) -> dict[str, Any]:
    assert action.data is not None
    return action.data


@pytest.mark.case("ROW-06", "ROW-07")
@pytest.mark.parametrize("write", [_windows, _unended, _turned, _shuffled])
def test_another_way_of_writing_stops_at_the_dataset(
    applied: Bench, write: Callable[[list[str]], str]
) -> None:
    rows = {name: _examples(applied, name) for name in ("train", "gold_test")}
    before = applied.records()
    _write(applied, write(_lines(applied)))
    assert set(_actions(applied)) <= {"data_source.rows", "dataset"}
    assert applied.apply().exit_code is ExitCode.DONE
    assert applied.jobs == []
    assert {name: _examples(applied, name) for name in rows} == rows
    after = applied.records()
    assert after["training_plan"] == before["training_plan"]
    assert not applied.built().plan.has_changes


def _examples(bench: Bench, name: str) -> bytes:
    """Return the lines that the recorded dataset has in a set."""
    output = bench.records()["dataset"].outputs["prepared"]
    listing = bench.artifacts().listing(output.digest)
    return bench.artifacts().read_bytes(listing[f"{name}.jsonl"].digest)


@pytest.mark.case("ROW-06")
def test_file_of_another_name_changes_nothing_further_down(applied: Bench) -> None:
    (applied.root / "data" / "rows.jsonl").rename(applied.root / "data" / "moved.jsonl")
    applied.edit("data/rows.jsonl", "data/moved.jsonl")
    assert set(_actions(applied)) <= {"data_source.rows", "dataset"}
    assert applied.apply().exit_code is ExitCode.DONE
    assert applied.jobs == []


@pytest.mark.case("ROW-07")
def test_appended_duplicates_are_counted_and_train_nothing(applied: Bench) -> None:
    lines = _lines(applied)
    _write(applied, "".join(f"{line}\n" for line in [*lines, *lines[:7]]))
    actions = _actions(applied)
    data = _data(actions["dataset"])
    assert data["rows"]["duplicates"] - data["before"]["duplicates"] == 7
    assert (data["changes"]["added"], data["changes"]["removed"]) == (0, 0)


@pytest.mark.case("ROW-07")
def test_edited_row_is_one_row(applied: Bench) -> None:
    lines = _lines(applied)
    lines[4] = json.dumps(row(300))
    _write(applied, "".join(f"{line}\n" for line in lines))
    changes = _data(_actions(applied)["dataset"])["changes"]
    assert (changes["added"], changes["removed"], changes["changed"]) == (1, 1, 0)


@pytest.mark.case("ROW-07")
def test_loss_of_most_rows_is_shown_and_meets_what_is_written(applied: Bench) -> None:
    _write(applied, "".join(f"{line}\n" for line in _lines(applied)[:6]))
    assert _data(_actions(applied)["dataset"])["changes"]["removed"] == 54
    applied.edit("file_path: data/rows.jsonl}", "file_path: data/rows.jsonl, record_count: 60}")
    plan = applied.built().plan
    codes = {item.code for item in plan.finding_values if item.severity == "error"}
    assert "RECORD_COUNT_MISMATCH" in codes
    assert not plan.is_applyable


@pytest.mark.case("ROW-10")
def test_one_bad_row_among_many_good_ones_is_the_only_one_told(applied: Bench) -> None:
    before = {name: _ids(applied, name) for name in ("train", "gold_test")}
    lines = _lines(applied) + [json.dumps(row(number)) for number in range(200, 319)] + ["{bad"]
    _write(applied, "".join(f"{line}\n" for line in lines))
    data = _data(_actions(applied)["dataset"])
    assert data["rows"]["read"] - data["before"]["read"] == 120
    assert data["rejected"] == {"parse_error": 1}
    assert data["changes"] == {"added": 119, "removed": 0, "changed": 0, "moved": None}
    assert applied.apply().exit_code is ExitCode.DONE
    assert all(before[name] <= _ids(applied, name) for name in before)


def _ids(bench: Bench, name: str) -> set[str]:
    return {json.loads(line)["row_id"] for line in _examples(bench, name).splitlines()}
