"""Acting on a part of a project: nothing else moves, no gate is skipped, and it is said."""

import pytest

from brewslm.diagnostics import FindingCode
from brewslm.errors import ExitCode, PlanError
from brewslm.plan.selection import Selection
from tests.apply.bench import Bench

EVERYTHING_AFTER_TRAINING = {"eval_pack", "export.adapter", "export.safetensors", "deployment"}


def _reasons(bench: Bench, *, only_work: bool = True, **written: tuple[str, ...]) -> dict[str, str]:
    plan = bench.built(selection=Selection(**written)).plan
    return {item.address: item.reason for item in plan.actions if item.is_work or not only_work}


def _changed(bench: Bench) -> Bench:
    bench.edit("2.0e-3", "1.0e-3")
    return bench


def test_target_is_done_with_all_that_it_depends_on(bench: Bench) -> None:
    work = set(_reasons(bench, targets=("dataset",)))
    assert work == {"data_source.gold", "data_source.rows", "dataset"}


@pytest.mark.parametrize("written", ["export", "export.*"])
def test_kind_means_all_of_the_kind(applied: Bench, written: str) -> None:
    _changed(applied)
    work = set(_reasons(applied, targets=(written,)))
    assert work == {"training_plan", *EVERYTHING_AFTER_TRAINING - {"deployment"}}


def test_target_leaves_the_rest_as_recorded_and_says_so(applied: Bench) -> None:
    _changed(applied)
    built = applied.built(selection=Selection(targets=("training_plan",)))
    left = {item.address for item in built.plan.actions if item.reason == "not_targeted"}
    assert left == EVERYTHING_AFTER_TRAINING
    assert not built.plan.is_complete
    partial = [item for item in built.plan.finding_values if item.code == FindingCode.PARTIAL_PLAN]
    assert "4 resources with pending changes are left out" in partial[0].message
    before, promoted = applied.records(), applied.promoted()
    outcome = applied.apply(built)
    assert outcome.exit_code is ExitCode.DONE
    assert applied.doors() == ["train"]
    after = applied.records()
    assert {name for name in before if before[name] != after[name]} == {"training_plan"}
    assert applied.promoted() == promoted
    reader = applied.store().read()
    revision = reader.revisions(limit=1)[0]
    reader.close()
    assert revision.is_partial


def test_what_was_left_out_is_done_by_the_next_apply(applied: Bench) -> None:
    _changed(applied)
    applied.apply(applied.built(selection=Selection(targets=("training_plan",))))
    assert applied.apply().exit_code is ExitCode.DONE
    assert "train" not in applied.doors()
    plan = applied.built().plan
    assert (plan.has_changes, plan.is_complete) == (False, True)


def test_exclude_leaves_out_what_depends_on_it_too(applied: Bench) -> None:
    _changed(applied)
    assert set(_reasons(applied, excludes=("eval_pack",))) == {"training_plan"}
    assert set(_reasons(applied, excludes=("export.adapter",))) == {
        "training_plan",
        "eval_pack",
        "export.safetensors",
    }


def test_excluding_all_changes_is_no_empty_project(applied: Bench) -> None:
    _changed(applied)
    plan = applied.built(selection=Selection(excludes=("training_plan",))).plan
    assert (plan.has_changes, plan.is_complete) == (False, False)


def test_a_delete_runs_only_when_it_is_selected(applied: Bench) -> None:
    applied.edit("[adapter, safetensors]", "[adapter]")
    assert "export.safetensors" not in _reasons(applied, targets=("model",))
    assert _reasons(applied, targets=("export.safetensors",)) == {
        "export.safetensors": "removed_from_manifest"
    }
    outcome = applied.apply(applied.built(selection=Selection(targets=("model",))))
    assert outcome.exit_code is ExitCode.DONE
    assert "export.safetensors" in applied.records()


def test_replace_does_the_work_again_and_stops_when_it_comes_out_the_same(
    applied: Bench,
) -> None:
    plan = applied.built(selection=Selection(replaces=("training_plan",))).plan
    work = {item.address: item for item in plan.actions if item.is_work}
    assert work["training_plan"].reason == "replace_requested"
    assert work["training_plan"].reuse is None
    assert [cause.kind for cause in work["training_plan"].causes] == ["request"]
    assert set(work) == {"training_plan", *EVERYTHING_AFTER_TRAINING}
    assert all(work[address].may_stop for address in EVERYTHING_AFTER_TRAINING)
    outcome = applied.apply(applied.built(selection=Selection(replaces=("training_plan",))))
    assert outcome.exit_code is ExitCode.DONE
    assert applied.doors() == ["train"]
    assert sorted(outcome.skipped) == sorted(EVERYTHING_AFTER_TRAINING)


def test_replaced_evaluation_answers_everything_again(applied: Bench) -> None:
    built = applied.built(selection=Selection(replaces=("eval_pack",)))
    action = next(item for item in built.plan.actions if item.address == "eval_pack")
    assert action.data is not None
    assert action.data["tiers"]["predictions"] == "generated"
    assert applied.apply(built).exit_code is ExitCode.DONE
    assert applied.doors()[:3] == ["generate baseline", "generate candidate", "score"]
    assert not applied.built().plan.has_changes


def test_replaced_data_and_exports_are_made_again(applied: Bench) -> None:
    selection = Selection(replaces=("data_source.rows", "dataset", "export.adapter"))
    assert applied.apply(applied.built(selection=selection)).exit_code is ExitCode.DONE
    assert applied.doors() == ["formats.adapter"]
    assert not applied.built().plan.has_changes


@pytest.mark.parametrize(
    ("written", "code", "remedy"),
    [
        ({"targets": ("trainin_plan",)}, "unknown_address", "write training_plan"),
        ({"excludes": ("export.gguf",)}, "unknown_address", "closest match"),
        ({"replaces": ("data_source.row",)}, "unknown_address", "write data_source.rows"),
        ({"targets": ("model",), "excludes": ("dataset",)}, "usage_error", "either"),
        ({"targets": ("model",), "replaces": ("dataset",)}, "usage_error", "select it"),
    ],
)
def test_selection_that_means_nothing_is_an_error(
    applied: Bench, written: dict[str, tuple[str, ...]], code: str, remedy: str
) -> None:
    with pytest.raises(PlanError) as caught:
        applied.built(selection=Selection(**written))
    assert caught.value.code == code
    assert remedy in caught.value.remedy


def test_drift_of_what_is_left_out_is_told_and_left_alone(applied: Bench) -> None:
    (applied.home / "promoted" / "champion").unlink()
    built = applied.built(selection=Selection(targets=("model",)))
    (drift,) = built.plan.drift
    assert drift.repair == ""
    assert not built.plan.has_changes
    applied.apply(built)
    assert applied.promoted() is None
