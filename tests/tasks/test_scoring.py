"""From a prediction to its item: what it counts for, how it failed, and which slices it is in."""

import json
import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewslm.tasks.arithmetic import summed
from brewslm.tasks.compose import compose
from brewslm.tasks.metrics import produced_metrics
from brewslm.tasks.scoring import Item, other_references, scored_item, slices_of
from brewslm.tasks.task import DEFAULT_OPTIONS, TASKS, Sample, Task

CASES = [(task, sample) for task in TASKS.all().values() for sample in task.samples]
LABELS = {"allowed_labels": ["fault", "fine"]}


def row_of(profile: str, inputs: Any, reference: Any, contract: Any, **more: Any) -> dict[str, Any]:
    made = compose(profile, inputs, reference, contract, "")
    return {
        "row_id": "r",
        "messages": made.messages,
        "completion_from": made.completion_from,
        "inputs": inputs,
        "reference": reference,
        **more,
    }


def item_of(profile: str, row: Any, contract: Any, output: str, **more: Any) -> Item:
    prediction = {"output": output, "finish": "stop", "epoch": 2, "new_tokens": 3, **more}
    task = TASKS.load(profile)
    return scored_item(task, row, prediction, None, contract, DEFAULT_OPTIONS)


def label_item(output: str, label: str = "fine", **more: Any) -> Item:
    row = row_of("classification", {"text": "the pump of hall 9"}, {"label": label}, LABELS)
    return item_of("classification", row, LABELS, output, **more)


@pytest.mark.parametrize(
    ("output", "more", "status", "rates"),
    [
        ("fine", {}, "ok", []),
        ("unclear", {}, "unparseable", []),
        (" \n", {}, "empty", ["empty_rate"]),
        ("fine", {"finish": "length"}, "truncated", ["truncated_rate"]),
        ("", {"finish": "length"}, "truncated", ["truncated_rate"]),
        ("", {"error_code": "prompt_too_long"}, "prompt_too_long", ["prompt_too_long_rate"]),
        (
            "fine",
            {"finish": "error", "error_code": "prompt_too_long"},
            "prompt_too_long",
            ["prompt_too_long_rate"],
        ),
        ("fine", {"finish": "error"}, "error", ["error_rate"]),
        ("fine", {"error_code": "out_of_memory"}, "error", ["error_rate"]),
    ],
)
def test_status_is_the_first_that_holds_and_is_counted(
    output: str, more: dict[str, Any], status: str, rates: list[str]
) -> None:
    item = label_item(output, **more)
    assert (item.row_id, item.epoch, item.status) == ("r", 2, status)
    assert (item.score is None) is (status == "error")
    totals = summed([item.counts])
    metrics = produced_metrics("classification", LABELS)
    names = ("empty_rate", "truncated_rate", "prompt_too_long_rate", "error_rate")
    assert [name for name in names if metrics[name].value(totals) == 1] == rates
    if status != "error":
        assert item.counts["new_tokens"] == 3
    record = item.to_json(["site=north"])
    assert (record["status"], record["counts"]) == (status, dict(item.counts))
    assert record["slices"] == ["site=north"]


GENERAL = {"n", "rows", "output_words", "reference_words", "new_tokens", "status"} | {
    *("echo", "false_refusal", "stray_json", "look_alike", "own_score", "chance_score")
}
"""Counts that every item has, whatever its task makes of the output."""


SUM = Sample({"question": "What is 2 + 3?"}, {"answers": ["5"]}, {}, "5")


@pytest.mark.parametrize(("task", "sample"), [*CASES, (TASKS.load("qa"), SUM)])
def test_row_that_was_never_asked_earns_nothing_and_its_reference_counts(
    task: Task, sample: Sample
) -> None:
    row = row_of(task.name, sample.inputs, sample.reference, sample.contract)
    right = item_of(task.name, row, sample.contract, sample.right_output)
    unasked = item_of(
        task.name, row, sample.contract, sample.right_output, error_code="prompt_too_long"
    )
    assert (right.score, unasked.score, unasked.status) == (1.0, 0.0, "prompt_too_long")

    def of_reference(item: Item) -> dict[str, float]:
        return {
            name: count
            for name, count in item.counts.items()
            if name.partition(":")[0].endswith("gold")
        }

    assert of_reference(unasked) == of_reference(right)
    own = {name.partition(":")[0] for name in unasked.counts.keys() - of_reference(unasked)}
    assert own <= GENERAL
    names = task.names(sample.reference)
    for metric in produced_metrics(task.name, sample.contract, names).values():
        value = metric.value(summed([unasked.counts]))
        if metric.higher_is_better and metric.is_gateable:
            assert math.isnan(value) or value <= 0, metric.metric_id
    assert unasked.failure is not None
    assert unasked.failure["reason_code"] == "prompt_too_long"


def test_field_that_is_left_out_is_a_gap_however_much_of_the_text_is_right() -> None:
    contract = {"json_schema": {"properties": {}}, "scoring_mode": "field_match"}
    whole = {name: at for at, name in enumerate("abcdefgh")}
    row = row_of("structured_extraction", {"text": "t"}, {"object": whole}, contract)
    most = {name: at for name, at in whole.items() if name != "h"}
    item = item_of("structured_extraction", row, contract, json.dumps(most))
    assert (item.failure or {})["reason_code"] == "coverage_gap"


def test_field_of_another_type_than_the_schema_asks_for_is_a_fault_of_form() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    contract = {"json_schema": schema, "scoring_mode": "field_match"}
    row = row_of("structured_extraction", {"text": "t"}, {"object": {"n": 1}}, contract)
    item = item_of("structured_extraction", row, contract, '{"n": "2"}')
    assert (item.status, (item.failure or {})["reason_code"]) == ("ok", "formatting_mismatch")


def words(count: int) -> str:
    return " ".join(f"a-rather-long-word-{number}" for number in range(count))


LONG = " ".join(f"word{number}" for number in range(80))
SHARED = "north south east west up down left right here"


def test_record_of_an_item_holds_all_that_is_known_of_it() -> None:
    item = item_of(
        "qa", row_of("qa", {"question": "q"}, {"answers": ["the old pump"]}, {}), {}, "a new pump"
    )
    assert item.failure
    assert item.values
    assert item.to_json(["turns=1"]) == {
        "row_id": "r",
        "epoch": 2,
        "status": "ok",
        "parse_detail": item.parse_detail,
        "extracted": item.extracted,
        "score": item.score,
        "item": item.values,
        "counts": item.counts,
        "slices": ["turns=1"],
        "failure": item.failure,
    }
    assert list(item.to_json([])["counts"]) == sorted(item.counts)


@pytest.mark.parametrize(
    ("profile", "answer", "output", "more", "reason"),
    [
        ("classification", "fine", "fault", {}, "label_confusion"),
        ("classification", "fine", "fault", {"finish": "length"}, "truncated_output"),
        ("classification", "fine", "unclear", {}, "formatting_mismatch"),
        ("qa", "the old pump of hall nine", "old pump </s>", {}, "formatting_mismatch"),
        ("qa", "the old pump of hall nine", "I'm sorry, I cannot help.", {}, "refusal_mismatch"),
        ("qa", "I cannot help with that pump", "I cannot help", {}, "wrong_value"),
        ("qa", "the old pump of hall nine", LONG, {}, "hallucination"),
        ("qa", "the old pump of hall nine", "nothing of it", {}, "coverage_gap"),
        ("qa", "the old pump of hall nine", "nothing", {}, "coverage_gap"),
        ("qa", "the old pump of hall nine", "the new pump of hall two", {}, "wrong_value"),
        ("qa", "the old pump of hall nine", "the old pump is in room two", {}, "wrong_value"),
        ("qa", SHARED, f"{SHARED} {words(22)}", {}, "wrong_value"),
        ("qa", "the old pump of hall nine", f"the old pump {words(31)}", {}, "hallucination"),
    ],
)
def test_failure_is_named_by_the_first_rule_that_holds(
    profile: str, answer: str, output: str, more: dict[str, Any], reason: str
) -> None:
    if profile == "classification":
        item = label_item(output, answer, **more)
    else:
        row = row_of(profile, {"question": "which one?"}, {"answers": [answer]}, {})
        item = item_of(profile, row, {}, output, **more)
    assert item.failure is not None
    assert item.failure["reason_code"] == reason
    assert label_item("fine").failure is None
    row = row_of("qa", {"question": "which one?"}, {"answers": ["old pump of hall nine"]}, {})
    near = item_of("qa", row, {}, "old pump of hall nine north")
    assert 0.75 < (near.score or 0) < 1
    assert near.failure is None


@pytest.mark.parametrize(
    ("output", "pattern"),
    [
        ("x" * 80, "len-short:lead-prose:digits-n"),
        ("x" * 81, "len-medium:lead-prose:digits-n"),
        ("x" * 400, "len-medium:lead-prose:digits-n"),
        ("x" * 400 + "1", "len-long:lead-prose:digits-y"),
        ('{"a": 1}', "len-short:lead-json:digits-y"),
    ],
)
def test_pattern_of_an_output_is_its_length_lead_and_digits(output: str, pattern: str) -> None:
    assert (label_item(output).failure or {})["output_pattern"] == pattern


@settings(max_examples=12)
@given(st.integers(1, 12))
def test_each_row_lends_its_reference_equally_often_and_never_to_itself(count: int) -> None:
    rows = [{"reference": {"label": str(at)}} for at in range(count)]
    lent: Counter[str] = Counter()
    for at in range(count):
        others = [other["label"] for other in other_references(rows, at)]
        assert str(at) not in others
        assert len(set(others)) == len(others) == min(4, count - 1)
        lent.update(others)
    assert set(lent.values()) <= {min(4, count - 1)}


def test_chance_is_the_mean_score_with_other_references() -> None:
    row = row_of("classification", {"text": "the pump"}, {"label": "fine"}, LABELS)
    task, others = TASKS.load("classification"), [{"label": name} for name in ("fault", "fine")]
    prediction = {"output": "fine", "finish": "stop"}
    for amount, chance in ((0, 0.0), (1, 0.0), (2, 0.5)):
        item = scored_item(task, row, prediction, None, LABELS, DEFAULT_OPTIONS, others[:amount])
        assert (item.counts["own_score"], item.counts["chance_score"]) == (1.0, chance)


def test_output_that_repeats_the_question_earns_nothing_not_even_by_chance() -> None:
    question = "is the old pump of hall nine or the one of hall ten out of order"
    row = row_of("qa", {"question": question}, {"answers": ["the old pump of hall nine"]}, {})
    prediction = {"output": question, "finish": "stop"}
    others = [{"answers": ["the one of hall ten"]}]
    item = scored_item(TASKS.load("qa"), row, prediction, None, {}, DEFAULT_OPTIONS, others)
    assert (item.score, item.counts["chance_score"]) == (0.0, 0.0)
    prediction["output"] = "the old pump of hall ten"
    item = scored_item(TASKS.load("qa"), row, prediction, None, {}, DEFAULT_OPTIONS, others)
    assert item.score == pytest.approx(0.8)
    assert item.counts["chance_score"] == pytest.approx(2 / 3)


def sliced(lengths: list[int], tags: list[dict[str, Any]]) -> list[dict[str, str]]:
    turns = [{"role": "system", "content": "x"}, {"role": "user", "content": "which 1?"}]
    answered = [{"role": "assistant", "content": "no"}, {"role": "user", "content": "why?"}]
    rows = [
        {
            "row_id": str(at),
            "messages": [*turns, *answered * (at % 2), {"role": "assistant", "content": "3"}],
            "completion_from": 2 + at % 2 * 2,
            "reference": {"label": f"l{at % 3}"} if at % 3 else {"text": "t"},
            "tags": own,
        }
        for at, own in enumerate(tags)
    ]
    tokens = {str(at): length for at, length in enumerate(lengths)}
    return list(slices_of(rows, {"0": "gold", "2": "more"}, tokens).values())


@settings(max_examples=30)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_slices_are_read_from_rows_and_lengths_cut_into_thirds(lengths: list[int]) -> None:
    ordered = sorted(lengths)
    size = len(lengths)
    for at, found in enumerate(sliced(lengths, [{} for _ in lengths])):
        expected = {"turns": str(1 + at % 2), "has_number": "true" if at % 2 == 0 else "false"}
        if at in (0, 2):
            expected["source"] = "gold" if at == 0 else "more"
        if at % 3:
            expected["label"] = f"l{at % 3}"
        if size >= 3:
            thirds = [third for third in (1, 2) if lengths[at] > ordered[third * size // 3 - 1]]
            expected["length"] = ("short", "medium", "long")[len(thirds)]
        assert found == dict(sorted(expected.items()))


@pytest.mark.parametrize(("count", "is_kept"), [(12, True), (13, False)])
def test_column_of_more_than_twelve_values_is_no_slice(count: int, is_kept: bool) -> None:
    tags = [{"site": f"s{at}", "is_new": at % 2 == 0, "size": at % 2} for at in range(count)]
    found = sliced([1] * count, tags)
    assert [item.get("site") for item in found] == [
        f"s{at}" if is_kept else None for at in range(count)
    ]
    assert {(item["is_new"], item["size"]) for item in found} == {("true", "0"), ("false", "1")}
