"""Rows that decide change only in sight: by content, and with what the promoted model scores."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from brewslm.address import Address
from brewslm.errors import ExitCode
from brewslm.plan.action import GateChange
from brewslm.plan.evaluation_shape import shape_of
from brewslm.plan.gold_rows import rows_changed
from brewslm.plan.plan import Plan
from tests.apply.bench import Bench, row
from tests.conftest import copied

_GOLD = range(100, 130)
_LEAVE = "spec:\n", "spec:\n  workflow: {gate_policy: {allow_weakening: true}}\n"


def _write(bench: Bench, name: str, rows: Iterable[dict[str, Any]]) -> None:
    lines = "".join(json.dumps(item) + "\n" for item in rows)
    (bench.root / "data" / f"{name}.jsonl").write_text(lines)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bench = Bench.make(tmp_path_factory.mktemp("partly") / "project")
    bench.skill = lambda index: index % 9 != 0
    assert bench.apply().exit_code is ExitCode.DONE
    return bench.root


@pytest.fixture
def partly(made: Path, tmp_path: Path) -> Bench:
    """Return a project whose promoted model gets 26 of 30 gold rows right."""
    return copied(made, tmp_path / "partly")


def _failed_numbers(bench: Bench) -> set[int]:
    """Return the numbers of the gold rows that the promoted model fails."""
    record = bench.records()["eval_pack"]
    lines = bench.artifacts().read_bytes(record.outputs["scores.candidate.gold_test"].digest)
    wrong = {item["row_id"] for item in map(json.loads, lines.splitlines()) if not item["score"]}
    prepared = bench.artifacts().read_bytes(record.facts["inputs"]["dataset:gold_test"])
    rows = map(json.loads, prepared.splitlines())
    texts = {item["inputs"]["text"] for item in rows if item["row_id"] in wrong}
    return {number for number in _GOLD if row(number)["text"] in texts}


def _without_failed(bench: Bench) -> None:
    bench.write_rows("gold", [n for n in _GOLD if n not in _failed_numbers(bench)])


def _edit_answers(bench: Bench) -> None:
    failed = _failed_numbers(bench)
    _write(bench, "gold", [row(n) | ({"label": "late"} if n in failed else {}) for n in _GOLD])


def _move_to_train(bench: Bench) -> None:
    failed = sorted(_failed_numbers(bench))
    bench.write_rows("gold", [n for n in _GOLD if n not in failed])
    bench.write_rows("rows", [*range(60), *failed])


def _add_easy(bench: Bench) -> None:
    bench.write_rows("gold", range(100, 160))


def _limit(bench: Bench) -> None:
    bench.edit("file_path: data/gold.jsonl}", "file_path: data/gold.jsonl, limit: 20}")


def _demote(bench: Bench) -> None:
    bench.edit("type: gold_test", "type: train")


def _other_set(bench: Bench) -> None:
    bench.edit("type: gold_test", "type: gold_dev")
    _without_failed(bench)


def _another_source(bench: Bench) -> None:
    bench.write_rows("easy", range(200, 210))
    bench.edit(
        "  dataset:", "    - {name: easy, type: gold_test, file_path: data/easy.jsonl}\n  dataset:"
    )
    bench.edit("  eval_pack:\n", "  eval_pack:\n    datasets: [easy]\n")


def _change(plan: Plan) -> GateChange:
    (change,) = [item for item in plan.gate_changes if item.kind == "eval_rows_changed"]
    return change


def _codes(plan: Plan) -> set[str]:
    return {str(item.code) for item in plan.finding_values if item.severity == "error"}


@pytest.mark.case("PLN-01")
@pytest.mark.parametrize(
    "loosen",
    [
        *[_without_failed, _edit_answers, _move_to_train, _add_easy, _limit, _demote],
        *[_other_set, _another_source],
    ],
)
def test_other_deciding_rows_are_a_weakening(
    partly: Bench, loosen: Callable[[Bench], None]
) -> None:
    loosen(partly)
    plan = partly.built().plan
    change = _change(plan)
    assert change.weakened
    assert "GATE_WEAKENED" in _codes(plan)
    assert not plan.is_applyable
    assert "removed" in change.after or "added" in change.after


def test_ids_counts_and_scores_of_the_promoted_model_are_told(partly: Bench) -> None:
    _without_failed(partly)
    plan = partly.built().plan
    assert _change(plan).before == "30 rows, where the promoted model scores accuracy 0.8667"
    assert "26 rows, where the promoted model scores accuracy 1.0000" in _change(plan).after
    assert "4 removed" in _change(plan).after
    action = next(item for item in plan.actions if item.address == "eval_pack")
    assert action.data is not None
    assert len(action.data["gold"]["removed ids"]) == 4
    assert action.data["gold"]["rows"] == "30 -> 26"


def test_edited_answers_are_scored_with_the_stored_outputs(partly: Bench) -> None:
    _edit_answers(partly)
    change = _change(partly.built().plan)
    assert "of them edited" in change.after
    assert " on the " not in change.after, "every question was answered before"


def test_added_rows_have_no_stored_answer(partly: Bench) -> None:
    _add_easy(partly)
    after = _change(partly.built().plan).after
    assert after.startswith("60 rows, where the promoted model scores accuracy 0.8667")
    assert "on the 30 that it has answered; 30 added" in after


def test_rows_moved_to_train_are_counted(partly: Bench) -> None:
    _move_to_train(partly)
    action = next(item for item in partly.built().plan.actions if item.address == "eval_pack")
    assert action.data is not None
    assert action.data["gold"]["moved"] == 4


@pytest.mark.parametrize("order", [sorted, lambda items: sorted(items, reverse=True)])
def test_other_order_is_no_change(partly: Bench, order: Callable[[Any], list[int]]) -> None:
    bench = partly
    numbers = order(_GOLD)
    _write(bench, "gold", [dict(reversed(row(number).items())) for number in numbers])
    plan = bench.built().plan
    assert plan.gate_changes == ()
    assert _codes(plan) == set()


def test_rows_for_looking_do_not_decide(partly: Bench) -> None:
    partly.write_rows("dev", range(200, 210))
    partly.edit(
        "  dataset:", "    - {name: dev, type: gold_dev, file_path: data/dev.jsonl}\n  dataset:"
    )
    plan = partly.built().plan
    assert plan.gate_changes == ()
    assert plan.is_applyable


def test_choice_among_recorded_gold_sources_is_a_weakening(bench: Bench) -> None:
    bench.write_rows("easy", range(200, 210))
    bench.edit(
        "  dataset:", "    - {name: easy, type: gold_test, file_path: data/easy.jsonl}\n  dataset:"
    )
    bench.apply()
    bench.edit("  eval_pack:\n", "  eval_pack:\n    datasets: [easy]\n")
    assert _change(bench.built().plan).weakened
    bench.edit("datasets: [easy]", "datasets: [easy, gold]")
    assert bench.built().plan.gate_changes == ()


def test_recorded_leave_lets_rows_change_and_still_tells_them(bench: Bench) -> None:
    bench.edit(*_LEAVE)
    bench.apply()
    _add_easy(bench)
    plan = bench.built().plan
    assert _change(plan).weakened
    assert plan.is_applyable
    bench.apply()
    assert bench.built().plan.gate_changes == ()


def test_weakening_that_was_refused_is_refused_until_the_rows_are_back(partly: Bench) -> None:
    _without_failed(partly)
    assert not partly.built().plan.is_applyable
    partly.write_rows("gold", _GOLD)
    plan = partly.built().plan
    assert (plan.gate_changes, plan.has_changes) == ((), False)


def test_rows_that_only_another_version_reads_otherwise_are_no_weakening(
    partly: Bench, tmp_path: Path
) -> None:
    records, artifacts = partly.records(), partly.artifacts()
    listing = artifacts.listing(records["dataset"].outputs["prepared"].digest)
    for name in ("gold_test.jsonl", "index.jsonl", "manifest.json"):
        (tmp_path / name).write_bytes(artifacts.read_bytes(listing[name].digest))
    gold = tmp_path / "gold_test.jsonl"
    gold.write_text("".join(gold.read_text().splitlines(keepends=True)[1:]))
    prepared = json.loads((tmp_path / "manifest.json").read_bytes())
    outputs = {Address(name): record.outputs for name, record in records.items()}
    shape = replace(shape_of(partly.built().specs, prepared, outputs), rows={})
    for is_same_data in (True, False):
        found = rows_changed(
            shape, records["eval_pack"], tmp_path, None, artifacts, is_same_data=is_same_data
        )
        assert found is not None
        assert "29 rows" in found.change.after
        assert found.change.weakened is not is_same_data


def _sliced(root: Path) -> Bench:
    """Return a project with a gate on the hard gold rows, and one on each of its gold sources."""
    bench = Bench.make(root)
    _write(bench, "gold", [row(n) | {"case": "hard" if n % 3 else "easy"} for n in _GOLD])
    bench.write_rows("more", range(200, 215))
    bench.edit(
        "  dataset:", "    - {name: more, type: gold_test, file_path: data/more.jsonl}\n  dataset:"
    )
    bench.edit(
        "    gates:\n",
        "    gates:\n"
        "      - {gate_id: hard, metric_id: accuracy, threshold: 0.8, slice: case=hard}\n"
        "      - {gate_id: more, metric_id: accuracy, threshold: 0.8, slice: source=more}\n",
    )
    assert bench.apply().exit_code is ExitCode.DONE
    return bench


@pytest.fixture(scope="module")
def made_sliced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _sliced(tmp_path_factory.mktemp("sliced") / "project").root


@pytest.fixture
def sliced(made_sliced: Path, tmp_path: Path) -> Bench:
    """Return a project whose gates decide on slices."""
    return copied(made_sliced, tmp_path / "sliced")


def _relabel(bench: Bench) -> None:
    _write(bench, "gold", [row(n) | {"case": "hard" if n % 9 == 1 else "easy"} for n in _GOLD])


def _unlabel(bench: Bench) -> None:
    _write(bench, "gold", [row(n) | ({"case": "hard"} if n % 9 == 1 else {}) for n in _GOLD])


def _move_to_other_source(bench: Bench) -> None:
    rows = [row(n) | {"case": "hard" if n % 3 else "easy"} for n in _GOLD]
    _write(bench, "gold", rows[:-4])
    _write(bench, "more", [row(n) for n in range(200, 215)] + rows[-4:])


def _swap_sources(bench: Bench) -> None:
    bench.edit("data/more.jsonl", "data/x.jsonl")
    bench.edit("data/gold.jsonl", "data/more.jsonl")
    bench.edit("data/x.jsonl", "data/gold.jsonl")


@pytest.mark.parametrize("loosen", [_relabel, _unlabel, _move_to_other_source, _swap_sources])
def test_same_rows_in_other_slices_of_gates_are_a_weakening(
    sliced: Bench, loosen: Callable[[Bench], None]
) -> None:
    assert sliced.built().plan.gate_changes == ()
    loosen(sliced)
    plan = sliced.built().plan
    assert _change(plan).weakened
    assert "in another slice" in _change(plan).after
    assert "GATE_WEAKENED" in _codes(plan)


def test_slices_that_no_gate_decides_on_change_freely(sliced: Bench, partly: Bench) -> None:
    _write(partly, "gold", [row(n) | {"case": "new"} for n in _GOLD])
    assert partly.built().plan.gate_changes == ()
    sliced.edit("slice: case=hard", "slice: has_number=true")
    assert [item.kind for item in sliced.built().plan.gate_changes] == ["slice_widened"]


def test_renamed_source_holds_the_same_slice(sliced: Bench) -> None:
    sliced.edit("name: more,", "name: other,")
    sliced.edit("source=more", "source=other")
    assert [item.kind for item in sliced.built().plan.gate_changes] == ["slice_widened"]
