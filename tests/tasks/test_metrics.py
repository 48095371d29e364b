"""What metrics are called, what they are computed from, and what a gate may ask of them."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewslm.tasks.arithmetic import Totals
from brewslm.tasks.metric import class_metrics, colliding_names, nameable, slug
from brewslm.tasks.metrics import (
    known_metric_ids,
    metrics_read_with,
    produced_metrics,
    reported_metrics,
    resolve_metric,
)
from brewslm.tasks.task import DEFAULT_OPTIONS, TASKS, Sample, ScoringOptions, Task

CASES = [(task, sample) for task in TASKS.all().values() for sample in task.samples]
NAMES = st.lists(st.sampled_from(["a b", "A_b", "a-b", "c", " c ", "!!", "", "É", "d1", "d 1"]))


@settings(max_examples=40)
@given(NAMES)
def test_a_name_has_metrics_where_no_other_name_has_its_slug(names: list[str]) -> None:
    slugs = {name: "_".join(re.findall(r"[^\W_]+", name.lower())) for name in names}
    assert {name: slug(name) for name in names} == slugs
    own = list(slugs.values())
    assert nameable(names) == [name for name in slugs if slugs[name] and own.count(slugs[name]) < 2]
    assert colliding_names(names) == {
        key: tuple(name for name in slugs if slugs[name] == key)
        for key in own
        if own.count(key) > 1
    }


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("abx"), st.sampled_from("ab")), max_size=12))
def test_class_metrics_are_those_of_the_pairs(pairs: list[tuple[str, str]]) -> None:
    totals = Totals()
    for predicted, gold in pairs:
        for name in (f"pred:{predicted}", f"gold:{gold}", *[f"tp:{gold}"] * (predicted == gold)):
            totals[name] += 1
    found = {metric.metric_id: metric.value(totals) for metric in class_metrics("ab")}
    for name in "ab":
        own = [pair for pair in pairs if name in pair]
        right, said = own.count((name, name)), [pair for pair in own if pair[0] == name]
        asked = [pair for pair in own if pair[1] == name]
        assert found[f"per_class.{name}.precision"] == (right / len(said) if said else 0)
        assert found[f"per_class.{name}.recall"] == (right / len(asked) if asked else 0)
        assert found[f"per_class.{name}.f1"] == (2 * right / (len(said) + len(asked)) if own else 0)
        assert found[f"per_class.{name}.support"] == len(asked)


def test_what_a_gate_may_name_and_which_values_a_metric_can_have() -> None:
    unusual = {}
    for task, sample in CASES:
        for metric in produced_metrics(task.name, sample.contract).values():
            if not metric.is_gateable or (metric.low, metric.high) != (0, 1):
                name = re.sub(r"per_\w+\.\w+", "per", metric.metric_id)
                unusual[name] = (metric.low, metric.high, metric.is_gateable)
    endless = float("-inf")
    assert unusual == {
        "mcc": (-1, 1, True),
        "score_above_chance": (endless, 1, True),
        "nll_gain": (endless, None, True),
        "mean_nll": (0, None, True),
        "perplexity": (1, None, True),
        "length_ratio": (0, None, True),
        "mean_new_tokens": (0, None, False),
        "per.support": (0, None, False),
        "field_exact_match_rate_valid": (0, 1, False),
        **dict.fromkeys(("tp_total", "fp_total", "fn_total"), (0, None, False)),
    }


@pytest.mark.parametrize(
    ("profile", "metric_id", "counts"),
    [
        ("qa", "arithmetic_accuracy", {"number_right": 3, "number_gold": 4, "n": 9}),
        ("qa", "error_rate", {"status:error": 3, "rows": 4, "n": 1}),
        ("qa", "exact_match", {"exact": 3, "n": 4, "rows": 9}),
        ("qa", "f1", {"f1": 3, "n": 4, "rows": 9}),
        ("qa", "length_ratio", {"output_words": 3, "reference_words": 4, "n": 9}),
        ("qa", "mean_nll", {"nll_sum": 3, "nll_tokens": 4, "n": 9}),
    ],
)
def test_share_is_of_what_the_metric_is_about(
    profile: str, metric_id: str, counts: dict[str, float]
) -> None:
    assert produced_metrics(profile, {})[metric_id].value(Totals(counts)) == 0.75


def test_values_are_comparable_where_definition_kind_and_normal_form_are_equal() -> None:
    metrics = produced_metrics("qa", {})
    assert [metrics[name].lock for name in ("f1", "nll_gain", "exact_match", "empty_rate")] == [
        {"definition_version": 1, "kind": "mean", "normaliser": "words"},
        {"definition_version": 2, "kind": "ratio", "normaliser": "none"},
        {"definition_version": 1, "kind": "proportion", "normaliser": "words"},
        {"definition_version": 1, "kind": "proportion", "normaliser": "none"},
    ]
    macro = produced_metrics("classification", {"allowed_labels": ["a"]})["macro_f1"]
    assert macro.lock["normaliser"] == "label"


@pytest.mark.parametrize(("task", "sample"), CASES)
def test_chosen_normal_form_replaces_that_of_the_task_alone(task: Task, sample: Sample) -> None:
    metrics = produced_metrics(task.name, sample.contract)
    assert metrics_read_with(metrics, task.name, DEFAULT_OPTIONS) == metrics
    chosen = metrics_read_with(metrics, task.name, ScoringOptions(normaliser="squad"))
    before = {key: metric.normaliser for key, metric in metrics.items()}
    assert {key: metric.normaliser for key, metric in chosen.items()} == {
        key: "squad" if form == task.normaliser else form for key, form in before.items()
    }
    assert "none" in {metric.normaliser for metric in chosen.values()}


def test_metrics_are_reported_by_id_or_synonym_and_all_where_none_is_named() -> None:
    metrics = produced_metrics("classification", {"allowed_labels": ["a"]})
    assert reported_metrics(metrics, ["f1", "accuracy"]).keys() == {"macro_f1", "accuracy"}
    assert reported_metrics(metrics, []) == reported_metrics(metrics, ["else"]) == metrics


def test_labels_of_the_rows_have_metrics_beside_those_of_the_contract() -> None:
    names = "per_class.a.f1", "per_class.seen.f1", "recall_seen"
    contract = {"allowed_labels": ["a"]}
    found = [resolve_metric("classification", contract, name, ("seen",)) for name in names]
    assert [item and item.metric_id for item in found] == [*names[:2], "per_class.seen.recall"]
    assert resolve_metric("classification", contract, "per_class.seen.f1") is None


def test_known_ids_are_synonyms_too_and_depend_on_no_label() -> None:
    assert {"macro_f1", "f1", "exact_match", "error_rate"} <= known_metric_ids()
    assert not [name for name in known_metric_ids() if name.startswith("per_")]
    assert not any("minor" in name for name in known_metric_ids())
