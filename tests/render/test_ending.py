"""The end of an apply says what decided and what to do next."""

from typing import Any

import pytest

from brewslm.events import SummaryEvent
from brewslm.render.ending import render_ending


def _summary(**values: Any) -> SummaryEvent:
    begun = dict.fromkeys(("applied", "reused", "failed", "skipped", "pending", "unchanged"), ())
    facts = {"revision": 3, "serial": 9, "elapsed_s": 61.0, "exit_code": 0, "gates": {}}
    return SummaryEvent(**{**begun, **facts, **values})


def test_an_evaluation_without_gates_says_where_its_numbers_are() -> None:
    text = render_ending(_summary(applied=("eval_pack",)), [])
    assert text.endswith(
        "No gate is set. Base and candidate side by side: brewslm show eval_pack\n"
    )
    assert "Revision 3, in 1 min 1 s." in text


@pytest.mark.parametrize("values", [{"applied": ("project",)}, {"unchanged": ("eval_pack",)}])
def test_an_evaluation_that_did_not_run_is_not_mentioned(values: dict[str, Any]) -> None:
    assert "No gate is set" not in render_ending(_summary(**values), [])


_PASSED = {"verdict": "PASS", "gate_id": "right", "metric_id": "accuracy", "actual": 1.0}


@pytest.mark.parametrize("ended", ["failed", "skipped", "pending"])
def test_gates_of_an_earlier_apply_are_not_shown_as_those_of_this_one(ended: str) -> None:
    summary = _summary(**{ended: ("training_plan", "eval_pack")}, exit_code=1)
    assert "PASS" not in render_ending(summary, [_PASSED])
    kept = _summary(applied=("export.adapter",), unchanged=("eval_pack",))
    assert "PASS" in render_ending(kept, [_PASSED])


@pytest.mark.parametrize(
    ("exit_code", "said"),
    [
        (130, "Interrupted; what was done is recorded. To go on: brewslm apply"),
        (3, "A required gate did not pass: the candidate is kept aside, what was promoted stays."),
        (1, "Something failed; what succeeded is recorded."),
        (6, "Refused; nothing was promoted."),
    ],
)
def test_each_way_to_end_has_its_next_step(exit_code: int, said: str) -> None:
    assert said in render_ending(_summary(exit_code=exit_code, revision=None), [])


def test_nothing_to_do_is_said() -> None:
    assert "Nothing had to be done." in render_ending(_summary(revision=None), [])
