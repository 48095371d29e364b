"""Every task profile answers its own samples fully right, in range, the same way twice."""

import math
from typing import Any

import pytest

from brewslm.registry import UnknownNameError
from brewslm.tasks.arithmetic import summed
from brewslm.tasks.common_metrics import output_counts
from brewslm.tasks.compose import compose
from brewslm.tasks.metrics import produced_metrics, resolve_metric
from brewslm.tasks.task import DEFAULT_OPTIONS, TASKS, Sample, Task

CASES = [(task, sample) for task in TASKS.all().values() for sample in task.samples]


@pytest.mark.parametrize(("task", "sample"), CASES)
def test_answer_of_the_reference_is_fully_right(task: Task, sample: Sample) -> None:
    for output in (task.answer(sample.reference, sample.contract), sample.right_output):
        scored = task.score(
            sample.inputs, sample.reference, output, sample.contract, DEFAULT_OPTIONS
        )
        assert scored.score == 1.0
        assert scored.is_parseable


@pytest.mark.parametrize(("task", "sample"), CASES)
@pytest.mark.parametrize("output", ["", "x", '{"a": 1}', "Human: hello", "major minor"])
def test_values_lie_in_the_declared_range(task: Task, sample: Sample, output: str) -> None:
    scored = task.score(sample.inputs, sample.reference, output, sample.contract, DEFAULT_OPTIONS)
    totals = summed([output_counts(output, "gold") | scored.counts])
    for metric in produced_metrics(
        task.name, sample.contract, task.names(sample.reference)
    ).values():
        value = metric.value(totals)
        assert math.isnan(value) or metric.is_in_range(value), metric.metric_id


@pytest.mark.parametrize(("task", "sample"), CASES)
def test_composition_ends_with_the_answer(task: Task, sample: Sample) -> None:
    made = compose(task.name, sample.inputs, sample.reference, sample.contract, "Be short.")
    again = compose(task.name, sample.inputs, sample.reference, sample.contract, "Be short.")
    assert made == again
    assert made.messages[0] == {"role": "system", "content": "Be short."}
    assert made.messages[: made.completion_from][-1]["role"] == "user"
    assert made.messages[made.completion_from :] == [
        {"role": "assistant", "content": task.answer(sample.reference, sample.contract)}
    ]


def test_system_turn_of_a_row_wins_over_the_system_prompt() -> None:
    turns = [{"role": "system", "content": "own"}, {"role": "user", "content": "hi"}]
    made = compose("chat_sft", {"messages": turns}, {"text": "ho"}, {}, "other")
    assert [turn["content"] for turn in made.messages] == ["own", "hi", "ho"]
    assert made.loss == "assistant_turns"


def test_label_list_is_whole_or_absent() -> None:
    def prompt(count: int) -> str:
        labels = [f"label{number}" for number in range(count)]
        contract: dict[str, Any] = {"allowed_labels": labels}
        made = compose("classification", {"text": "t"}, {"label": "label0"}, contract, "")
        return str(made.messages[0]["content"])

    assert all(f"label{number}" in prompt(30) for number in range(30))
    assert "label" not in prompt(31).replace("label only", "")


def test_json_answers_follow_the_schema_and_keep_letters() -> None:
    schema: dict[str, Any] = {"properties": {"b": {}, "a": {"properties": {"y": {}, "x": {}}}}}
    contract = {"json_schema": schema, "scoring_mode": "field_match"}
    reference = {"object": {"a": {"x": 1, "y": "é"}, "b": [1, 2]}}
    made = compose("structured_extraction", {"text": "t"}, reference, contract, "")
    assert made.messages[-1]["content"] == '{"b": [1, 2], "a": {"y": "é", "x": 1}}'


def test_unknown_profile_is_refused_with_the_closest_name() -> None:
    with pytest.raises(UnknownNameError) as caught:
        compose("classificaton", {}, {}, {}, "")
    assert caught.value.suggestions == ("classification",)


@pytest.mark.parametrize(
    ("profile", "contract", "asked", "meant"),
    [
        ("classification", {"allowed_labels": ["a"]}, "f1", "macro_f1"),
        ("classification", {"allowed_labels": ["Very Bad"]}, "precision_very_bad", None),
        ("structured_extraction", {"scoring_mode": "field_match"}, "exact_match", "overall_em"),
        ("structured_extraction", {"scoring_mode": "span_set"}, "macro_f1", "f1_macro"),
        ("qa", {}, "accuracy", "exact_match"),
        ("qa", {}, "macro_f1", ""),
        ("classification", {"allowed_labels": ["a"]}, "precision", ""),
        ("instruction_sft", {}, "llm_judge_pass_rate", ""),
    ],
)
def test_only_declared_synonyms_resolve(
    profile: str, contract: dict[str, Any], asked: str, meant: str | None
) -> None:
    metric = resolve_metric(profile, contract, asked)
    wanted = "per_class.very_bad.precision" if meant is None else meant
    assert (metric.metric_id if metric else "") == wanted


def test_labels_with_one_slug_have_no_class_metrics() -> None:
    metrics = produced_metrics("classification", {"allowed_labels": ["a b", "a_b", "c"]})
    assert "per_class.c.f1" in metrics
    assert not any(key.startswith("per_class.a_b") for key in metrics)
