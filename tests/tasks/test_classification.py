"""Classification: reading labels, and metrics against scikit-learn."""

import math
import random
import warnings
from collections.abc import Sequence
from typing import Any

import pytest
from sklearn.metrics import (
    accuracy_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
)

from brewslm.tasks.arithmetic import summed
from brewslm.tasks.metrics import produced_metrics
from brewslm.tasks.profiles.classification import UNPARSEABLE, extract, score
from brewslm.tasks.task import DEFAULT_OPTIONS, ScoringOptions

SENTIMENT = {"allowed_labels": ["positive", "negative", "very_negative"]}


@pytest.mark.parametrize(
    ("output", "label", "detail"),
    [
        ("positive", "positive", ""),
        ("**Positive**.", "positive", ""),
        ("Very-Negative", "very_negative", ""),
        ("positive\nbecause it praises", "positive", ""),
        ("Label: negative", "negative", ""),
        ('{"label": "negative"}', "negative", ""),
        ('{"label": "negative", "why": 1}', "negative", ""),
        ("The text is clearly positive in tone", "positive", ""),
        ("I think very negative fits", "very_negative", ""),
        ("This is not positive", UNPARSEABLE, "negated"),
        ("It isn\u2019t really positive", UNPARSEABLE, "negated"),
        ("rather than positive", UNPARSEABLE, "negated"),
        ("nonpositive", UNPARSEABLE, "none"),
        ("positive, negative, very_negative", UNPARSEABLE, "ambiguous"),
        ("positive or negative", UNPARSEABLE, "ambiguous"),
        ("", UNPARSEABLE, "none"),
        ("neutral", UNPARSEABLE, "none"),
    ],
)
def test_extraction(output: str, label: str, detail: str) -> None:
    found, why, _ = extract(output, SENTIMENT, DEFAULT_OPTIONS)
    assert (found, why) == (label, detail)


def test_synonyms_are_read_as_their_label() -> None:
    options = ScoringOptions(label_synonyms={"good": "positive"})
    assert extract("Good!", SENTIMENT, options)[0] == "positive"
    assert extract("Good!", SENTIMENT, DEFAULT_OPTIONS)[0] == UNPARSEABLE


def values(gold: Sequence[str], outputs: Sequence[str], labels: Sequence[str]) -> dict[str, float]:
    contract = {"allowed_labels": list(labels)}
    items = [
        {"n": 1.0} | score({}, {"label": label}, output, contract, DEFAULT_OPTIONS).counts
        for label, output in zip(gold, outputs, strict=True)
    ]
    totals = summed(items)
    metrics = produced_metrics("classification", contract)
    return {key: float(metric.value(totals)) for key, metric in metrics.items()}


@pytest.mark.parametrize("seed", range(30))
def test_metrics_equal_sklearn(seed: int) -> None:
    generator = random.Random(seed)  # noqa: S311  seeded cases
    labels = [f"l{number}" for number in range(generator.randint(2, 6))]
    n = generator.randint(1, 40)
    gold = [generator.choice(labels[: generator.randint(1, len(labels))]) for _ in range(n)]
    outputs = [generator.choice([*labels, "none of them"]) for _ in range(n)]
    predicted = [output if output in labels else UNPARSEABLE for output in outputs]
    found = values(gold, outputs, labels)
    supported = sorted(set(gold))

    def oracle(average: str | None) -> tuple[Any, ...]:
        result: tuple[Any, ...] = precision_recall_fscore_support(
            gold, predicted, labels=supported, average=average, zero_division=0
        )
        return result

    assert found["accuracy"] == accuracy_score(gold, predicted)
    assert found["macro_f1"] == pytest.approx(oracle("macro")[2], abs=1e-12)
    assert found["balanced_accuracy"] == pytest.approx(oracle("macro")[1], abs=1e-12)
    assert found["weighted_f1"] == pytest.approx(oracle("weighted")[2], abs=1e-12)
    per_class = oracle(None)[2]
    assert found["min_per_class_f1"] == pytest.approx(min(list(per_class)), abs=1e-12)
    for label, f1 in zip(supported, list(per_class), strict=True):
        assert found[f"per_class.{label}.f1"] == pytest.approx(f1, abs=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mcc = matthews_corrcoef(gold, predicted)
    if not math.isnan(found["mcc"]):
        assert found["mcc"] == pytest.approx(mcc, abs=1e-12)


def test_mcc_of_one_class_is_undefined() -> None:
    assert math.isnan(values(["a", "a"], ["a", "b"], ["a", "b"])["mcc"])


def test_majority_model_has_high_accuracy_and_low_macro_f1() -> None:
    found = values(["a"] * 9 + ["b"], ["a"] * 10, ["a", "b"])
    assert found["accuracy"] == 0.9
    assert found["macro_f1"] == pytest.approx(18 / 19 / 2)


def test_label_without_gold_stays_out_of_the_mean() -> None:
    found = values(["a", "a", "b"], ["a", "c", "b"], ["a", "b", "c"])
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)


@pytest.mark.parametrize("seed", range(20))
def test_correcting_an_item_never_lowers_a_metric(seed: int) -> None:
    generator = random.Random(seed)  # noqa: S311  seeded cases
    labels = ["a", "b", "c"]
    gold = [generator.choice(labels) for _ in range(12)]
    outputs = [generator.choice([*labels, "unclear"]) for _ in gold]
    before = values(gold, outputs, labels)
    for at, label in enumerate(gold):
        after = values(gold, [*outputs[:at], label, *outputs[at + 1 :]], labels)
        for key in ("accuracy", "macro_f1", "balanced_accuracy", "min_per_class_f1"):
            assert after[key] >= before[key] - 1e-12
