"""Intervals and probabilities: fixed values, and independent libraries as oracles."""

import gc
import math
import random
from fractions import Fraction

import pytest
import scipy.optimize
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from brewslm.tasks.comparing import Verdict, exact_threshold, verdict_of
from brewslm.tasks.statistics import (
    beta_cdf,
    binomial_at_least,
    holm,
    mcnemar_p,
    power_preview,
    rows_for_difference,
    tango,
    wilson,
)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(45, 50, 0.7864, 0.9565), (20, 20, 0.8389, 1.0), (0, 20, 0.0, 0.1611)],
)
def test_wilson_fixed_values(k: int, n: int, low: float, high: float) -> None:
    assert wilson(k, n, 0.95) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_statsmodels(counts: tuple[int, int]) -> None:
    k, n = counts
    for confidence in (0.5, 0.9, 0.95, 0.999):
        wanted = proportion_confint(k, n, alpha=1 - confidence, method="wilson")
        assert wilson(k, n, confidence) == pytest.approx(wanted, abs=1e-12)


def test_wilson_covers_the_truth_at_50_rows() -> None:
    for percent in range(5, 96):
        p = percent / 100
        covered = math.fsum(
            scipy.stats.binom.pmf(k, 50, p)
            for k in range(51)
            if wilson(k, 50, 0.95)[0] <= p <= wilson(k, 50, 0.95)[1]
        )
        assert 0.92 <= covered <= 0.99


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_equals_statsmodels(gained: int, lost: int) -> None:
    wanted = mcnemar([[3, gained], [lost, 5]], exact=True).pvalue if gained + lost else 1.0
    assert mcnemar_p(gained, lost) == pytest.approx(wanted, abs=1e-12)


def test_mcnemar_of_thousands_of_pairs_is_a_number() -> None:
    assert 0 < mcnemar_p(1500, 1600) < 1


def test_tango_fixed_values() -> None:
    assert tango(12, 3, 100, 0.95) == pytest.approx((0.0160, 0.1737), abs=5e-5)
    z = scipy.stats.norm.ppf(0.975)
    assert tango(0, 0, 50, 0.95) == pytest.approx((-z * z / (50 + z * z), z * z / (50 + z * z)))
    assert mcnemar_p(12, 3) == 0.03515625


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(45, 200))
def test_tango_equals_restricted_likelihood(gained: int, lost: int, n: int) -> None:
    def statistic(delta: float) -> float:
        # p21 = q, p12 = q + delta; the likelihood is maximised over q.
        low, high = max(0.0, -delta), (1 - delta) / 2
        found = scipy.optimize.minimize_scalar(
            lambda q: (
                -(
                    gained * math.log(max(q + delta, 1e-300))
                    + lost * math.log(max(q, 1e-300))
                    + (n - gained - lost) * math.log(max(1 - 2 * q - delta, 1e-300))
                )
            ),
            bounds=(low, high),
            method="bounded",
            options={"xatol": 1e-13},
        )
        return (gained - lost - n * delta) / math.sqrt(n * (2 * found.x + delta - delta * delta))

    z = scipy.stats.norm.ppf(0.975)
    centre = (gained - lost) / n
    low, high = tango(gained, lost, n, 0.95)
    assert statistic(low) == pytest.approx(z, abs=1e-4)
    assert statistic(high) == pytest.approx(-z, abs=1e-4)
    assert low < centre < high


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_equals_statsmodels(p_values: list[float]) -> None:
    gc.freeze()  # it collects garbage at every call, which takes long with torch loaded
    wanted = multipletests(p_values, method="holm")[1]
    gc.unfreeze()
    assert holm(p_values) == pytest.approx(list(wanted), abs=1e-12)


@given(st.floats(0.001, 0.999), st.floats(0.5, 600), st.floats(0.5, 600))
def test_beta_equals_scipy(x: float, a: float, b: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(scipy.stats.beta.cdf(x, a, b), abs=1e-9)


@given(st.integers(0, 60), st.integers(1, 60), st.floats(0.01, 0.99))
def test_binomial_tail_equals_scipy(k: int, n: int, p: float) -> None:
    assert binomial_at_least(k, n, p) == pytest.approx(scipy.stats.binom.sf(k - 1, n, p), abs=1e-9)


@pytest.mark.parametrize(
    ("n", "decide_on", "needed", "at_bar", "for_80"),
    [
        (50, "point", 43, 0.52, 0.887),
        (50, "lower", 48, 0.01, 0.970),
        (200, "point", 170, 0.55, 0.868),
        (200, "lower", 180, 0.03, 0.914),
        (1000, "point", 850, 0.52, 0.859),
        (1000, "lower", 873, 0.02, 0.882),
    ],
)
def test_power_preview_table(
    n: int, decide_on: str, needed: int, at_bar: float, for_80: float
) -> None:
    found = power_preview(n, 0.85, decide_on, 0.95)
    assert found.k_needed == needed
    assert found.pass_probabilities[2][1] == pytest.approx(at_bar, abs=0.006)
    assert found.value_for_80_percent == pytest.approx(for_80, abs=0.0016)


@pytest.mark.case("EVA-03")
def test_no_result_of_20_rows_passes_a_lower_bound_of_85_percent() -> None:
    assert power_preview(20, 0.85, "lower", 0.95).k_needed is None


def test_rows_for_a_paired_difference() -> None:
    wanted = [rows_for_difference(*case) for case in ((0.03, 0.10), (0.05, 0.15), (0.02, 0.08))]
    assert wanted == [870, 469, 1568]


def test_k_of_n_equal_to_the_threshold_passes_up_to_500_rows() -> None:
    for n in range(1, 501):
        for hundredths in range(101):
            k, rest = divmod(hundredths * n, 100)
            if rest == 0:
                bar = exact_threshold(hundredths / 100)
                assert verdict_of(Fraction(k, n), None, bar, "point") is Verdict.PASS


def test_chance_of_a_wrong_verdict_is_calibrated() -> None:
    generator = random.Random(7)  # noqa: S311  seeded cases
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(10)]
    for _ in range(8_000):
        truth = generator.betavariate(0.5, 0.5)
        k = sum(generator.random() < truth for _ in range(20))
        chance = _beta_table(k)
        bins[min(9, int(chance * 10))].append((chance, truth < 0.7))
    for members in bins:
        if len(members) > 1500:
            said = sum(chance for chance, _ in members) / len(members)
            came = sum(is_below for _, is_below in members) / len(members)
            assert abs(said - came) < 0.02


_TABLE: dict[int, float] = {}


def _beta_table(k: int) -> float:
    if k not in _TABLE:
        _TABLE[k] = beta_cdf(0.7, k + 0.5, 20 - k + 0.5)
    return _TABLE[k]
