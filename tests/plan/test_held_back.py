"""A plan tells which required gates keep exports and promotion where they are."""

from pathlib import Path

import pytest

from brewslm.errors import ExitCode
from brewslm.plan.action import HeldBack
from brewslm.plan.plan import Plan
from brewslm.plan.saved import read_saved
from brewslm.render.markdown import render_markdown
from brewslm.render.text import NO_CHANGES, TextStyle, render_plan
from tests.apply.bench import Bench
from tests.conftest import copied

EXPORTS = ("deployment", "export.adapter", "export.safetensors")
TO_DO = "To go on: change the recipe, the data or a gate, then plan again."


@pytest.fixture
def refused(bench: Bench) -> Bench:
    """Return a project whose first candidate did not pass, so that nothing is promoted."""
    bench.skill = _every_second
    assert bench.apply().exit_code is ExitCode.GATE_NOT_PASSED
    return bench


@pytest.fixture(scope="module")
def second_refused(promoted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a project whose second candidate did not pass; for copies alone."""
    bench = copied(promoted, tmp_path_factory.mktemp("refused") / "project")
    bench.edit("2.0e-3", "1.0e-3")
    bench.skill = _every_second
    assert bench.apply().exit_code is ExitCode.GATE_NOT_PASSED
    return bench.root


@pytest.fixture
def kept(second_refused: Path, tmp_path: Path) -> Bench:
    """Return a project whose second candidate did not pass, so that the first stays promoted."""
    bench = copied(second_refused, tmp_path / "kept")
    bench.skill = _every_second
    return bench


def _every_second(index: int) -> bool:
    return index % 2 == 0


def _nine_of_ten(index: int) -> bool:
    return index % 10 != 0


def _texts(plan: Plan) -> tuple[str, str]:
    return render_plan(plan, TextStyle()), render_markdown(plan)


def test_nothing_was_promoted_yet(refused: Bench) -> None:
    plan = refused.built().plan
    assert not plan.has_changes
    assert plan.held_back == HeldBack(gates=("right",), addresses=EXPORTS)
    text, markdown = _texts(plan)
    assert NO_CHANGES in text
    line = f"Required gates that do not pass: right; nothing is exported or promoted. {TO_DO}"
    assert line in text.splitlines()
    assert line.replace("right", "`right`") in markdown.splitlines()


def test_the_promoted_revision_is_named(kept: Bench) -> None:
    plan = kept.built().plan
    assert not plan.has_changes
    assert plan.held_back == HeldBack(
        gates=("right",), addresses=EXPORTS, revision=1, alias="champion"
    )
    text, markdown = _texts(plan)
    assert "right; exports and promotion stay with revision 1 (champion)." in text
    assert "`right`; exports and promotion stay with revision 1 (`champion`)." in markdown


def test_it_is_told_beside_changes_too(kept: Bench) -> None:
    kept.edit("sorts complaints", "sorts them")
    plan = kept.built().plan
    assert plan.has_changes
    assert plan.held_back is not None
    assert all(TO_DO in text for text in _texts(plan))


def test_a_verdict_that_is_reused_holds_back_before_anything_runs(kept: Bench) -> None:
    kept.edit("threshold: 0.8", "threshold: 0.3")
    assert kept.apply().exit_code is ExitCode.DONE
    kept.edit("threshold: 0.3", "threshold: 0.8")
    plan = kept.built().plan
    reused = next(item for item in plan.actions if item.address == "eval_pack")
    assert reused.reuse is not None
    assert plan.held_back is not None
    assert plan.held_back.gates == ("right",)
    assert plan.held_back.addresses == EXPORTS


def test_a_threshold_that_stored_metrics_miss_holds_back_before_anything_runs(bench: Bench) -> None:
    bench.skill = _nine_of_ten
    assert bench.apply().exit_code is ExitCode.DONE
    bench.edit("threshold: 0.8", "threshold: 0.95")
    built = bench.built()
    assert [item.address for item in built.plan.actions if item.is_work] == ["eval_pack"]
    assert built.plan.held_back == HeldBack(
        gates=("right",), addresses=EXPORTS, revision=1, alias="champion"
    )
    assert bench.apply(built).exit_code is ExitCode.GATE_NOT_PASSED
    assert bench.jobs == []
    assert bench.records()["deployment"].revision == 1


def test_a_reused_evaluation_is_decided_while_planning_too(applied: Bench) -> None:
    applied.edit("2.0e-3", "1.0e-3")
    applied.apply()
    applied.edit("1.0e-3", "2.0e-3")
    applied.apply()
    applied.edit("threshold: 0.8", "threshold: 0.9")
    action = next(item for item in applied.built().plan.actions if item.address == "eval_pack")
    assert action.data is not None
    assert action.data["predicted"] == {"verdict": "PASS", "right": "PASS"}


def test_passed_gates_hold_nothing_back(applied: Bench) -> None:
    plan = applied.built().plan
    assert plan.held_back is None
    assert not any("do not pass" in text for text in _texts(plan))


def test_a_new_candidate_is_not_judged_beforehand(kept: Bench) -> None:
    kept.edit("1.0e-3", "5.0e-4")
    assert kept.built().plan.held_back is None


def test_a_saved_plan_keeps_it(kept: Bench) -> None:
    plan = kept.built().plan
    path = kept.root / "kept.plan.json"
    path.write_bytes(plan.to_bytes())
    assert read_saved(path).held_back == plan.held_back
