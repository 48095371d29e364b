"""A pack that is a file of the project decides like gates of the manifest do."""

from pathlib import Path

import pytest

from brewslm.contracts import Category
from brewslm.errors import ExitCode, StalePlanError
from brewslm.plan.plan import Plan
from brewslm.plan.saved import check_current
from tests.apply.bench import Bench

_PACK = """\
contract_version: slm.evaluation-pack/v2
pack_id: desk
extensions: [brewslm/gates-1]
task_specs:
  - task_profile: classification
    gates:
      - {gate_id: right, metric_id: accuracy, threshold: 0.8}
"""
_GATES = """\
    gates:
      - {gate_id: right, metric_id: accuracy, threshold: 0.8, operator: gte}
"""


@pytest.fixture
def packed(bench: Bench) -> Bench:
    """Return an applied project whose gates stand in a pack file."""
    (bench.root / "pack.yaml").write_text(_PACK)
    bench.edit(_GATES, "    path: pack.yaml\n")
    assert bench.apply().exit_code is ExitCode.DONE
    return bench


def _edit(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def _saved(bench: Bench) -> Plan:
    return bench.built().plan


def _refusal(bench: Bench, saved: Plan) -> StalePlanError:
    reader = bench.store().read()
    try:
        with pytest.raises(StalePlanError) as refused:
            check_current(saved, reader, bench.built().plan)
    finally:
        reader.close()
    return refused.value


def test_gates_of_the_file_decide(packed: Bench) -> None:
    verdict = packed.records()["eval_pack"].values
    assert [gate["gate_id"] for gate in verdict["gates"]] == ["right"]
    assert verdict["verdict"] == "PASS"
    assert not packed.built().plan.has_changes


def test_changed_threshold_in_the_file_decides_again_without_a_model(packed: Bench) -> None:
    _edit(packed.root / "pack.yaml", "threshold: 0.8", "threshold: 0.9")
    action = next(item for item in packed.built().plan.actions if item.address == "eval_pack")
    assert (action.reason, action.category) == ("field_changed", Category.GATES)
    assert action.fields_changed == ("pack.task_specs[0].gates[0].threshold",)
    assert action.data is not None
    assert action.data["predicted"]["verdict"] == "PASS"
    outcome = packed.apply()
    assert packed.jobs == []
    assert outcome.applied == ["eval_pack", "deployment"]


def test_lowered_threshold_in_the_file_is_a_weakened_gate(packed: Bench) -> None:
    _edit(packed.root / "pack.yaml", "threshold: 0.8", "threshold: 0.5")
    plan = packed.built().plan
    assert [item.weakened for item in plan.gate_changes] == [True]
    assert not plan.is_applyable


@pytest.mark.case("EVA-07")
def test_other_reading_of_outputs_scores_again_without_a_model(packed: Bench) -> None:
    _edit(
        packed.root / "pack.yaml",
        "    gates:",
        "    options: {label_synonyms: {delayed: came late}}\n    gates:",
    )
    packed.apply()
    assert packed.doors() == ["score"]


def test_file_that_moved_with_the_same_content_decides_nothing(packed: Bench) -> None:
    (packed.root / "pack.yaml").rename(packed.root / "gates.yaml")
    packed.edit("path: pack.yaml", "path: gates.yaml")
    work = [(item.address, item.reason) for item in packed.built().plan.actions if item.is_work]
    assert work == [("eval_pack", "metadata_changed")]


def test_plan_names_the_file_it_read_and_is_stale_once_it_changed(packed: Bench) -> None:
    packed.edit("2.0e-3", "1.0e-3")
    saved = _saved(packed)
    assert ("eval_pack", "pack.yaml") in [(item.address, item.path) for item in saved.inputs]
    _edit(packed.root / "pack.yaml", "pack_id: desk", "pack_id: desk  # ours")
    assert _refusal(packed, saved).code == "input_changed"
    _edit(packed.root / "pack.yaml", "threshold: 0.8", "threshold: 0.9")
    assert _refusal(packed, saved).code == "plan_stale"


def test_slice_of_a_gate_in_the_file_tags_the_rows(packed: Bench) -> None:
    _edit(
        packed.root / "pack.yaml",
        "threshold: 0.8}",
        'threshold: 0.8}\n      - {metric_id: accuracy, threshold: 0.1, slice: "text=x"}',
    )
    built = packed.built()
    assert built.prepared_folder is not None
    lines = (built.prepared_folder / "gold_test.jsonl").read_text().splitlines()
    assert all('"tags":{"text":' in line for line in lines)
