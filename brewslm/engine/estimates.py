"""Values, intervals and paired differences of metrics on one evaluated set."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from brewslm.engine.bootstrap import (
    CONFIDENCE,
    FEWEST_ITEMS,
    QUANTILES,
    Resampled,
    bca,
    metric_draws,
    resampled,
    sign_p,
)
from brewslm.tasks.arithmetic import Totals, summed
from brewslm.tasks.metric import Metric, MetricKind
from brewslm.tasks.scoring import Item
from brewslm.tasks.statistics import mcnemar_p, tango, wilson
from brewslm.tasks.task import Contract, ScoringOptions, Task

METRICS_FORMAT = "1.0"
STATISTICS_VERSION = 1
SLICE_QUANTILES = 101
_FLIP_STEP = 0.05

Counts = Mapping[str, float]
ByRow = dict[str, Counts]


@dataclass(frozen=True)
class Scoring:
    """What the items of an evaluation are scored with."""

    task: Task
    contract: Contract
    options: ScoringOptions
    metrics: Mapping[str, Metric]


@dataclass(frozen=True)
class _Pool:
    """Counts of items by row, errors included, and the draws over them."""

    rows: ByRow
    totals: Totals
    sums: Resampled | None
    quantiles: int


def _pools(by_role: Mapping[str, ByRow], seed: str, quantiles: int) -> dict[str, _Pool]:
    ordered = {role: dict(sorted(rows.items())) for role, rows in by_role.items()}
    large = {
        role: list(rows.values()) for role, rows in ordered.items() if len(rows) >= FEWEST_ITEMS
    }
    drawn = resampled(large, seed)
    return {
        role: _Pool(rows, summed(rows.values()), drawn.get(role), quantiles)
        for role, rows in ordered.items()
    }


def set_report(
    scoring: Scoring,
    rows: Sequence[Mapping[str, Any]],
    predictions: Mapping[str, Mapping[str, list[dict[str, Any]]]],
    items: Mapping[str, list[Item]],
    slices: Mapping[str, Mapping[str, str]],
    rows_digest: str,
) -> dict[str, Any]:
    """Return values of every role on a set, sliced and compared with the candidate's."""
    counts = {role: _by_row(scored) for role, scored in items.items()}
    members = _members(slices)
    pools = _pools(counts, rows_digest, QUANTILES)
    roles: dict[str, Any] = {
        role: {
            **_tally(scored),
            "metrics": estimates(pools[role], scoring.metrics),
            "epochs": _epochs(scored, scoring.metrics),
            "slices": {},
        }
        for role, scored in items.items()
    }
    compared: dict[str, Any] = {
        role: {
            **_comparability(predictions["candidate"], predictions[role]),
            "metrics": comparisons(pools["candidate"], pools[role], scoring.metrics),
            "flips": _flips(items["candidate"], items[role]),
            "slices": {},
        }
        for role in items
        if role != "candidate" and "candidate" in items
    }
    broad = {key: item for key, item in scoring.metrics.items() if not key.startswith("per_")}
    for name, row_ids in members.items():  # the draws of one slice at a time are in memory
        by_role = _pools(
            {role: {row_id: found[row_id] for row_id in row_ids} for role, found in counts.items()},
            f"{rows_digest}\n{name}",
            SLICE_QUANTILES,
        )
        for role, report in roles.items():
            report["slices"][name] = {
                "rows": len(row_ids),
                "n_error": _errors(by_role[role]),
                "metrics": estimates(by_role[role], broad),
            }
        for role, report in compared.items():
            report["slices"][name] = {
                "metrics": comparisons(by_role["candidate"], by_role[role], broad)
            }
    return {
        "rows": len(rows),
        "rows_digest": rows_digest,
        "roles": roles,
        "comparisons": compared,
    }


def estimates(pool: _Pool, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """Return value, rows and interval of each metric over a pool of items."""
    return {key: _estimate(metric, pool) for key, metric in metrics.items()}


def comparisons(candidate: _Pool, other: _Pool, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """Return candidate minus other for each metric, paired by row."""
    return {
        key: _difference(metric, candidate, other)
        for key, metric in metrics.items()
        if metric.kind is not MetricKind.MEASURED
    }


def _estimate(metric: Metric, pool: _Pool) -> dict[str, Any]:
    totals = pool.totals
    value = float(metric.value(totals))
    found: dict[str, Any] = {
        "kind": str(metric.kind),
        "value": value if math.isfinite(value) else None,
        "n": totals[metric.denominator] if metric.formula is None else totals["n"],
        "interval": None,
    }
    if metric.kind is MetricKind.RATIO:
        found["n"] = totals["n"]
    if metric.kind is MetricKind.PROPORTION:
        found["k"] = totals[metric.numerator]
    if found["value"] is None or metric.kind is MetricKind.MEASURED:
        return found
    if metric.kind is MetricKind.PROPORTION:
        found["interval"] = list(wilson(found["k"], found["n"], CONFIDENCE))
        found["method"] = "wilson"
        return found
    drawn = None
    if pool.sums is not None:
        distribution, jackknife = metric_draws(metric, pool.sums)
        drawn = bca(value, distribution, jackknife, quantiles=pool.quantiles)
    if drawn is not None:
        found |= drawn | {"method": "bca"}
    elif metric.kind is MetricKind.MEAN:
        found["k"] = totals[metric.numerator]
        found["interval"] = list(wilson(found["k"], found["n"], CONFIDENCE))
        found["method"] = "wilson"
    return found


def _difference(metric: Metric, candidate: _Pool, other: _Pool) -> dict[str, Any]:
    value, base = float(metric.value(candidate.totals)), float(metric.value(other.totals))
    delta = value - base
    found: dict[str, Any] = {
        "value": value if math.isfinite(value) else None,
        "other": base if math.isfinite(base) else None,
        "delta": delta if math.isfinite(delta) else None,
        "n": candidate.totals["n"],
    }
    if not math.isfinite(delta):
        return found
    if pairs := _discordant(metric, candidate.rows, other.rows):
        gained, lost, n = pairs
        found["mcnemar"] = {
            "gained": gained,
            "lost": lost,
            "n": n,
            "p": mcnemar_p(gained, lost),
            "interval": list(tango(gained, lost, n, CONFIDENCE)),
        }
    if candidate.sums is not None and other.sums is not None:
        drawn, left_out = metric_draws(metric, candidate.sums)
        other_drawn, other_left_out = metric_draws(metric, other.sums)
        distribution = drawn - other_drawn
        interval = bca(
            delta, distribution, left_out - other_left_out, quantiles=candidate.quantiles
        )
        if interval is not None:
            found["paired_bootstrap"] = interval | {"p": sign_p(distribution)}
    return found


def _discordant(metric: Metric, ours: ByRow, theirs: ByRow) -> tuple[int, int, int] | None:
    """Return gained, lost and n where every item scores 0 or 1 on both sides."""
    if metric.kind is not MetricKind.PROPORTION:
        return None
    gained = lost = n = 0
    for row_id, mine in ours.items():
        other = theirs[row_id]
        weight = mine.get(metric.denominator, 0.0)
        if weight != other.get(metric.denominator, 0.0) or weight not in (0.0, 1.0):
            return None
        left, right = mine.get(metric.numerator, 0.0), other.get(metric.numerator, 0.0)
        if left not in (0.0, 1.0) or right not in (0.0, 1.0):
            return None
        n += weight == 1.0
        gained += left > right
        lost += right > left
    return (gained, lost, n) if n else None


def _by_row(items: Iterable[Item]) -> ByRow:
    """Return the counts of each row, averaged over its epochs."""
    grouped: dict[str, list[Counts]] = {}
    for item in items:
        grouped.setdefault(item.row_id, []).append(item.counts)
    return {
        row_id: epochs[0]
        if len(epochs) == 1
        else {name: total / len(epochs) for name, total in summed(epochs).items()}
        for row_id, epochs in grouped.items()
    }


def _tally(items: Sequence[Item]) -> dict[str, Any]:
    statuses = Counter(item.status for item in items)
    errors = statuses["error"]
    return {"n": len(items) - errors, "n_error": errors, "statuses": dict(sorted(statuses.items()))}


def _errors(pool: _Pool) -> float:
    return pool.totals["status:error"]


def _epochs(items: Sequence[Item], metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """Return how each metric varies over epochs; nothing when rows were answered once."""
    by_epoch: dict[int, list[Counts]] = {}
    for item in items:
        by_epoch.setdefault(item.epoch, []).append(item.counts)
    if len(by_epoch) < 2:
        return {}
    totals = [summed(counts) for _, counts in sorted(by_epoch.items())]
    found = {}
    for key, metric in metrics.items():
        values = [float(metric.value(total)) for total in totals]
        if all(map(math.isfinite, values)):
            centre = math.fsum(values) / len(values)
            squares = math.fsum((value - centre) ** 2 for value in values)
            found[key] = {
                "n": len(values),
                "mean": centre,
                "std": math.sqrt(squares / (len(values) - 1)),
                "min": min(values),
                "max": max(values),
            }
    return found


def _members(slices: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    members: dict[str, list[str]] = {}
    for row_id, columns in slices.items():
        for column, value in columns.items():
            members.setdefault(f"{column}={value}", []).append(row_id)
    return dict(sorted(members.items()))


def _comparability(
    ours: Mapping[str, list[dict[str, Any]]], theirs: Mapping[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """Return whether both sides answered the same prompts; rows are the same by then."""
    differing = sum(
        [line.get("prompt_digest") for line in epochs]
        != [line.get("prompt_digest") for line in theirs[row_id]]
        for row_id, epochs in ours.items()
    )
    return {"is_comparable": differing == 0, "differing_prompts": differing}


def _flips(ours: Sequence[Item], theirs: Sequence[Item]) -> dict[str, Any]:
    """Return rows won and lost against the other side, by the items' own scores."""
    others = {(item.row_id, item.epoch): item.score for item in theirs}
    gained, lost, both_right, both_wrong = [], [], 0, 0
    for item in ours:
        other = others.get((item.row_id, item.epoch))
        if item.score is None or other is None:
            continue
        if item.score - other > _FLIP_STEP:
            gained.append(item.row_id)
        elif other - item.score > _FLIP_STEP:
            lost.append(item.row_id)
        elif item.score >= 1:
            both_right += 1
        else:
            both_wrong += 1
    return {
        "gained": sorted(gained),
        "lost": sorted(lost),
        "both_right": both_right,
        "both_wrong": both_wrong,
    }
