"""From the stored documents of an evaluation to its report; nothing is scored or decided again."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from brewslm.tasks import report as values
from brewslm.tasks.deciding import CANDIDATE, undecided_with_warning

_UNCHANGED = 1e-4
_DIRECTIONS: dict[bool | None, values.Direction] = {True: "higher", False: "lower", None: "none"}
_PER_CLASS, _PER_FIELD = "per_class.", "per_field."


def datasets_of(
    metrics: Mapping[str, Any], deciding: str
) -> tuple[tuple[values.Dataset, ...], tuple[values.Statuses, ...]]:
    """Return the evaluated sets and how the items of each role ended, the deciding set first."""
    sets = [(name, metrics["sets"][name]) for name in _ordered(metrics, deciding)]
    datasets = tuple(
        values.Dataset(
            dataset=name, decides=name == deciding, rows=found["rows"], digest=found["rows_digest"]
        )
        for name, found in sets
    )
    statuses = tuple(
        values.Statuses(
            dataset=name,
            role=role,
            n=item["n"],
            n_error=item["n_error"],
            counts=item["statuses"],
        )
        for name, found in sets
        for role, item in sorted(found["roles"].items())
    )
    return datasets, statuses


def metrics_of(metrics: Mapping[str, Any], deciding: str) -> tuple[values.Metric, ...]:
    """Return the metrics of whole sets."""
    return tuple(
        values.Metric(**item)
        for dataset, roles in _roles(metrics, deciding)
        for item in _metrics(metrics, dataset, roles)
        if not item["metric_id"].startswith("per_")
    )


def named_metrics_of(
    metrics: Mapping[str, Any], deciding: str
) -> tuple[tuple[values.NamedMetric, ...], tuple[values.NamedMetric, ...]]:
    """Return the metrics of single classes, and those of single fields."""
    found: dict[str, list[values.NamedMetric]] = {_PER_CLASS: [], _PER_FIELD: []}
    for dataset, roles in _roles(metrics, deciding):
        for item in _metrics(metrics, dataset, roles):
            prefix = next((name for name in found if item["metric_id"].startswith(name)), None)
            if prefix is None:
                continue
            name, _, metric_id = item["metric_id"].removeprefix(prefix).rpartition(".")
            found[prefix].append(
                values.NamedMetric(**{**item, "name": name, "metric_id": metric_id})
            )
    return tuple(found[_PER_CLASS]), tuple(found[_PER_FIELD])


def slice_metrics_of(metrics: Mapping[str, Any], deciding: str) -> tuple[values.SliceMetric, ...]:
    """Return the metrics of parts of the sets, by column and value."""
    return tuple(
        values.SliceMetric(**item, slice=name, rows=place["rows"])
        for dataset, roles in _roles(metrics, deciding)
        for name, place in sorted(roles[CANDIDATE]["slices"].items())
        for item in _metrics(
            metrics, dataset, {role: found["slices"][name] for role, found in roles.items()}
        )
    )


def comparisons_of(metrics: Mapping[str, Any], deciding: str) -> tuple[values.Comparison, ...]:
    """Return the candidate beside every other role."""
    return tuple(
        values.Comparison(
            dataset=name,
            role=role,
            is_comparable=found["is_comparable"],
            differing_prompts=found["differing_prompts"],
            flips=values.Flips(**found["flips"]),
            metrics=tuple(
                _difference(key, item, metrics["declarations"][key]["higher_is_better"])
                for key, item in sorted(found["metrics"].items())
            ),
        )
        for name in _ordered(metrics, deciding)
        for role, found in sorted(metrics["sets"][name]["comparisons"].items())
    )


def warnings_of(
    statuses: Sequence[values.Statuses],
    comparisons: Sequence[values.Comparison],
    generation: values.Generation,
    gates: Sequence[Mapping[str, Any]],
) -> Iterator[values.ReportWarning]:
    """Yield what makes the numbers themselves doubtful."""
    for name in undecided_with_warning(gates):
        yield values.ReportWarning(
            code="eval_inconclusive", message=f"optional gate {name} could not be decided"
        )
    for item in statuses:
        if item.n_error:
            yield values.ReportWarning(
                code="eval_runtime_error",
                message=f"{item.n_error} items of {item.role} on {item.dataset} have no answer"
                " because the machinery failed; they count nowhere",
            )
    for other in comparisons:
        if not other.is_comparable:
            yield values.ReportWarning(
                code="eval_baseline_not_comparable",
                message=f"{other.role} answered other prompts than the candidate for"
                f" {other.differing_prompts} rows of {other.dataset}",
            )
    for role, answered in sorted(generation.roles.items()):
        if answered.batch_parity_rate is not None and answered.batch_parity_rate < 1:
            yield values.ReportWarning(
                code="eval_parity_below_one",
                message=f"only {answered.batch_parity_rate:.1%} of the answers of {role} are the"
                " same alone and in a batch; generation.batch_size: 1 is the way out",
            )


def _ordered(metrics: Mapping[str, Any], deciding: str) -> list[str]:
    return sorted(metrics["sets"], key=lambda name: (name != deciding, name))


def _roles(metrics: Mapping[str, Any], deciding: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in _ordered(metrics, deciding):
        yield name, dict(sorted(metrics["sets"][name]["roles"].items()))


def _metrics(
    metrics: Mapping[str, Any], dataset: str, roles: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield the fields of each metric of some rows, every role beside the others."""
    for key in sorted(roles[CANDIDATE]["metrics"]):
        declared = metrics["declarations"][key]
        yield {
            "dataset": dataset,
            "metric_id": key,
            "kind": declared["kind"],
            "direction": _DIRECTIONS[declared["higher_is_better"]],
            "roles": {role: found["metrics"][key] for role, found in roles.items()},
        }


def _difference(
    key: str, stored: Mapping[str, Any], higher_is_better: bool | None
) -> values.Difference:
    method = next((name for name in ("mcnemar", "paired_bootstrap") if stored.get(name)), None)
    drawn = stored[method] if method else {}
    return values.Difference(
        metric_id=key,
        value=stored["value"],
        other=stored["other"],
        delta=stored["delta"],
        n=stored["n"],
        interval=drawn.get("interval"),
        p=drawn.get("p"),
        method=method,
        change=_change(stored["delta"], higher_is_better),
    )


def _change(delta: float | None, higher_is_better: bool | None) -> values.Change | None:
    if delta is None or higher_is_better is None:
        return None
    if abs(delta) <= _UNCHANGED:
        return "unchanged"
    return "improved" if (delta > 0) == higher_is_better else "regressed"
