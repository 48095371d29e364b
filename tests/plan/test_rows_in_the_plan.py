"""A plan says which rows came and went, which were turned away and why, before anything runs."""

import json
from typing import Any

import pytest

from brewslm.plan.action import Action
from tests.apply.bench import Bench, row


def _dataset(bench: Bench) -> Action:
    return next(item for item in bench.built().plan.actions if item.address == "dataset")


def _append(bench: Bench, lines: list[str]) -> None:
    path = bench.root / "data" / "rows.jsonl"
    path.write_text(path.read_text() + "\n".join(lines) + "\n")


def _data(action: Action) -> dict[str, Any]:
    assert action.data is not None
    return action.data


def test_added_rows_are_told_apart_from_bad_and_leaked_ones(applied: Bench) -> None:
    lines = [json.dumps(row(number)) for number in range(60, 77)]
    lines += ["{broken", json.dumps({"text": "  ", "label": "late"}), json.dumps(row(105))]
    assert len(lines) == 20
    _append(applied, lines)
    data = _data(_dataset(applied))
    assert (data["changes"]["added"], data["changes"]["removed"]) == (18, 0)
    assert data["rejected"] == {"missing_text": 1, "parse_error": 1}
    assert data["rows"]["read"] - data["before"]["read"] == 20
    assert sum(data["leaks"].values()) == 1
    assert data["gold changes"] is None


def test_removed_and_replaced_rows_are_counted(applied: Bench) -> None:
    path = applied.root / "data" / "rows.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[3:], json.dumps(row(300))]) + "\n")
    changes = _data(_dataset(applied))["changes"]
    assert (changes["added"], changes["removed"]) == (1, 3)


def test_changed_gold_rows_are_counted_apart(applied: Bench) -> None:
    applied.write_rows("gold", range(101, 131))
    data = _data(_dataset(applied))
    assert data["gold changes"] == {"added": 1, "removed": 1, "changed": 0}
    assert data["changes"]["added"] == 0


def test_rows_that_can_not_be_compared_any_more_are_not_guessed(applied: Bench) -> None:
    prepared = applied.records()["dataset"].outputs["prepared"].digest.removeprefix("sha256:")
    (applied.home / "store" / "objects" / prepared[:2] / prepared[2:]).unlink()
    _append(applied, [json.dumps(row(300))])
    data = _data(_dataset(applied))
    assert "changes" not in data
    assert data["rows"]["read"] - data["before"]["read"] == 1


def test_rows_of_a_first_plan_have_nothing_to_differ_from(bench: Bench) -> None:
    assert "changes" not in _data(_dataset(bench))


@pytest.mark.parametrize(
    ("before", "after", "code", "field"),
    [
        ("data/rows.jsonl", "data/row.jsonl", "SOURCE_NOT_FOUND", "file_path"),
        ("data/rows.jsonl", "data", "PATH_NOT_REGULAR_FILE", "file_path"),
        ("rows.jsonl}", "rows.jsonl, record_count: 7}", "RECORD_COUNT_MISMATCH", "record_count"),
        ("rows.jsonl}", f"rows.jsonl, sha256: {'a' * 64}}}", "SOURCE_DIGEST_MISMATCH", "sha256"),
    ],
)
def test_what_is_wrong_with_a_source_stands_at_its_field(
    bench: Bench, before: str, after: str, code: str, field: str
) -> None:
    bench.edit(before, after)
    plan = bench.built().plan
    assert not plan.is_applyable
    found = next(item for item in plan.finding_values if item.code == code)
    assert found.field == f"spec.data_sources[0].{field}"
    text = (bench.root / "brewslm.yaml").read_text().splitlines()
    assert text[found.place.line - 1][found.place.column - 1 :].startswith(field)


@pytest.mark.case("ROW-09")
def test_rows_that_no_answer_fits_are_told_where_they_are(bench: Bench) -> None:
    schema = "{contract: {json_schema: {type: object}}, "
    bench.edit("dataset: {", f"dataset: {schema}")
    plan = bench.built().plan
    told = {item["code"]: item for item in plan.findings}
    assert told["REJECT_RATE_EXCEEDED"]["found"] == "1.0000 (reference_not_json 90)"
    assert told["NO_TRAIN_ROWS"]["line"] == 9
    rejected = told["reference_not_json"]
    assert (rejected["file"], rejected["line"]) == ("data/gold.jsonl", 1)
    assert rejected["actionable_fix"] == "write the answer as JSON"
    assert not plan.is_applyable
    bench.edit("json_schema: {type: object}", "json_schema: {type: object}, max_reject_rate: 1.0")
    assert "NO_TRAIN_ROWS" in [item["code"] for item in bench.built().plan.findings]


@pytest.mark.case("ROW-09")
def test_no_row_left_is_told_and_nothing_is_judged(applied: Bench) -> None:
    applied.edit("dataset: {", "dataset: {cleaning: {max_chars: 1}, ")
    plan = applied.built().plan
    codes = {item["code"] for item in plan.findings if item["severity"] == "error"}
    assert codes == {"NO_TRAIN_ROWS", "REJECT_RATE_EXCEEDED", "SPLIT_EMPTY"}
    assert not plan.is_applyable


def test_task_that_found_columns_cannot_serve_is_told(bench: Bench) -> None:
    bench.edit("  dataset:", "  adapters: [{name: any, task_profile: qa}]\n  dataset:")
    findings = [item for item in bench.built().plan.findings if item["severity"] == "error"]
    assert [item["code"] for item in findings] == ["MAPPER_OPTION"]
    assert findings[0]["expected"] == "classification"


@pytest.mark.parametrize(
    ("expected", "code"),
    [
        ("record_count: 7", "RECORD_COUNT_MISMATCH"),
        (f"sha256: {'a' * 64}", "SOURCE_DIGEST_MISMATCH"),
        ("record_count: 60", None),
    ],
)
@pytest.mark.parametrize("refresh", ["auto", "full"])
def test_expectation_written_after_an_apply_is_checked_by_every_plan(
    applied: Bench, expected: str, code: str | None, refresh: str
) -> None:
    applied.edit("{name: rows, type: raw,", f"{{name: rows, type: raw, {expected},")
    plan = applied.built(refresh=refresh).plan
    errors = [str(item.code) for item in plan.finding_values if item.severity == "error"]
    assert errors == ([code] if code else [])
    assert plan.is_applyable is (code is None)
