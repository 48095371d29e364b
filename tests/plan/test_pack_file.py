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


_STRICT = """\
  - task_profile: classification
    required_metric_ids: [macro_f1]
    options: {json_mode: strict, normaliser: none, label_synonyms: {late: torn},
              numeric_tolerance: 0.5}
"""


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ("json_mode: strict, ", "", "options.json_mode"),
        ("normaliser: none, ", "", "options.normaliser"),
        ("normaliser: none", "normaliser: squad", "options.normaliser"),
        ("label_synonyms: {late: torn},", "", "options.label_synonyms"),
        ("label_synonyms: {late: torn}", "label_synonyms: {late: lost}", "options.label_synonyms"),
        ("numeric_tolerance: 0.5", "numeric_tolerance: 9", "options.numeric_tolerance"),
        ("    required_metric_ids: [macro_f1]\n", "", "required_metric_ids.macro_f1"),
        ("[macro_f1]", "[accuracy]", "required_metric_ids.macro_f1"),
    ],
)
def test_all_that_decides_in_a_file_is_compared(
    bench: Bench, before: str, after: str, path: str
) -> None:
    pack = bench.root / "pack.yaml"
    pack.write_text(_PACK.replace("  - task_profile: classification\n", _STRICT))
    bench.edit(_GATES, "    path: pack.yaml\n")
    assert bench.apply().exit_code is ExitCode.DONE
    assert bench.built().plan.gate_changes == ()
    _edit(pack, before, after)
    plan = bench.built().plan
    weakened = {item.path for item in plan.gate_changes if item.weakened}
    assert weakened == {path}
    assert not plan.is_applyable


def test_required_metric_has_to_have_a_value(bench: Bench) -> None:
    pack = bench.root / "pack.yaml"
    demand = "  - task_profile: classification\n    required_metric_ids: [mcc]\n"
    pack.write_text(_PACK.replace("  - task_profile: classification\n", demand))
    _edit(pack, "threshold: 0.8", "threshold: 0.1")
    bench.edit(_GATES, "    path: pack.yaml\n")
    bench.speech = lambda _index, _right: ("late", "stop")
    assert bench.apply().exit_code is ExitCode.GATE_NOT_PASSED, "mcc of one label is undefined"
    assert bench.promoted() is None
    assert "mcc" in bench.records()["eval_pack"].values["blocking"]
    held = bench.built().plan.held_back
    assert held is not None
    assert held.gates == ("mcc",)


def test_required_metric_of_another_task_is_an_error(packed: Bench) -> None:
    demand = "  - task_profile: classification\n    required_metric_ids: [overall_em]\n"
    _edit(packed.root / "pack.yaml", "  - task_profile: classification\n", demand)
    codes = {str(item.code) for item in packed.built().plan.finding_values}
    assert "GATE_METRIC_UNKNOWN" in codes


_POLICY = "spec:\n", "spec:\n  workflow: {gate_policy: {require_baseline: true}}\n"


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ("{require_baseline: true}", "{}", "policy.require_baseline"),
        ("{require_baseline: true}", "{promote_ungated: true}", "policy.promote_ungated"),
        ("    gates:", "    epochs: 1\n    seeds: [7]\n    gates:", "policy.seeds"),
        (
            "leak_check:",
            "contract: {allowed_labels: [late, torn, lost, gone]}, leak_check:",
            None,
        ),
    ],
)
def test_all_that_decides_in_the_manifest_is_compared(
    bench: Bench, before: str, after: str, path: str | None
) -> None:
    bench.edit(*_POLICY)
    assert bench.apply().exit_code is ExitCode.DONE
    assert bench.built().plan.gate_changes == ()
    bench.edit(before, after)
    weakened = {item.path for item in bench.built().plan.gate_changes if item.weakened}
    assert path in weakened if path else weakened == set()


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
