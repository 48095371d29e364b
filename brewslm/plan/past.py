"""What this project's own past runs say about the next one.

A run counts when it ended, on the same base model. Its journal entry holds `work_s`, the seconds
that the worker spent on it; where it grew with tokens or rows also their number and how many it
did a second, so that a run of another size says something too.
"""

from collections.abc import Sequence
from typing import Any

from brewslm.plan.action import Estimate
from brewslm.state.records import OperationRecord, OperationStatus

_LOW, _HIGH = 0.8, 1.25
"""How far beyond the fastest and the slowest past run the next one may lie."""


def comparable(
    past: Sequence[OperationRecord], base_digest: str, config: dict[str, Any] | None = None
) -> list[OperationRecord]:
    """Return the runs that did the same kind of work.

    config: values of the training config that have to be the same.
    """
    return [
        item
        for item in past
        if item.status is OperationStatus.ENDED
        and item.facts.get("inputs", {}).get("model:base") == base_digest
        and (config or {}).items() <= _plain(item).items()
    ]


def scaled_seconds(
    past: Sequence[OperationRecord], unit: str, amount: float, start_s: float
) -> Estimate | None:
    """Return how long `amount` units take by past runs, None when none was measured.

    unit: tokens or rows; start_s: seconds to start a worker, 0 where one runs already.
    """
    seconds = [
        _seconds(item.actual, unit, amount)
        for item in past
        if item.actual.get("work_s") and item.actual.get(unit) and item.actual.get(f"{unit}_per_s")
    ]
    return _estimate([start_s + value for value in seconds])


def seconds(past: Sequence[OperationRecord], start_s: float) -> Estimate | None:
    """Return how long work takes that is of one size, None when none was measured."""
    return _estimate(
        [start_s + float(item.actual["work_s"]) for item in past if item.actual.get("work_s")]
    )


def memory(past: Sequence[OperationRecord]) -> Estimate | None:
    """Return the peak memory that runs of the same shape had, None when none was measured."""
    return _estimate(
        [float(item.actual["memory_bytes"]) for item in past if item.actual.get("memory_bytes")]
    )


def _seconds(actual: dict[str, Any], unit: str, amount: float) -> float:
    """Return a run's seconds for another amount: what did not grow with it stays as it was."""
    rate = float(actual[f"{unit}_per_s"])
    fixed_s = max(0.0, float(actual["work_s"]) - float(actual[unit]) / rate)
    return fixed_s + amount / rate


def _plain(operation: OperationRecord) -> dict[str, Any]:
    config: dict[str, Any] = operation.facts.get("spec", {}).get("config", {})
    return {name: value for name, value in config.items() if not isinstance(value, (dict, list))}


def _estimate(values: list[float]) -> Estimate | None:
    if not values:
        return None
    ordered = sorted(values)
    runs = "1 past run" if len(ordered) == 1 else f"{len(ordered)} past runs"
    middle = ordered[len(ordered) // 2]
    return Estimate.estimated(middle, ordered[0] * _LOW, ordered[-1] * _HIGH, runs)
