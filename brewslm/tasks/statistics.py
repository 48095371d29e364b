"""Intervals, tests and probabilities in plain Python.

Everything that plan and a changed threshold need is here; only the bootstrap draws themselves are
made elsewhere, with an array library, and stored.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import NormalDist

from msgspec import Struct

_NORMAL = NormalDist()
_TINY = 1e-300
_FRACTION_STEPS = 500
_BISECTION_STEPS = 200

Interval = tuple[float, float]


def z_of(confidence: float) -> float:
    """Return the normal quantile of a two-sided interval, 1.96 for 0.95."""
    return _NORMAL.inv_cdf((1 + confidence) / 2)


def wilson(k: float, n: float, confidence: float) -> Interval:
    """Return the score interval of a proportion.

    Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference (1927).
    """
    z = z_of(confidence)
    p = k / n
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / scale
    low = 0.0 if k == 0 else max(0.0, centre - half)
    high = 1.0 if k == n else min(1.0, centre + half)
    return low, high


def mcnemar_p(gained: int, lost: int) -> float:
    """Return the exact two-sided p of as many gained and lost items, 1 without any."""
    total = gained + lost
    if total == 0:
        return 1.0
    tail = sum(math.comb(total, x) for x in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / (1 << total))


@lru_cache(maxsize=4096)
def tango(gained: int, lost: int, n: int, confidence: float) -> Interval:
    """Return the score interval of a paired difference of proportions.

    Source: Tango, Equivalence Test and Confidence Interval for the Difference in Proportions for
    the Paired-Sample Design (1998).
    """
    z = z_of(confidence)
    estimate = (gained - lost) / n

    def statistic(delta: float) -> float:
        return _tango_statistic(gained, lost, n, delta)

    # The statistic falls with delta; it is 0 at the estimate.
    low = _root(lambda delta: statistic(delta) - z, -1.0, estimate)
    high = _root(lambda delta: statistic(delta) + z, estimate, 1.0)
    return low, high


def holm(p_values: Sequence[float]) -> list[float]:
    """Return adjusted p values, in the order given.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure (1979).
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = highest
    return adjusted


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the probability that a Beta(a, b) variable is at most x.

    Source: Press et al., Numerical Recipes (2007), section 6.4: Lentz's continued fraction.
    """
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return math.exp(log_front) * _beta_fraction(x, a, b) / a
    return 1 - math.exp(log_front) * _beta_fraction(1 - x, b, a) / b


def binomial_at_least(k: int, n: int, p: float) -> float:
    """Return the probability of k or more successes in n."""
    if k <= 0:
        return 1.0
    return 0.0 if k > n else beta_cdf(p, k, n - k + 1)


def bca_levels(share_below: float, acceleration: float, confidence: float) -> Interval:
    """Return the levels of the bootstrap distribution at which a BCa interval ends.

    Source: Efron, Better Bootstrap Confidence Intervals (1987).
    """
    z0 = _NORMAL.inv_cdf(share_below)
    z = z_of(confidence)

    def level(shift: float) -> float:
        moved = z0 + shift
        return _NORMAL.cdf(z0 + moved / (1 - acceleration * moved))

    return level(-z), level(z)


def quantile(quantiles: Sequence[float], level: float) -> float:
    """Return the value at a level in [0, 1] of evenly spaced quantiles, linear in between."""
    at = level * (len(quantiles) - 1)
    left = min(int(at), len(quantiles) - 2)
    return quantiles[left] + (quantiles[left + 1] - quantiles[left]) * (at - left)


class Power(Struct, frozen=True):
    """What n rows can tell about a proportion gate."""

    n: int
    k_needed: int | None
    """Fewest items (for lte: most) that pass; None where no result passes."""
    pass_probabilities: tuple[tuple[float, float], ...]
    """True value and the probability that such a model passes."""
    value_for_80_percent: float | None
    """True value that passes with probability .80."""


_OFFSETS = (-0.05, -0.03, 0.0, 0.03, 0.05)


@lru_cache(maxsize=256)
def power_preview(n: int, threshold: float, decide_on: str, confidence: float) -> Power:
    """Return what n rows can tell about a gate that asks for at least `threshold`."""
    needed = smallest_passing(n, threshold, decide_on, confidence)
    if needed is None:
        return Power(n, None, (), None)
    values = [min(1.0, max(0.0, threshold + offset)) for offset in _OFFSETS]
    probabilities = tuple((value, binomial_at_least(needed, n, value)) for value in values)
    wanted = _root(lambda p: 0.8 - binomial_at_least(needed, n, p), 0.0, 1.0) if needed else 0.0
    return Power(n, needed, probabilities, wanted)


def smallest_passing(n: int, threshold: float, decide_on: str, confidence: float) -> int | None:
    """Return the smallest k of n whose compared number reaches the threshold, None if none does."""
    low, high = 0, n + 1
    while low < high:
        middle = (low + high) // 2
        if middle > n or _compared(middle, n, decide_on, confidence) >= threshold:
            high = middle
        else:
            low = middle + 1
    return low if low <= n else None


def rows_for_difference(delta: float, discordant_share: float, confidence: float = 0.95) -> int:
    """Return the rows at which a paired difference is seen with 80 % power.

    Source: Connor, Sample Size for Testing Differences in Proportions for the Paired-Sample
    Design (1987).
    """
    z_alpha, z_beta = z_of(confidence), _NORMAL.inv_cdf(0.8)
    spread = z_alpha * math.sqrt(discordant_share)
    spread += z_beta * math.sqrt(discordant_share - delta * delta)
    return math.ceil(spread * spread / (delta * delta))


def _compared(k: int, n: int, decide_on: str, confidence: float) -> float:
    if decide_on == "point":
        return k / n
    return wilson(k, n, confidence)[0 if decide_on == "lower" else 1]


def _tango_statistic(gained: int, lost: int, n: int, delta: float) -> float:
    a = 2 * n
    b = -gained - lost + (2 * n - gained + lost) * delta
    c = -lost * delta * (1 - delta)
    q = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = n * (2 * q + delta * (1 - delta))
    distance = gained - lost - n * delta
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a falling function crosses 0 between two ends; an end where it does not."""
    for _ in range(_BISECTION_STEPS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if function(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta_fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, _away_from_zero(1 - (a + b) * x / (a + 1))
    d = 1 / d
    result = d
    for m in range(1, _FRACTION_STEPS):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away_from_zero(1 + numerator * d)
            c = _away_from_zero(1 + numerator / c)
            result *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return result


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
