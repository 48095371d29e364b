import json
from pathlib import Path
from typing import Any

import pytest

from brewslm.manifest.load import load_manifest
from tests.manifest.writing import assert_found, errors, findings_of, project, write

CLOSED = "dataset: {task_profile: classification, contract: {allowed_labels: [a, b]}}\n"
OPEN = "dataset: {task_profile: classification}\n"


def gate(text: str, head: str = OPEN) -> str:
    return project(f"{head}eval_pack: {{gates: [{{{text}}}]}}")


CASES = [
    ("UNKNOWN_EVAL_DATASET", "error", project("eval_pack: {datasets: [test, §golden]}")),
    ("EVAL_ON_TRAIN_ROWS", "error", project("eval_pack: {datasets: [§pairs]}")),
    ("EVAL_ON_TRAIN_ROWS", "error", project("eval_pack: {datasets: [§train]}")),
    (
        "BASELINE_REQUIRED",
        "error",
        project(
            "workflow: {gate_policy: {require_baseline: true}}\neval_pack: {§compare_to: none}"
        ),
    ),
    ("REPEATS_ARE_EQUAL", "info", project("eval_pack: {§epochs: 3}")),
    ("AUTOFIX_EVAL_DATASETS", "warning", project("eval_pack: {§datasets: [gold_test]}")),
    ("OUT_OF_RANGE", "error", project("eval_pack: {epochs: 1, §seeds: [1, 2]}")),
    ("UNKNOWN_EVAL_PACK", "error", project("eval_pack: {§pack_id: evalpack.general}")),
    ("EVAL_PACK_FILE", "error", project(OPEN + "eval_pack: {§pack_id: evalpack.domain.legal}")),
    ("METRIC_NOT_PRODUCED", "warning", project(OPEN + "eval_pack: {eval_types: [§acuracy]}")),
    ("METRIC_NOT_PRODUCED", "warning", gate("§metric_id: rouge, threshold: 0, required: false")),
    ("GATE_METRIC_UNKNOWN", "error", gate("§metric_id: macro_f, threshold: 0.5")),
    ("GATE_METRIC_UNKNOWN", "error", gate("§metric_id: per_class.c.f1, threshold: 0", CLOSED)),
    ("GATE_THRESHOLD", "error", gate("metric_id: accuracy, §threshold: 80")),
    (
        "GATE_DIRECTION",
        "warning",
        gate("metric_id: unparseable_rate, §operator: gte, threshold: 0"),
    ),
    (
        "GATE_OPTIONS",
        "error",
        gate("metric_id: f1, threshold: 0, §slice: a=b, slice_name: a"),
    ),
    (
        "GATE_OPTIONS",
        "error",
        project(OPEN + "eval_pack: {gates: [§{metric_id: f1, threshold: 0, baseline: champion}]}"),
    ),
    ("GATE_OPTIONS", "error", gate("metric_id: f1, threshold: 0, §on_inconclusive: warn")),
    ("GATE_OPTIONS", "error", gate("metric_id: f1, threshold: 0, §on_inconclusive: warn", "")),
    (
        "NO_REQUIRED_GATE",
        "warning",
        project(OPEN + "eval_pack: {§gates: [{metric_id: f1, threshold: 0, required: false}]}"),
    ),
    ("NO_REQUIRED_GATE", "error", project("§deployment: {}")),
]


@pytest.mark.parametrize(("code", "severity", "text"), CASES)
def test_each_finding_has_its_place(code: str, severity: str, text: str, tmp_path: Path) -> None:
    assert_found(tmp_path, code, severity, text)


def test_the_closest_metric_is_the_remedy(tmp_path: Path) -> None:
    text = gate("§metric_id: macro_f, threshold: 0.5")
    finding = assert_found(tmp_path, "GATE_METRIC_UNKNOWN", "error", text)
    assert finding.actionable_fix == "write metric_id: macro_f1"
    assert finding.found == "macro_f"
    assert "accuracy" in finding.expected


def test_a_gate_without_threshold_stands_at_the_gate(tmp_path: Path) -> None:
    text = project(OPEN + "eval_pack:\n  gates:\n    - §metric_id: accuracy").replace("- §", "- ")
    (finding,) = [item for item in findings_of(tmp_path, text) if item.code == "GATE_THRESHOLD"]
    assert (finding.place.line, finding.field) == (13, "spec.eval_pack.gates[0].threshold")


def test_a_required_gate_of_a_pack_that_the_task_cannot_answer_is_named(tmp_path: Path) -> None:
    text = project(
        "dataset: {task_profile: instruction_sft}\neval_pack: {§pack_id: evalpack.quality.strict}"
    )
    finding = assert_found(tmp_path, "GATE_METRIC_UNKNOWN", "error", text)
    assert "gate_id: min_" in finding.actionable_fix


@pytest.mark.parametrize(
    "text",
    [
        gate("metric_id: per_class.a.f1, threshold: 0.5"),
        gate("metric_id: per_class.a.f1, threshold: 0.5", CLOSED),
        gate("metric_id: anything_at_all, threshold: 0.5", ""),
        gate("metric_id: accuracy, baseline: base_model, max_regression: 0.0"),
        project(OPEN + "eval_pack: {pack_id: evalpack.local.offline, datasets: [test]}"),
        project(
            "adapters: [{name: x, base_adapter_id: bio_to_spans}]\n"
            "eval_pack: {gates: [{metric_id: f1, threshold: 0.5}]}"
        ),
    ],
)
def test_gates_that_the_task_can_answer_have_no_error(text: str, tmp_path: Path) -> None:
    assert errors(findings_of(tmp_path, text)) == []


def test_the_task_of_the_bound_mapper_decides(tmp_path: Path) -> None:
    text = project("""
        adapters: [{name: x, base_adapter_id: label_to_classification}]
        eval_pack: {gates: [{§metric_id: field_f1, threshold: 0.5}]}
        """)
    finding = assert_found(tmp_path, "GATE_METRIC_UNKNOWN", "error", text)
    assert '"classification"' in finding.message


PACK: dict[str, Any] = {
    "pack_id": "desk",
    "task_specs": [
        {
            "task_profile": "classification",
            "gates": [{"metric_id": "accuracy", "threshold": 0.5}],
        }
    ],
}


def test_a_pack_may_be_a_file_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "pack.json").write_text(json.dumps(PACK), encoding="utf-8")
    write(tmp_path, project(OPEN + "eval_pack: {path: pack.json, pack_id: desk}"))
    assert load_manifest(tmp_path).effective["eval_pack"]["path"] == "pack.json"


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("pack_id: other", "EVAL_PACK_FILE", "brewslm.yaml:11:32"),
        ("- pack_id: desk", "EVAL_PACK_FILE", "pack.yaml:1:1"),
        ("pack_id: [", "YAML_SYNTAX", "pack.yaml:2:1"),
        ("pack_id: desk\nowners: x", "EVAL_PACK_FILE", "pack.yaml:2:1"),
        ("pack_id: desk\ngates:\n  - {metric_id: 7}", "EVAL_PACK_FILE", "pack.yaml:3:6"),
        ("contract_version: slm.evaluation-pack/v1", "EVAL_PACK_FILE", "pack.yaml:1:1"),
    ],
)
def test_a_pack_file_is_answered_with_its_own_lines(
    text: str, code: str, place: str, tmp_path: Path
) -> None:
    (tmp_path / "pack.yaml").write_text(f"{text}\n", encoding="utf-8")
    found = findings_of(tmp_path, project(OPEN + "eval_pack: {path: pack.yaml, pack_id: desk}"))
    assert (code, place) in [(item.code, str(item.place)) for item in found]


@pytest.mark.parametrize(
    ("path", "code"), [("../pack.json", "PATH_OUTSIDE_PROJECT"), ("none.json", "SOURCE_NOT_FOUND")]
)
def test_a_pack_file_has_to_be_in_the_project(path: str, code: str, tmp_path: Path) -> None:
    assert_found(tmp_path, code, "error", project(f"eval_pack: {{§path: {path}}}"))
