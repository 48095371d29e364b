"""The few operations that metric formulas are written in.

A formula is stated once, on summed counts, and evaluated on plain floats here and on arrays of
bootstrap draws in the engine. NaN stands for an undefined value and travels through everything.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

Number = Any
"""A float, or an array with one element a bootstrap draw."""


class Totals(dict[str, Number]):
    """Sums of item counts by name; a name that no item counted is 0."""

    def __missing__(self, name: str) -> Number:
        """Return the sum of nothing."""
        return 0.0


class Arithmetic(Protocol):
    """Operations that need more than + - * and have edges worth naming."""

    def ratio(self, numerator: Number, denominator: Number) -> Number:
        """Return the quotient, NaN where the denominator is 0."""
        ...

    def ratio_or_zero(self, numerator: Number, denominator: Number) -> Number:
        """Return the quotient, 0 where the denominator is 0."""
        ...

    def mean_where(self, values: Sequence[Number], supports: Sequence[Number]) -> Number:
        """Return the mean of the values whose support is above 0, NaN if there is none."""
        ...

    def min_where(self, values: Sequence[Number], supports: Sequence[Number]) -> Number:
        """Return the smallest of the values whose support is above 0, NaN if there is none."""
        ...

    def sqrt(self, value: Number) -> Number:
        """Return the square root of a value that is not negative."""
        ...

    def exp(self, value: Number) -> Number:
        """Return e to the value, infinity beyond a double."""
        ...


class PlainArithmetic:
    """The operations on plain floats."""

    def ratio(self, numerator: Number, denominator: Number) -> Number:
        """Return the quotient, NaN where the denominator is 0."""
        return numerator / denominator if denominator else math.nan

    def ratio_or_zero(self, numerator: Number, denominator: Number) -> Number:
        """Return the quotient, 0 where the denominator is 0."""
        return numerator / denominator if denominator else 0.0

    def mean_where(self, values: Sequence[Number], supports: Sequence[Number]) -> Number:
        """Return the mean of the values whose support is above 0, NaN if there is none."""
        kept = _supported(values, supports)
        return math.fsum(kept) / len(kept) if kept else math.nan

    def min_where(self, values: Sequence[Number], supports: Sequence[Number]) -> Number:
        """Return the smallest of the values whose support is above 0, NaN if there is none."""
        return min(_supported(values, supports), default=math.nan)

    def sqrt(self, value: Number) -> Number:
        """Return the square root of a value that is not negative."""
        return math.sqrt(value)

    def exp(self, value: Number) -> Number:
        """Return e to the value, infinity beyond a double."""
        try:
            return math.exp(value)
        except OverflowError:
            return math.inf


PLAIN = PlainArithmetic()


def summed(items: Iterable[Mapping[str, float]]) -> Totals:
    """Return exactly rounded sums of counts, so that the order of items does not matter."""
    parts: dict[str, list[float]] = {}
    for counts in items:
        for name, value in counts.items():
            parts.setdefault(name, []).append(value)
    return Totals({name: math.fsum(values) for name, values in sorted(parts.items())})


def _supported(values: Sequence[Number], supports: Sequence[Number]) -> list[Number]:
    return [value for value, support in zip(values, supports, strict=True) if support > 0]
