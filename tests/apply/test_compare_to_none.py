"""`compare_to: none` evaluates the candidate alone."""

from pathlib import Path

from brewslm.errors import ExitCode
from brewslm.manifest.load import check_manifest
from tests.apply.bench import Bench

GATES = "gates:\n      - {gate_id: right"


def test_no_base_model_answers_and_the_gates_decide(tmp_path: Path) -> None:
    bench = Bench.make(tmp_path / "project")
    bench.edit(f"    {GATES}", f"    compare_to: none\n    {GATES}")
    plan = bench.built().plan
    (evaluation,) = (item for item in plan.actions if item.address == "eval_pack")
    assert "predictions.baseline.gold_test" not in evaluation.after_unknown["outputs"]
    assert bench.apply().exit_code is ExitCode.DONE
    assert [door for door in bench.doors() if door.startswith("generate")] == ["generate candidate"]
    assert bench.promoted() is not None
    assert not bench.built().plan.has_changes
    bench.edit("compare_to: none", "compare_to: base_model")
    assert bench.apply().exit_code is ExitCode.DONE
    assert [door for door in bench.doors() if door.startswith("generate")] == ["generate baseline"]


def test_gates_that_compare_with_the_base_are_refused(tmp_path: Path) -> None:
    bench = Bench.make(tmp_path / "project")
    bench.edit(f"    {GATES}", f"    compare_to: none\n    {GATES}")
    bench.edit("operator: gte", "baseline: base_model, max_regression: 0.0")
    found = check_manifest(bench.root)[1]
    (error,) = (item for item in found if item.severity == "error")
    assert (error.code, error.found) == ("BASELINE_REQUIRED", "right")
    assert error.actionable_fix == "write compare_to: base_model"
