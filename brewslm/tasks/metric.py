"""What a metric is: its kind, range and direction, and its formula on summed counts."""

import re
from collections.abc import Callable, Iterable
from enum import StrEnum

from msgspec import Struct

from brewslm.tasks.arithmetic import PLAIN, Arithmetic, Number, Totals

Formula = Callable[[Totals, Arithmetic], Number]

_SLUG_BREAK = re.compile(r"[\W_]+")


class MetricKind(StrEnum):
    """How a value is made of items, which also fixes its interval."""

    PROPORTION = "proportion"
    """k of n; Wilson."""
    MEAN = "mean"
    """Mean of item scores; BCa bootstrap over items."""
    RATIO = "ratio"
    """Formula of pooled counts; BCa bootstrap, pooled again in each draw."""
    MEASURED = "measured"
    """A property of the run, without an interval."""


class Metric(Struct, frozen=True):
    """A metric as data; `numerator` and `denominator` name the counts of proportions and means."""

    metric_id: str
    kind: MetricKind
    description: str
    higher_is_better: bool | None = True
    """None where neither direction is better."""
    low: float = 0.0
    high: float | None = 1.0
    """None where there is no upper end."""
    numerator: str = ""
    denominator: str = "n"
    formula: Formula | None = None
    unit: str = "share"
    normaliser: str = "none"
    needs: tuple[str, ...] = ()
    """Columns or roles without which the metric has no value."""
    synonyms: tuple[str, ...] = ()
    is_gateable: bool = True
    """Whether a required gate may name it."""
    definition_version: int = 1

    def value(self, totals: Totals, arithmetic: Arithmetic = PLAIN) -> Number:
        """Return the metric's value of summed counts, NaN where it is undefined."""
        if self.formula is not None:
            return self.formula(totals, arithmetic)
        return arithmetic.ratio(totals[self.numerator], totals[self.denominator])

    @property
    def lock(self) -> dict[str, object]:
        """What has to be equal for two values of this metric to be comparable."""
        return {
            "definition_version": self.definition_version,
            "kind": str(self.kind),
            "normaliser": self.normaliser,
        }

    def is_in_range(self, value: float) -> bool:
        """Return whether the metric could have this value."""
        return self.low <= value and (self.high is None or value <= self.high)


def proportion(
    metric_id: str,
    numerator: str,
    description: str,
    *,
    denominator: str = "n",
    higher_is_better: bool | None = True,
    normaliser: str = "none",
    synonyms: tuple[str, ...] = (),
) -> Metric:
    """Return a metric that is k of n items."""
    return Metric(
        metric_id,
        MetricKind.PROPORTION,
        description,
        higher_is_better,
        numerator=numerator,
        denominator=denominator,
        normaliser=normaliser,
        synonyms=synonyms,
    )


def mean(
    metric_id: str,
    numerator: str,
    description: str,
    *,
    normaliser: str = "none",
    synonyms: tuple[str, ...] = (),
) -> Metric:
    """Return a metric that is the mean of item scores in [0, 1], higher being better."""
    return Metric(
        metric_id,
        MetricKind.MEAN,
        description,
        numerator=numerator,
        normaliser=normaliser,
        synonyms=synonyms,
    )


def pooled(
    metric_id: str,
    formula: Formula,
    description: str,
    *,
    low: float = 0.0,
    is_gateable: bool = True,
    normaliser: str = "none",
    synonyms: tuple[str, ...] = (),
) -> Metric:
    """Return a metric in [low, 1] computed from pooled counts, higher being better."""
    return Metric(
        metric_id,
        MetricKind.RATIO,
        description,
        low=low,
        formula=formula,
        normaliser=normaliser,
        synonyms=synonyms,
        is_gateable=is_gateable,
    )


def slug(name: str) -> str:
    """Return a label or field as part of a metric id: lower case, other characters as `_`."""
    return _SLUG_BREAK.sub("_", name.lower()).strip("_")


def colliding_names(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the slugs that several names share; metrics of such names are not produced."""
    by_slug: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        by_slug.setdefault(slug(name), []).append(name)
    return {key: tuple(items) for key, items in by_slug.items() if len(items) > 1}


def nameable(names: Iterable[str]) -> list[str]:
    """Return the names, each once and in order, whose slug is not empty and theirs alone."""
    kept = list(dict.fromkeys(names))
    taken = colliding_names(kept)
    return [name for name in kept if slug(name) and slug(name) not in taken]


def class_metrics(names: Iterable[str]) -> list[Metric]:
    """Return precision, recall, F1 and support of each class, from `tp:`, `pred:` and `gold:`."""
    metrics = []
    for name in nameable(names):
        prefix = f"per_class.{slug(name)}"
        for key, formula in (
            ("precision", _class_precision(name)),
            ("recall", _class_recall(name)),
            ("f1", _class_f1(name)),
        ):
            metrics.append(
                pooled(
                    f"{prefix}.{key}",
                    formula,
                    f"{key} of class {name}",
                    synonyms=(f"{key}_{slug(name)}",),
                )
            )
        metrics.append(counted(f"{prefix}.support", f"gold:{name}", f"gold items of class {name}"))
    return metrics


def class_f1(totals: Totals, name: str, arithmetic: Arithmetic) -> Number:
    """Return 2tp / (predicted + gold) of one class, 0 where it never occurs."""
    return arithmetic.ratio_or_zero(
        2 * totals[f"tp:{name}"], totals[f"pred:{name}"] + totals[f"gold:{name}"]
    )


def counted(metric_id: str, count: str, description: str) -> Metric:
    """Return a metric that only counts and that no required gate may name."""
    return Metric(
        metric_id,
        MetricKind.MEASURED,
        description,
        None,
        high=None,
        formula=lambda totals, _arithmetic: totals[count],
        unit="count",
        is_gateable=False,
    )


def _class_precision(name: str) -> Formula:
    return lambda totals, arithmetic: arithmetic.ratio_or_zero(
        totals[f"tp:{name}"], totals[f"pred:{name}"]
    )


def _class_recall(name: str) -> Formula:
    return lambda totals, arithmetic: arithmetic.ratio_or_zero(
        totals[f"tp:{name}"], totals[f"gold:{name}"]
    )


def _class_f1(name: str) -> Formula:
    return lambda totals, arithmetic: class_f1(totals, name, arithmetic)
