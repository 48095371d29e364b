"""A run of one step has no warm-up, which would be all of its rate."""

from typing import Any

import pytest

from brewslm.plan.plan import Plan
from tests.apply.bench import Bench

_ONE = "      num_epochs: 1\n      batch_size: 60\n      gradient_accumulation_steps: 2\n"


def _found(plan: Plan) -> list[tuple[str, str]]:
    told = [item for item in plan.finding_values if item.code == "AUTOFIX_WARMUP"]
    return [(item.severity.value, item.field.rpartition(".")[2]) for item in told]


def _config(plan: Plan) -> dict[str, Any]:
    (action,) = [item for item in plan.actions if item.address == "training_plan"]
    assert action.after is not None
    config: dict[str, Any] = action.after["spec"]["config"]
    return config


@pytest.mark.parametrize(
    ("lines", "found", "ratio"),
    [
        (_ONE, [("info", "warmup_ratio")], 0.0),
        ("      max_steps: 1\n", [("info", "max_steps")], 0.0),
        (_ONE + "      warmup_ratio: 0.1\n", [("info", "warmup_ratio")], 0.1),
        (_ONE + "      warmup_steps: 9\n", [("info", "warmup_steps")], 0.03),
        (_ONE + "      warmup_ratio: 0\n", [], 0.0),
        (_ONE + "      lr_scheduler: constant\n", [], 0.03),
        ("      max_steps: 2\n", [], 0.03),
        ("      num_epochs: 2\n", [], 0.03),
    ],
)
def test_warmup_of_a_run_of_one_step_is_left_out_and_told(
    bench: Bench, lines: str, found: list[tuple[str, str]], ratio: float
) -> None:
    bench.edit("      num_epochs: 2\n", lines)
    plan = bench.built().plan
    assert _found(plan) == found
    assert _config(plan)["warmup_ratio"] == ratio
