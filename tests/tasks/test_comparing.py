"""A stored number is compared as exactly as it was counted, and equality passes."""

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.tasks.comparing import Verdict, exact_value, is_number, verdict_of


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_proportion_is_its_fraction(counts: tuple[int, int]) -> None:
    k, n = counts
    stored = {"kind": "proportion", "k": k, "n": n, "value": k / n}
    assert exact_value(stored) == Fraction(k, n)


@pytest.mark.parametrize("bound", ["point", "careful", "lenient"])
def test_what_reaches_the_bar_exactly_passes(bound: str) -> None:
    bar, ends = Fraction(1, 2), {"careful": (0.5, 0.9), "lenient": (0.1, 0.5)}.get(bound)
    assert verdict_of(bar, ends, bar, bound) is Verdict.PASS
    above = bar + Fraction(1, 10**9)
    missed = {"careful": Verdict.INCONCLUSIVE}.get(bound, Verdict.FAIL)
    assert verdict_of(bar, ends, above, bound) is missed


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, None, "0.5"])
def test_only_finite_numbers_are_compared(value: Any) -> None:
    assert not is_number(value)
