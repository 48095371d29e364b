"""After an apply that a gate stopped, plan and show say so."""

import pytest

from tests.apply.bench import Bench
from tests.cli.conftest import Run


@pytest.fixture
def refused(bench: Bench) -> Bench:
    """Return a project whose candidate did not pass."""
    bench.skill = lambda index: index % 2 == 0
    assert bench.apply().exit_code == 3
    return bench


@pytest.mark.usefixtures("refused")
def test_plan_without_changes_names_the_gate_and_exits_0(run: Run) -> None:
    answer = run("plan", "--detailed-exitcode")
    assert answer.code == 0
    assert "No changes." in answer.out
    assert "Required gates that do not pass: right" in answer.out
    document = run("plan", "--detailed-exitcode", "--json").document
    assert document["held_back"]["gates"] == ["right"]


@pytest.mark.usefixtures("refused")
def test_show_puts_the_decision_note_right_after_the_gates(run: Run) -> None:
    shown = run("show", "eval_pack").out
    gates, note, spec, values = (
        shown.index(text) for text in ("FAIL  right", "Decision", "\n  spec\n", "\n  values\n")
    )
    assert gates < note < spec < values
