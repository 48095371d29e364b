"""A worker that fails in the middle: a code of its own, a record, and a way to go on."""

from contextlib import closing

import pytest

from brewslm.errors import ExitCode
from brewslm.events import ActionErrorEvent, ActionLogEvent, RecoveryEvent
from brewslm.state.records import OperationStatus, RunEvent
from tests.apply.bench import Bench

CODES = (
    "worker_killed",
    "training_oom",
    "training_nonfinite_loss",
    "training_stalled",
    "training_runtime_error",
)


def _events_of(bench: Bench, code: str) -> list[RunEvent]:
    with closing(bench.store().read()) as reader:
        return reader.run_events(reason_code=code)


@pytest.mark.case("CRA-04")
@pytest.mark.parametrize("code", CODES)
def test_each_fault_has_its_own_code_everywhere(bench: Bench, code: str) -> None:
    bench.deaths = {0: code}
    outcome = bench.apply()
    assert outcome.exit_code is ExitCode.ERROR
    assert outcome.failed == ["training_plan"]
    told = [event for event in bench.events if isinstance(event, ActionErrorEvent)]
    assert [event.reason_code for event in told] == [code]
    (recorded,) = _events_of(bench, code)
    assert (recorded.stage, recorded.severity) == ("training", "error")
    assert "training_plan" not in bench.records()
    with closing(bench.store().read()) as reader:
        (operation,) = reader.operations(kind="training_plan")
    assert (operation.status, operation.reason_code) == (OperationStatus.FAILED, code)


@pytest.mark.parametrize("code", ["worker_killed", "training_stalled"])
def test_fault_after_a_checkpoint_is_gone_on_from(bench: Bench, code: str) -> None:
    bench.deaths, bench.leaves_checkpoint = {0: code}, True
    assert bench.apply().exit_code is ExitCode.ERROR
    bench.deaths = {}
    assert bench.apply().exit_code is ExitCode.DONE
    assert bench.jobs[0].options["resume_from"].endswith("checkpoints/checkpoint-5")
    resumed = [event for event in bench.events if isinstance(event, RecoveryEvent)]
    assert [(event.decision, event.step) for event in resumed] == [("resumed", 5)]
    assert len(_events_of(bench, "training_resumed")) == 1


def test_loss_that_is_no_number_is_never_gone_on_from(bench: Bench) -> None:
    bench.deaths, bench.leaves_checkpoint = {0: "training_nonfinite_loss"}, True
    bench.apply()
    bench.deaths = {}
    assert bench.apply().exit_code is ExitCode.DONE
    assert bench.jobs[0].options["resume_from"] == ""


def test_try_after_memory_ran_out_is_told_and_remembered(bench: Bench) -> None:
    text = "memory ran out with batch_size 8; trying batch_size 4 from step 5"
    facts = {"failed": {"batch_size": 8}, "held": {"batch_size": 4}, "step": 5}
    warning = {"type": "warning", "reason_code": "training_oom", "text": text, "facts": facts}
    bench.messages = {0: [warning]}
    assert bench.apply().exit_code is ExitCode.DONE
    (event,) = _events_of(bench, "training_oom")
    assert (event.stage, event.severity) == ("training", "warning")
    assert (event.summary, event.payload) == (text, facts)
    told = [event for event in bench.events if isinstance(event, ActionLogEvent)]
    assert [(event.level, event.address, event.text) for event in told] == [
        ("warning", "training_plan", text)
    ]


def test_code_of_no_stage_is_kept_in_the_record(bench: Bench) -> None:
    bench.deaths = {0: "something_new"}
    assert bench.apply().exit_code is ExitCode.ERROR
    (event,) = _events_of(bench, "training_runtime_error")
    assert event.payload["reason_code"] == "something_new"
