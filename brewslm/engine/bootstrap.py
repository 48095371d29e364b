"""BCa bootstrap of metrics, alone and paired, over shared index draws."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from brewslm.tasks.arithmetic import Number, Totals
from brewslm.tasks.metric import Metric
from brewslm.tasks.statistics import bca_levels

DRAWS = 9_999
SEED = 42
QUANTILES = 1_001
FEWEST_ITEMS = 10
CONFIDENCE = 0.95
_FEWEST_DEFINED_SHARE = 0.9
_CHUNK_CELLS = 4_000_000
_DECIMALS = 12


class VectorArithmetic:
    """The operations of metric formulas on arrays, one element a draw."""

    def ratio(self, numerator: Number, denominator: Number) -> Number:
        """Return the quotient, NaN where the denominator is 0."""
        return self._divided(numerator, denominator, np.nan)

    def ratio_or_zero(self, numerator: Number, denominator: Number) -> Number:
        """Return the quotient, 0 where the denominator is 0."""
        return self._divided(numerator, denominator, 0.0)

    def mean_where(self, values: Sequence[Number], supports: Sequence[Number]) -> Number:
        """Return the mean of the values whose support is above 0, NaN if there is none."""
        total: Number = 0.0
        kept: Number = 0.0
        for value, support in zip(values, supports, strict=True):
            is_kept = np.asarray(support) > 0
            total = total + np.where(is_kept, value, 0.0)
            kept = kept + is_kept
        return self.ratio(total, kept)

    def min_where(self, values: Sequence[Number], supports: Sequence[Number]) -> Number:
        """Return the smallest of the values whose support is above 0, NaN if there is none."""
        smallest: Number = np.inf
        for value, support in zip(values, supports, strict=True):
            smallest = np.minimum(smallest, np.where(np.asarray(support) > 0, value, np.inf))
        return np.where(np.isinf(smallest), np.nan, smallest)

    def sqrt(self, value: Number) -> Number:
        """Return the square root of a value that is not negative."""
        return np.sqrt(value)

    def exp(self, value: Number) -> Number:
        """Return e to the value, infinity beyond a double."""
        with np.errstate(over="ignore"):
            return np.exp(value)

    def _divided(self, numerator: Number, denominator: Number, otherwise: float) -> Number:
        bottom = np.asarray(denominator, dtype=float)
        is_defined = bottom != 0
        if is_defined.all():
            return np.asarray(numerator, dtype=float) / bottom
        quotient = np.asarray(numerator, dtype=float) / np.where(is_defined, bottom, 1.0)
        return np.where(is_defined, quotient, otherwise)


VECTOR = VectorArithmetic()


@dataclass(frozen=True)
class Resampled:
    """Summed counts of every bootstrap draw and of every jackknife sample, by count name."""

    items: int
    draws: Totals
    jackknife: Totals
    values: dict[Metric, tuple[Any, Any]] = field(default_factory=dict)
    """What metrics come to, once they were asked for."""


def resampled(
    samples: Mapping[str, Sequence[Mapping[str, float]]], rows_digest: str, draws: int = DRAWS
) -> dict[str, Resampled]:
    """Return the sums that draws over the items of each sample yield, by its name.

    The draws depend on the digest and the number of items alone, so that all metrics and roles
    share them. samples: counts of each item, ordered by row_id.
    """
    tables = {name: _Table.of(counts) for name, counts in samples.items()}
    parts: dict[str, list[Any]] = {name: [] for name in tables}
    for n in sorted({len(table.cells) for table in tables.values()}):
        alike = [name for name, table in tables.items() if len(table.cells) == n]
        for weights in _weights(n, rows_digest, draws):
            for name in alike:
                parts[name].append(weights @ tables[name].cells)
    return {name: table.resampled(np.concatenate(parts[name])) for name, table in tables.items()}


@dataclass(frozen=True)
class _Table:
    """Counts of items, (items, counts)."""

    names: list[str]
    cells: Any

    @classmethod
    def of(cls, counts: Sequence[Mapping[str, float]]) -> "_Table":
        names = sorted({name for item in counts for name in item})
        cells = np.array([[item.get(name, 0.0) for name in names] for item in counts], dtype=float)
        return cls(names, cells.reshape(len(counts), len(names)))

    def resampled(self, sums: Any) -> Resampled:
        """sums: of each draw, (draws, counts)."""
        without_one = self.cells.sum(axis=0) - self.cells  # (items, counts)
        # Metrics read column after column: each in one piece is several times as fast.
        drawn, left_out = np.ascontiguousarray(sums.T), np.ascontiguousarray(without_one.T)
        return Resampled(
            len(self.cells),
            Totals(dict(zip(self.names, drawn, strict=True))),
            Totals(dict(zip(self.names, left_out, strict=True))),
        )


def _weights(n: int, rows_digest: str, draws: int) -> Iterator[Any]:
    """Yield how often each of n items is in each draw, (draws, n), some draws at a time."""
    generator = np.random.Generator(np.random.Philox(key=_key(rows_digest)))
    size = max(1, _CHUNK_CELLS // max(n, 1))
    for start in range(0, draws, size):
        picks = generator.integers(0, n, size=(min(size, draws - start), n))
        offsets: Any = np.arange(len(picks))[:, None] * n
        counted = np.bincount((picks + offsets).ravel(), minlength=picks.size)
        yield counted.reshape(picks.shape).astype(float)


def metric_draws(metric: Metric, sums: Resampled) -> tuple[Any, Any]:
    """Return a metric's bootstrap distribution (draws,) and jackknife values (items,).

    Its interval and each comparison ask for the same; they are computed once.
    """
    if metric in sums.values:
        return sums.values[metric]
    drawn = np.broadcast_to(
        np.asarray(metric.value(sums.draws, VECTOR), dtype=float), _length(sums.draws)
    )
    left_out = np.broadcast_to(
        np.asarray(metric.value(sums.jackknife, VECTOR), dtype=float), _length(sums.jackknife)
    )
    sums.values[metric] = drawn, left_out
    return drawn, left_out


def bca(
    estimate: float, distribution: Any, jackknife: Any, *, quantiles: int = QUANTILES
) -> dict[str, Any] | None:
    """Return ends, bias, acceleration and quantiles of a BCa interval, None where undefined.

    It is undefined when a tenth of the draws has no value, when all items are alike, or when all
    draws fall on one side of the estimate.
    Source: Efron, Better Bootstrap Confidence Intervals (1987).
    """
    drawn = distribution[np.isfinite(distribution)]
    if len(drawn) < _FEWEST_DEFINED_SHARE * len(distribution) or not np.isfinite(jackknife).all():
        return None
    deviations = jackknife.mean() - jackknife
    spread = float((deviations**2).sum())
    if np.ptp(jackknife) <= 1e-14 or spread <= 0:
        return None
    # Sums in another order differ in the last bits; equal values have to count as ties.
    rounded, centre = np.round(drawn, _DECIMALS), round(estimate, _DECIMALS)
    share_below = float((rounded < centre).mean() + (rounded == centre).mean() / 2)
    if not 0 < share_below < 1:
        return None
    acceleration = float((deviations**3).sum()) / (6 * spread**1.5)
    low, high = np.quantile(drawn, bca_levels(share_below, acceleration, CONFIDENCE))
    return {
        "interval": [float(low), float(high)],
        "share_below": share_below,
        "acceleration": acceleration,
        "draws": len(drawn),
        "quantiles": [
            round(float(value), _DECIMALS)
            for value in np.quantile(drawn, np.linspace(0, 1, quantiles))
        ],
    }


def sign_p(distribution: Any) -> float:
    """Return the two-sided p of a paired difference from its bootstrap distribution."""
    drawn = np.round(distribution[np.isfinite(distribution)], _DECIMALS)
    if not len(drawn):
        return 1.0
    smaller_side = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return min(1.0, 2 * (smaller_side + 1) / (len(drawn) + 1))


def _length(totals: Totals) -> int:
    return len(next(iter(totals.values())))


def _key(rows_digest: str) -> int:
    text = f"brewslm.bootstrap.v1\n{SEED}\n{rows_digest}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
