"""Gates as lines: what was decided, at which level, beside what."""

from typing import Any

import pytest

from brewslm.render.gates import gate_cells, gate_table

GATE: dict[str, Any] = {
    "gate_id": "worst",
    "metric_id": "accuracy",
    "operator": "worst_slice_gte",
    "threshold": 0.8,
    "required": True,
    "verdict": "PASS",
    "reason": "ok",
    "slice": "label=late",
    "actual": 0.9,
    "n": 40,
    "k": 36,
    "interval": [0.75, 0.97],
    "confidence": 0.95,
    "chance_wrong": 0.031,
}


@pytest.mark.parametrize(
    ("levels", "interval"),
    [
        ({"interval_confidence": 1 - 0.05 / 3}, "98.333 % 0.750…0.970"),
        ({"interval_confidence": 0.95}, "95 % 0.750…0.970"),
        ({"interval_confidence": None}, "95 % 0.750…0.970"),
        ({}, "95 % 0.750…0.970"),
    ],
)
def test_an_interval_is_told_with_its_own_level(levels: dict[str, Any], interval: str) -> None:
    assert gate_cells(GATE | levels)[4] == interval


def test_a_gate_says_how_its_metric_compared_answers() -> None:
    shown = "accuracy (as label) [label=late] 0.9000 worst slice ≥ 0.8"
    assert gate_cells(GATE | {"normaliser": "label"})[2] == shown
    assert gate_cells(GATE | {"normaliser": "none"})[2] == gate_cells(GATE)[2]


def test_roles_have_the_names_of_every_other_view() -> None:
    held = {"role": "promoted", "actual": 0.88, "delta": 0.02}
    assert gate_cells(GATE | {"baseline": held})[5] == "promoted 0.8800 (+0.0200)"
    held["role"] = "baseline"
    assert gate_cells(GATE | {"baseline": held})[5] == "base 0.8800 (+0.0200)"


def test_a_chance_is_a_number_in_cells_and_worded_in_lines() -> None:
    assert gate_cells(GATE)[6] == "3 %"
    assert gate_table([GATE]).endswith("  chance wrong 3 %\n")
    assert "chance" not in gate_table([GATE | {"chance_wrong": None}])
