"""Comparing stored numbers with a threshold: exactly, in the direction of a gate."""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any

from brewslm.tasks.statistics import (
    Interval,
    bca_levels,
    beta_cdf,
    quantile,
    tango,
    wilson,
)

_DECIMALS = 12
STORED_CONFIDENCE = 0.95


class Verdict(StrEnum):
    """Outcome of a gate; `rank` orders them from the one that wins a combination."""

    FAIL = "FAIL"
    ERROR = "ERROR"
    INCONCLUSIVE = "INCONCLUSIVE"
    PASS = "PASS"  # noqa: S105  an outcome, no password

    @property
    def rank(self) -> int:
        """0 for FAIL, 3 for PASS."""
        return list(Verdict).index(self)


def exact_threshold(threshold: float) -> Fraction:
    """Return the decimal that was written, not the double that is nearest to it."""
    return Fraction(Decimal(repr(threshold)))


def exact_value(estimate: Mapping[str, Any]) -> Fraction:
    """Return k/n of a proportion as it is, any other value rounded to 12 decimals."""
    if estimate["kind"] == "proportion":
        return Fraction(estimate["k"]) / Fraction(estimate["n"])
    return rounded(estimate["value"])


def rounded(value: float) -> Fraction:
    """Return a value rounded to 12 decimals."""
    return Fraction(Decimal(repr(round(value, _DECIMALS))))


def interval_of(estimate: Mapping[str, Any], confidence: float) -> Interval | None:
    """Return the interval of a stored estimate at a confidence, None where it has none."""
    if estimate.get("interval") is None:
        return None
    if estimate["method"] == "wilson":
        return wilson(estimate["k"], estimate["n"], confidence)
    return bootstrap_interval(estimate, confidence)


def bootstrap_interval(drawn: Mapping[str, Any], confidence: float) -> Interval:
    """Return the interval of stored draws: exact at 0.95, from their quantiles elsewhere."""
    if confidence == STORED_CONFIDENCE:
        return drawn["interval"][0], drawn["interval"][1]
    levels = bca_levels(drawn["share_below"], drawn["acceleration"], confidence)
    return quantile(drawn["quantiles"], levels[0]), quantile(drawn["quantiles"], levels[1])


def paired_interval(
    comparison: Mapping[str, Any], method: str, confidence: float
) -> tuple[Interval, float, str] | None:
    """Return interval, p and method of a stored difference; auto prefers McNemar and Tango."""
    pairs, drawn = comparison.get("mcnemar"), comparison.get("paired_bootstrap")
    if method in ("auto", "mcnemar") and pairs:
        ends = tango(pairs["gained"], pairs["lost"], pairs["n"], confidence)
        return ends, pairs["p"], "mcnemar"
    if method in ("auto", "paired_bootstrap") and drawn:
        return bootstrap_interval(drawn, confidence), drawn["p"], "paired_bootstrap"
    return None


def verdict_of(value: Fraction, ends: Interval | None, bar: Fraction, bound: str) -> Verdict:
    """Return the outcome of `at least bar`, equality passing.

    bound: point, careful (the low end has to reach it) or lenient (the high end does).
    """
    if bound == "point":
        return Verdict.PASS if value >= bar else Verdict.FAIL
    if ends is None:
        return Verdict.INCONCLUSIVE
    low, high = rounded(ends[0]), rounded(ends[1])
    if bound == "lenient":
        return Verdict.PASS if high >= bar else Verdict.FAIL
    if low >= bar:
        return Verdict.PASS
    return Verdict.FAIL if high < bar else Verdict.INCONCLUSIVE


def chance_below(estimate: Mapping[str, Any], threshold: float) -> float | None:
    """Return the probability that the true value is under a threshold, given these rows.

    Source: Brown, Cai and DasGupta, Interval Estimation for a Binomial Proportion (2001): the
    Jeffreys prior.
    """
    if estimate["kind"] == "proportion" or estimate.get("method") == "wilson":
        k, n = estimate["k"], estimate["n"]
        return beta_cdf(threshold, k + 0.5, n - k + 0.5)
    if "quantiles" not in estimate:
        return None
    return share_below(estimate["quantiles"], estimate["draws"], threshold)


def share_below(quantiles: Sequence[float], draws: int, threshold: float) -> float:
    """Return the smoothed share of draws under a threshold, equal ones counting half."""
    below = sum(value < threshold for value in quantiles)
    equal = sum(value == threshold for value in quantiles)
    share = (below + equal / 2) / len(quantiles)
    return (share * draws + 0.5) / (draws + 1)


def mirrored(ends: Interval | None) -> Interval | None:
    """Return an interval of the negated quantity."""
    return None if ends is None else (-ends[1], -ends[0])


def is_number(value: Any) -> bool:
    """Return whether a stored value is a finite number."""
    return isinstance(value, (int, float)) and math.isfinite(value)
