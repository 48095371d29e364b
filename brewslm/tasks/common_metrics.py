"""Metrics that every generating task has, and the counts they are made of."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from brewslm.tasks.arithmetic import Arithmetic, Number, Totals
from brewslm.tasks.metric import Metric, MetricKind, proportion

_CHAT_MARKUP = re.compile(
    r"<\|[^|\n]*\|>|</?s>|\[/?INST\]|^(?:Human:|User:|Assistant:|### Instruction)", re.MULTILINE
)
_REPEATED_WORDS = 4
_REPEATED_TIMES = 5


def output_counts(output: str, reference_text: str | None) -> dict[str, float]:
    """Return the counts of one output that do not depend on the task."""
    words = output.split()
    counts = {"n": 1.0, "output_words": float(len(words))}
    if reference_text is not None:
        counts["reference_words"] = float(len(reference_text.split()))
    if _CHAT_MARKUP.search(output):
        counts["stray_tag"] = 1.0
    if is_repetitive(words):
        counts["repetition"] = 1.0
    return counts


def is_repetitive(words: list[str]) -> bool:
    """Return whether some run of four words occurs five times or more."""
    runs = zip(*(words[offset:] for offset in range(_REPEATED_WORDS)), strict=False)
    return max(Counter(runs).values(), default=0) >= _REPEATED_TIMES


def likelihood_counts(
    prediction: Mapping[str, Any], baseline: Mapping[str, Any] | None
) -> dict[str, float]:
    """Return the counts of the teacher-forced reference, paired with the baseline's if given."""
    if not prediction.get("nll_tokens"):
        return {}
    counts = {
        "nll_sum": float(prediction["nll_sum"]),
        "nll_tokens": float(prediction["nll_tokens"]),
    }
    if baseline is not None and baseline.get("nll_tokens"):
        counts["base_nll_sum"] = float(baseline["nll_sum"])
        counts["base_nll_tokens"] = float(baseline["nll_tokens"])
        counts["paired_nll_sum"] = counts["nll_sum"]
        counts["paired_nll_tokens"] = counts["nll_tokens"]
    return counts


def chance_counts(score: float, others: Sequence[float]) -> dict[str, float]:
    """Return the counts of `score_above_chance`: an item's score with its own reference, and its
    mean score with those of other rows.
    """
    return {"own_score": score, "chance_score": sum(others) / len(others) if others else 0.0}


def _perplexity(totals: Totals, arithmetic: Arithmetic) -> Number:
    return arithmetic.exp(arithmetic.ratio(totals["nll_sum"], totals["nll_tokens"]))


def _nll_gain(totals: Totals, arithmetic: Arithmetic) -> Number:
    return arithmetic.ratio(totals["base_nll_sum"], totals["base_nll_tokens"]) - arithmetic.ratio(
        totals["paired_nll_sum"], totals["paired_nll_tokens"]
    )


def _above_chance(totals: Totals, arithmetic: Arithmetic) -> Number:
    """Return how far answers are better than the same answers dealt to other rows.

    An answer that does not depend on its row gets 0, a right one 1. Source: Cohen, A Coefficient
    of Agreement for Nominal Scales (1960), with the item's score in place of agreement.
    """
    chance = totals["chance_score"]
    return arithmetic.ratio(totals["own_score"] - chance, totals["n"] - chance)


def _status_rate(status: str) -> Metric:
    return proportion(
        f"{status}_rate",
        f"status:{status}",
        f"share of items with status {status}",
        higher_is_better=False,
    )


COMMON_METRICS: tuple[Metric, ...] = (
    _status_rate("empty"),
    _status_rate("truncated"),
    _status_rate("prompt_too_long"),
    proportion(
        "error_rate",
        "status:error",
        "share of rows that the machinery failed on",
        denominator="rows",
        higher_is_better=False,
    ),
    proportion(
        "stray_tag_rate",
        "stray_tag",
        "share of outputs with chat markup as text",
        higher_is_better=False,
    ),
    proportion(
        "repetition_rate",
        "repetition",
        "share of outputs in which four words repeat five times or more",
        higher_is_better=False,
    ),
    proportion(
        "echo_rate",
        "echo",
        "share of outputs that begin by repeating the prompt, where the reference does not",
        higher_is_better=False,
    ),
    proportion(
        "false_refusal_rate",
        "false_refusal",
        "share of outputs that begin with a refusal, where the reference does not",
        higher_is_better=False,
    ),
    proportion(
        "stray_json_rate",
        "stray_json",
        "share of outputs that begin like JSON, where the reference does not",
        higher_is_better=False,
    ),
    proportion(
        "look_alike_rate",
        "look_alike",
        "share of outputs with words of look-alike letters, where prompt and reference have none",
        higher_is_better=False,
    ),
    Metric(
        "score_above_chance",
        MetricKind.RATIO,
        "mean item score beyond that of the same outputs dealt to other rows; 0 is no better",
        low=float("-inf"),
        formula=_above_chance,
    ),
    Metric(
        "length_ratio",
        MetricKind.RATIO,
        "words of outputs per word of first references; 1 is par",
        None,
        high=None,
        numerator="output_words",
        denominator="reference_words",
        unit="ratio",
    ),
    Metric(
        "mean_nll",
        MetricKind.RATIO,
        "nats per token of the reference after the prompt",
        False,
        high=None,
        numerator="nll_sum",
        denominator="nll_tokens",
        unit="nats per token",
        needs=("nll",),
    ),
    Metric(
        "perplexity",
        MetricKind.RATIO,
        "e to the mean_nll",
        False,
        low=1.0,
        high=None,
        formula=_perplexity,
        unit="perplexity",
        needs=("nll",),
    ),
    Metric(
        "nll_gain",
        MetricKind.RATIO,
        "nats per token that the reference became likelier than under the baseline",
        low=float("-inf"),
        high=None,
        formula=_nll_gain,
        unit="nats per token",
        needs=("nll", "baseline"),
        definition_version=2,
    ),
    Metric(
        "mean_new_tokens",
        MetricKind.MEASURED,
        "generated tokens per output",
        None,
        high=None,
        numerator="new_tokens",
        unit="tokens",
        is_gateable=False,
    ),
)
