"""An apply keeps to the limits of its workflow, and says so when it passes one."""

from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from brewslm.apply.clock import SystemClock
from brewslm.apply.spending import Spending
from brewslm.contracts import Job, Result
from brewslm.errors import ExitCode
from brewslm.events import ActionLogEvent, InterruptEvent
from brewslm.stages.workflow import BudgetSettings
from tests.apply.bench import Bench

_JOB_S = 240.0
"""Seconds that each of the six jobs of a first apply takes; 24 minutes in all."""


class HandClock(SystemClock):
    """A steady clock that tests put forward."""

    def __init__(self) -> None:
        self.at_s = 1000.0

    def steady_s(self) -> float:
        return self.at_s


class SlowBench(Bench):
    """A project whose jobs take long."""

    def answer(self, job: Job, folder: Path) -> Result:
        self.clock.at_s += _JOB_S  # type: ignore[attr-defined]
        return super().answer(job, folder)

    def limit(self, budget: str) -> None:
        """Write limits into the manifest."""
        self.edit("spec:\n", f"spec:\n  workflow: {{budget_settings: {{{budget}}}}}\n")

    def warnings(self) -> list[str]:
        """Return what the last apply warned of."""
        return [event.text for event in self.events if isinstance(event, ActionLogEvent)]


@pytest.fixture
def slow(tmp_path: Path) -> SlowBench:
    bench = SlowBench.make(tmp_path)
    bench.clock = HandClock()
    return bench


def test_limit_without_auto_cancel_warns_and_goes_on(slow: SlowBench) -> None:
    slow.limit("max_minutes: 10")
    assert slow.apply().exit_code is ExitCode.DONE
    assert slow.warnings() == [
        "[budget_exceeded] 80% of max_minutes: 10 is used",
        "[budget_exceeded] max_minutes: 10 is used up; the apply goes on, since auto_cancel is "
        "false",
    ]
    with closing(slow.store().read()) as reader:
        told = [event for event in reader.run_events() if event.reason_code == "budget_exceeded"]
    assert [(event.stage, event.severity) for event in told] == [("system", "warning")] * 2
    assert {event.payload["share"] for event in told} == {0.8, 1.0}


def test_threshold_is_the_share_that_is_written(slow: SlowBench) -> None:
    slow.limit("max_minutes: 30, threshold: 0.25")
    assert slow.apply().exit_code is ExitCode.DONE
    assert slow.warnings() == ["[budget_exceeded] 25% of max_minutes: 30 is used"]


def test_auto_cancel_stops_at_the_limit_and_the_next_apply_goes_on(slow: SlowBench) -> None:
    slow.limit("max_minutes: 10, auto_cancel: true")
    outcome = slow.apply()
    assert outcome.exit_code is ExitCode.INTERRUPTED
    assert "training_plan" in outcome.applied
    assert {"eval_pack", "deployment"} <= set(outcome.pending)
    assert slow.promoted() is None
    [stopped] = [event for event in slow.events if isinstance(event, InterruptEvent)]
    assert (stopped.count, stopped.message) == (
        0,
        "out of budget: checkpointed, recorded, released",
    )
    slow.edit("max_minutes: 10", "max_minutes: 60")
    assert slow.apply().exit_code is ExitCode.DONE
    assert "train" not in slow.doors()
    assert slow.promoted() is not None


def test_limit_passed_by_the_last_action_interrupts_nothing(slow: SlowBench) -> None:
    slow.edit("  deployment: {target_profile_id: cpu_local}\n", "")
    slow.limit("max_minutes: 23, auto_cancel: true")
    outcome = slow.apply()
    assert outcome.exit_code is ExitCode.DONE
    assert outcome.pending == []


def test_without_limits_nothing_is_told(slow: SlowBench) -> None:
    assert slow.apply().exit_code is ExitCode.DONE
    assert slow.warnings() == []


@example([(True, 5)], 5, True)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=12),
    st.integers(1, 100),
    st.booleans(),
)
def test_accelerator_hours_count_what_loads_a_model(
    steps: list[tuple[bool, int]], limit_hours: int, has_accelerator: bool
) -> None:
    """steps: whether a model is loaded, and hours."""
    clock = HandClock()
    settings = BudgetSettings(max_gpu_hours=limit_hours, auto_cancel=True)
    spending = Spending(settings, clock, has_accelerator=has_accelerator)
    shares = []
    for is_loading, hours in steps:
        with spending.loading() if is_loading else nullcontext():
            clock.at_s += hours * 3600
            shares += [passed.share for passed in spending.passed()]
    used = sum(hours for is_loading, hours in steps if is_loading)
    assert spending.is_over() == (has_accelerator and used >= limit_hours)
    assert (1.0 in shares) == spending.is_over()
    assert shares == sorted(set(shares))
