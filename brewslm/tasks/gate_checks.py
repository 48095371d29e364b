"""What is wrong with gates before anything runs: all of it at once."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from brewslm.registry import closest
from brewslm.tasks.gate import Gate, bound_of
from brewslm.tasks.metric import Metric, MetricKind
from brewslm.tasks.metrics import known_metric_ids, produced_metrics, resolve_metric
from brewslm.tasks.statistics import smallest_passing
from brewslm.tasks.task import TASKS, Contract

Severity = Literal["error", "warning", "info"]

_MISSING_FOR = {
    "llm_judge_pass_rate": "a judge",
    "llm_judge_mean": "a judge",
    "judge_win_rate": "a judge",
    "safety_pass_rate": "a safety suite",
    "hallucination_rate": "rows with a context",
    "groundedness": "rows with a context",
    "faithfulness": "rows with a context",
    "citation_rate": "numbered passages",
}
_BUILTIN_SLICE_COLUMNS = ("source", "label", "length", "turns", "has_number")


class GateProblem(Struct, frozen=True):
    """Trouble with a gate, or with all of them (`gate_index` -1)."""

    code: str
    severity: Severity
    gate_index: int
    field: str
    message: str
    expected: str
    remedy: str
    suggestions: tuple[str, ...] = ()


def gate_problems(
    gates: Sequence[Gate],
    profile: str,
    contract: Contract,
    *,
    rows: int | None = None,
    slice_rows: Mapping[str, int] | None = None,
    has_deployment: bool = False,
    has_champion: bool = True,
    promotes_ungated: bool = False,
    required_metrics: Sequence[str] = (),
) -> list[GateProblem]:
    """Return everything that is wrong with the gates of a project.

    rows: of the deciding set; slice_rows: `column=value` to rows. What depends on them is left
    out while they are unknown. has_champion: whether something is promoted that a candidate can be
    held against; promotes_ungated: whether the workflow lets a candidate be promoted that no gate
    has judged; required_metrics: that have to have a value.
    """
    problems = [
        problem
        for index, gate in enumerate(gates)
        for problem in _of_gate(index, gate, profile, contract, rows, slice_rows)
    ]
    problems += _repeated(gates)
    problems += [_alike(labels) for labels in TASKS.load(profile).alike(contract)]
    problems += [
        _not_required(metric_id, profile, contract)
        for metric_id in required_metrics
        if resolve_metric(profile, contract, metric_id) is None
    ]
    if has_deployment and promotes_ungated:
        return problems
    if (gates or has_deployment) and not any(
        _can_refuse(gate, profile, contract, has_champion=has_champion) for gate in gates
    ):
        problems.append(
            GateProblem(
                "NO_REQUIRED_GATE",
                "error" if has_deployment else "warning",
                -1,
                "gates",
                "no required gate can refuse a candidate, so every one would be promoted"
                if has_deployment
                else "no gate is required, so nothing would be checked",
                "one gate with required: true that some result misses",
                "write required: true at the gate that matters most, or add one with a threshold; "
                "to promote unchecked: workflow.gate_policy.promote_ungated: true"
                if has_deployment
                else "write required: true at the gate that matters most",
            )
        )
    return problems


def _can_refuse(gate: Gate, profile: str, contract: Contract, *, has_champion: bool) -> bool:
    """Return whether some result misses a required gate; without a champion nothing is compared
    with it.
    """
    metric = resolve_metric(profile, contract, gate.metric_id)
    is_bar = gate.threshold is not None and not (metric and is_vacuous(gate, metric))
    is_comparison = gate.max_regression is not None and (
        has_champion or gate.baseline == "base_model"
    )
    return gate.required and (is_bar or is_comparison)


def _not_required(metric_id: str, profile: str, contract: Contract) -> GateProblem:
    known = [name for name in sorted(produced_metrics(profile, contract)) if "per_" not in name]
    near = closest(metric_id, known)
    return GateProblem(
        "GATE_METRIC_UNKNOWN",
        "error",
        -1,
        "gates",
        f'the pack requires the metric "{metric_id}", which task "{profile}" does not produce',
        "one of " + ", ".join(known),
        f"write required_metric_ids: [{near[0]}]" if near else "remove it from required_metric_ids",
        near,
    )


def _alike(labels: Sequence[str]) -> GateProblem:
    shown = " and ".join(json.dumps(label, ensure_ascii=False) for label in labels)
    return GateProblem(
        "LABELS_ALIKE",
        "warning",
        -1,
        "gates",
        f"labels {shown} differ only in case, blanks or outer marks, which do not count",
        "labels that stay different in lower case without outer quotes, brackets and punctuation",
        "rename one of the labels, or accept that only its exact text counts as an answer",
    )


def _of_gate(
    index: int,
    gate: Gate,
    profile: str,
    contract: Contract,
    rows: int | None,
    slice_rows: Mapping[str, int] | None,
) -> Iterator[GateProblem]:
    metric = resolve_metric(profile, contract, gate.metric_id)
    yield from _options(index, gate)
    if metric is None:
        yield _not_produced(index, gate, profile, contract)
        return
    if gate.required and not metric.is_gateable:
        yield GateProblem(
            "GATE_METRIC_UNKNOWN",
            "error",
            index,
            "metric_id",
            f'"{gate.metric_id}" is reported only and cannot back a required gate',
            "a metric of the model's answers",
            "write required: false, or name another metric",
        )
    yield from _threshold(index, gate, metric)
    yield from _direction(index, gate, metric)
    yield from _slices(index, gate, slice_rows)
    count = slice_rows.get(gate.slice) if slice_rows is not None and gate.slice else rows
    if count is not None:
        yield from _power(index, gate, metric, count)


def _not_produced(index: int, gate: Gate, profile: str, contract: Contract) -> GateProblem:
    known = sorted(produced_metrics(profile, contract))
    missing = _MISSING_FOR.get(gate.metric_id)
    near = () if missing else closest(gate.metric_id, known)
    is_elsewhere = missing is not None or gate.metric_id in known_metric_ids()
    reason = f"; it needs {missing}" if missing else ""
    kind = "known" if is_elsewhere else "unknown"
    shown = [name for name in known if not name.startswith("per_")]
    return GateProblem(
        "GATE_METRIC_UNKNOWN" if gate.required else "METRIC_NOT_PRODUCED",
        "error" if gate.required else "warning",
        index,
        "metric_id",
        f'task "{profile}" does not produce the {kind} metric "{gate.metric_id}"{reason}',
        "one of " + ", ".join(shown),
        f"write metric_id: {near[0]}" if near else "name a metric that the task produces",
        near,
    )


def _options(index: int, gate: Gate) -> Iterator[GateProblem]:
    is_worst = gate.operator.startswith("worst_slice")
    rules = (
        (
            gate.slice is not None and gate.slice_name is not None,
            "slice",
            "slice and slice_name exclude each other",
            "one of the two",
            "remove slice_name, or use a worst_slice operator without slice",
        ),
        (
            is_worst and gate.slice_name is None,
            "slice_name",
            f"{gate.operator} needs the column to slice by",
            "a column",
            "write slice_name: source, or a column of your rows",
        ),
        (
            not is_worst and gate.slice_name is not None,
            "slice_name",
            f"{gate.operator} does not read slice_name",
            "a worst_slice operator",
            "write operator: worst_slice_gte, or remove slice_name",
        ),
        (
            gate.max_regression is not None and gate.baseline is None,
            "baseline",
            "max_regression needs the other side",
            "base_model or champion",
            "write baseline: base_model",
        ),
        (
            gate.baseline is not None and gate.max_regression is None,
            "max_regression",
            "a baseline decides nothing without a largest regression",
            "a number of at least 0",
            "write max_regression: 0",
        ),
        (
            gate.on_inconclusive == "warn" and gate.required,
            "on_inconclusive",
            "warn is for gates with required: false",
            "block or need_more",
            "write on_inconclusive: block",
        ),
        (
            gate.test == "none" and gate.decide_on != "point" and gate.max_regression is not None,
            "test",
            f"decide_on: {gate.decide_on} needs the interval that test: none leaves out",
            "auto, mcnemar or paired_bootstrap",
            "write test: auto",
        ),
    )
    for is_wrong, name, message, expected, remedy in rules:
        if is_wrong:
            yield GateProblem("GATE_OPTIONS", "error", index, name, message, expected, remedy)


def _threshold(index: int, gate: Gate, metric: Metric) -> Iterator[GateProblem]:
    high = "infinity" if metric.high is None else f"{metric.high:g}"
    expected = f"a number from {metric.low:g} to {high}"
    is_worst = gate.operator.startswith("worst_slice")
    if gate.threshold is None and (gate.max_regression is None or is_worst):
        yield GateProblem(
            "GATE_THRESHOLD",
            "error",
            index,
            "threshold",
            f'gate "{gate.name}" has no threshold',
            expected,
            "write threshold, or baseline with max_regression",
        )
    if gate.threshold is not None and not metric.is_in_range(gate.threshold):
        yield GateProblem(
            "GATE_THRESHOLD",
            "error",
            index,
            "threshold",
            f"{metric.metric_id} cannot be {gate.threshold:g}",
            expected,
            f"write a threshold from {metric.low:g} to {high}",
        )


def _direction(index: int, gate: Gate, metric: Metric) -> Iterator[GateProblem]:
    is_lte = gate.operator.endswith("lte")
    if metric.higher_is_better is is_lte and gate.threshold is not None:
        better = "lower" if is_lte is False else "higher"
        fitting = (
            gate.operator.replace("gte", "lte")
            if not is_lte
            else gate.operator.replace("lte", "gte")
        )
        yield GateProblem(
            "GATE_DIRECTION",
            "warning",
            index,
            "operator",
            f"{better} is better for {metric.metric_id}, and {gate.operator} asks for the opposite",
            fitting,
            f"write operator: {fitting}",
        )
    if bound_of(gate) == "lenient":
        careful = "upper" if is_lte else "lower"
        yield GateProblem(
            "GATE_DIRECTION",
            "warning",
            index,
            "decide_on",
            f"decide_on: {gate.decide_on} lets a model pass that is probably not good enough",
            f"point or {careful}",
            f"write decide_on: {careful}",
        )


def _slices(index: int, gate: Gate, slice_rows: Mapping[str, int] | None) -> Iterator[GateProblem]:
    if slice_rows is None:
        return
    columns = sorted({name.partition("=")[0] for name in slice_rows} | {*_BUILTIN_SLICE_COLUMNS})
    if gate.slice is not None and gate.slice not in slice_rows:
        near = closest(gate.slice, slice_rows)
        yield GateProblem(
            "GATE_OPTIONS",
            "error",
            index,
            "slice",
            f'no row is in slice "{gate.slice}"',
            "column=value of the evaluated rows",
            f"write slice: {near[0]}" if near else "name a slice that has rows",
            near,
        )
    if gate.slice_name is not None and gate.slice_name not in columns:
        near = closest(gate.slice_name, columns)
        yield GateProblem(
            "GATE_OPTIONS",
            "error",
            index,
            "slice_name",
            f'rows have no slicing column "{gate.slice_name}"',
            "one of " + ", ".join(columns),
            f"write slice_name: {near[0]}" if near else "name one of these columns",
            near,
        )


def _power(index: int, gate: Gate, metric: Metric, rows: int) -> Iterator[GateProblem]:
    severity: Severity = "error" if gate.required else "info"
    if gate.min_n > rows:
        yield GateProblem(
            "GATE_UNDERPOWERED",
            severity,
            index,
            "min_n",
            f"min_n asks for {gate.min_n} rows and there are {rows}",
            f"at most {rows}",
            "add rows, or lower min_n",
        )
    if gate.threshold is None or gate.operator.startswith("worst_slice"):
        return
    if is_vacuous(gate, metric):
        yield GateProblem(
            "GATE_UNDERPOWERED",
            "info",
            index,
            "threshold",
            f'every result passes gate "{gate.name}"',
            "a threshold that some result misses",
            "raise the bar, or remove the gate",
        )
    if metric.kind is MetricKind.PROPORTION and rows > 0 and is_unreachable(gate, rows):
        yield GateProblem(
            "GATE_UNDERPOWERED",
            severity,
            index,
            "decide_on",
            f"no result of {rows} rows can pass {gate.threshold:g} with decide_on: "
            f"{gate.decide_on}",
            "more rows, or another bound",
            "write decide_on: point, or add rows",
        )


def is_vacuous(gate: Gate, metric: Metric) -> bool:
    """Return whether every value of the metric passes the threshold."""
    if gate.threshold is None or gate.max_regression is not None:
        return False
    if gate.operator.endswith("lte"):
        return metric.high is not None and gate.threshold >= metric.high
    return gate.threshold <= metric.low


def is_unreachable(gate: Gate, rows: int) -> bool:
    """Return whether no count of a proportion can pass."""
    if gate.threshold is None or bound_of(gate) != "careful":
        return False
    bar = 1 - gate.threshold if gate.operator.endswith("lte") else gate.threshold
    return smallest_passing(rows, bar, "lower", gate.confidence) is None


def _repeated(gates: Sequence[Gate]) -> Iterator[GateProblem]:
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        folded = gate.name.casefold()
        if folded in seen:
            yield GateProblem(
                "DUPLICATE_GATE_ID",
                "error",
                index,
                "gate_id",
                f'gate_id "{gate.name}" stands twice',
                "ids that are unique",
                "give one of the two another gate_id",
            )
        seen.add(folded)
