"""Stored metrics and gates drawn at random, with holes, errors and ties in all places."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from brewslm.tasks.gate import Gate
from brewslm.tasks.statistics import wilson

Json = dict[str, Any]

SLICES = ("site=north", "site=south", "site=west", "size=small")
METRICS = ("accuracy", "error_rate", "nll_gain")
GRID = [step / 20 for step in range(21)]
ROWS = (0, 1, 4, 5, 20, 20, 40)


def bootstrap(rng: Random, shift: float = 0.0) -> Json:
    quantiles = sorted(rng.choice(GRID) - shift for _ in range(rng.randint(3, 9)))
    return {
        "interval": [quantiles[0], quantiles[-1]],
        "quantiles": quantiles,
        "draws": 999,
        "share_below": rng.choice([0.3, 0.5, 0.6]),
        "acceleration": rng.choice([0.0, 0.05]),
    }


def estimate_of(rng: Random, kind: str) -> Json:
    n = rng.choice(ROWS)
    found: Json = {"kind": kind, "n": n, "interval": None, "value": None}
    if kind == "proportion":
        found["k"] = rng.randint(0, n)
    if n == 0 or rng.random() < 0.1:
        return found
    if kind == "measured":
        return found | {"value": rng.choice(GRID)}
    if kind == "proportion" or rng.random() < 0.5:
        k = found.get("k", rng.choice(GRID) * n)
        ends = list(wilson(k, n, 0.95))
        return found | {"k": k, "value": k / n, "interval": ends, "method": "wilson"}
    return found | bootstrap(rng) | {"value": rng.choice(GRID), "method": "bca"}


def difference_of(rng: Random) -> Json:
    value, other, n = rng.choice(GRID), rng.choice(GRID), rng.choice(ROWS)
    found: Json = {"value": value, "other": other, "delta": value - other, "n": n}
    if n == 0 or rng.random() < 0.1:
        return found | {"delta": None}
    if rng.random() < 0.5:
        gained = rng.randint(0, n)
        lost = min(n - gained, max(0, gained + rng.choice([-1, 1, 2, 4, n])))
        found |= {"mcnemar": {"gained": gained, "lost": lost, "n": n, "p": 0.01 * gained}}
        found["delta"] = (gained - lost) / n
    if rng.random() < 0.5:
        found["paired_bootstrap"] = bootstrap(rng, 0.5) | {"p": 0.004 * n}
    return found


def document_of(rng: Random) -> Json:
    """Return the stored metrics of a set."""
    kinds = {
        "accuracy": "proportion",
        "error_rate": rng.choice(["proportion", "mean"]),
        "nll_gain": rng.choice(["ratio", "mean", "measured"]),
    }
    hole = rng.choice([0.0, 0.2])

    def held(values: Callable[[str], Json]) -> Json:
        return {name: values(name) for name in METRICS if rng.random() >= hole}

    def own() -> Json:
        return held(lambda name: estimate_of(rng, kinds[name]))

    def paired() -> Json:
        return held(lambda _: difference_of(rng))

    errors = [0, 0, 0, 1]
    compared = rng.sample(["baseline", "promoted"], rng.randint(0, 2))
    slices = rng.sample(SLICES, rng.randint(0, len(SLICES)))
    candidate: Json = {
        "n_error": rng.choice(errors),
        "metrics": own(),
        "slices": {name: {"n_error": rng.choice(errors), "metrics": own()} for name in slices},
    }
    if rng.random() < 0.5:
        candidate["epochs"] = {
            name: {"mean": rng.choice(GRID), "std": rng.choice(GRID[:4])} for name in METRICS
        }
    declarations: Json = {
        name: {
            "kind": kinds[name],
            "higher_is_better": rng.choice([True, False, None]),
            "synonyms": [f"old_{name}"],
        }
        for name in METRICS
    }
    if rng.random() < 0.9:  # what an older program did not store
        for name, declared in declarations.items():
            declared["normaliser"] = f"form of {name}"
            declared["needs"] = ["baseline"] if name == "nll_gain" else []
    report = {
        "rows": rng.choice(ROWS),
        "roles": {role: {"n_error": rng.choice(errors)} for role in compared}
        | {"candidate": candidate},
        "comparisons": {
            role: {
                "is_comparable": rng.random() < 0.9,
                "metrics": paired(),
                "slices": {name: {"metrics": paired()} for name in slices},
            }
            for role in compared
        },
    }
    empty: Json = {"rows": 1, "roles": {}, "comparisons": {}}
    return {"declarations": declarations, "sets": {"validation": empty, "gold_test": report}}


CHOICES: Mapping[str, Sequence[Any]] = {
    "metric_id": [*METRICS, *METRICS, "old_accuracy", "old_nll_gain", "unheard_of"],
    "operator": ["gte", "gte", "lte", "lte", "worst_slice_gte", "worst_slice_lte"],
    "threshold": [None, *GRID],
    "required": [True, False],
    "slice_name": ["site", "size", "si"],
    "min_slice_support": [1, 5, 6],
    "variance_policy": ["lower_bound", "mean"],
    "slice": [None, None, *SLICES],
    "min_n": [1, 1, 5, 21],
    "confidence": [0.5, 0.9, 0.95, 0.99],
    "decide_on": ["point", "point", "lower", "upper"],
    "baseline": [None, "base_model", "champion"],
    "max_regression": [None, None, 0.0, 0.05, 0.1],
    "test": ["auto", "mcnemar", "paired_bootstrap", "none"],
    "on_inconclusive": [None, "warn", "need_more"],
    "severity": [None, "info"],
}


def fields_of(rng: Random) -> Json:
    """Return a value for each field of a gate that counts, and for its severity."""
    return {name: rng.choice(values) for name, values in CHOICES.items()}


def gate_of(rng: Random) -> Gate:
    """Return a gate."""
    return Gate(source="who asked", **fields_of(rng))
