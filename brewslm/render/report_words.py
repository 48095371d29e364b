"""How the numbers of an evaluation are written; for HTML and Markdown alike."""

from collections.abc import Iterable, Iterator

from brewslm.render import words
from brewslm.tasks.report import (
    Comparison,
    Difference,
    Interval,
    Metric,
    Report,
    RoleValue,
    SliceMetric,
)

_ROLE_NAMES = {"baseline": "base model", "candidate": "candidate", "promoted": "promoted"}
_BETTER = {"higher": "↑", "lower": "↓", "none": ""}
_MEASURED = "measured"


def role_name(role: str) -> str:
    """Return what people call a role."""
    return _ROLE_NAMES.get(role, role)


def better(metric: Metric) -> str:
    """Return an arrow into the better direction."""
    return _BETTER[metric.direction]


def value(item: RoleValue | None, kind: str = "") -> str:
    """Return a metric's value: four decimals, whole numbers of what was only counted."""
    if item is None or item.value is None:
        return "undefined"
    is_count = kind == _MEASURED and item.value.is_integer()
    return words.count(item.value) if is_count else f"{item.value:.4f}"


def interval(ends: Interval | None) -> str:
    """Return an interval, nothing where there is none."""
    return "" if ends is None else f"{ends[0]:.3f}…{ends[1]:.3f}"


def delta(item: Difference | None) -> str:
    """Return a difference with its sign."""
    return "" if item is None or item.delta is None else f"{item.delta:+.4f}"


def p_value(item: Difference | None) -> str:
    """Return how likely such a difference is by chance alone."""
    return "" if item is None or item.p is None else f"{item.p:.2g}"


def verdict_words(report: Report) -> str:
    """Return in one sentence what was decided, and on what."""
    required = [gate for gate in report.gates if gate.required and gate.verdict is not None]
    passed = sum(gate.verdict == "PASS" for gate in required)
    rows = words.plural(report.deciding.rows, "row")
    if not required:
        return f"no required gate; {rows} of {report.deciding.dataset}"
    gates = words.plural(len(required), "required gate")
    return f"{passed} of {gates} passed on {report.deciding.dataset}, {rows}"


def model_words(report: Report) -> str:
    """Return which models stand beside each other."""
    models = report.models
    state = "promoted" if models.is_promoted else "not promoted"
    told = [
        f"candidate {words.short_digest(models.candidate)} ({state})",
        f"base model {words.short_digest(models.baseline)}",
    ]
    if models.promoted is not None:
        told.append(f"promoted until then {words.short_digest(models.promoted)}")
    return " · ".join([*told, f"recorded by revision {report.revision}"])


def things_to_know(report: Report) -> Iterator[tuple[str, str]]:
    """Yield code and sentence of what weakens the numbers: warnings, remarks, risks."""
    for item in report.warnings:
        yield item.code, item.message
    for remark in report.decision.remarks:
        yield remark, _REMARKS.get(remark, "")
    for risk in report.decision.risks:
        yield "risk", risk
    leaks = (report.leaks or {}).get("counts", {})
    if found := {code: count for code, count in sorted(leaks.items()) if count}:
        counts = ", ".join(f"{code} {count}" for code, count in found.items())
        yield "leaks", f"rows for training and rows for evaluation share content: {counts}"


def differences(report: Report, dataset: str) -> dict[str, dict[str, Difference]]:
    """Return metric to difference for each role that the candidate stands beside on a set."""
    return {
        item.role: {entry.metric_id: entry for entry in item.metrics}
        for item in report.comparison
        if item.dataset == dataset
    }


def gated_metrics(report: Report) -> list[str]:
    """Return the metrics that gates read, else the first one there is."""
    named = [gate.resolved_metric_key for gate in report.gates if gate.resolved_metric_key]
    whole = [item.metric_id for item in report.metrics]
    kept = [name for name in dict.fromkeys(named) if name in whole]
    return kept or whole[:1]


def metrics_on(report: Report, dataset: str) -> list[Metric]:
    """Return the metrics of a set, those that gates read first."""
    first = gated_metrics(report)
    own = [item for item in report.metrics if item.dataset == dataset]
    return sorted(own, key=lambda item: item.metric_id not in first)


def by_slice(metrics: Iterable[SliceMetric], dataset: str) -> dict[str, dict[str, SliceMetric]]:
    """Return slice to metric to its values on a set."""
    found: dict[str, dict[str, SliceMetric]] = {}
    for item in metrics:
        if item.dataset == dataset:
            found.setdefault(item.slice, {})[item.metric_id] = item
    return found


def flip_counts(item: Comparison) -> tuple[int, int, int, int]:
    """Return gained, lost, both right and both wrong."""
    flips = item.flips
    return len(flips.gained), len(flips.lost), flips.both_right, flips.both_wrong


_REMARKS = {
    "base_is_better": "the base model is better by the metric of the first required gate",
    "thin_evidence": "a required gate passed with over 20 % chance that this is wrong",
}
