"""Which metrics a task produces, and which of them an id means."""

from collections.abc import Collection, Mapping
from functools import lru_cache

from msgspec.structs import replace

from brewslm.tasks.common_metrics import COMMON_METRICS
from brewslm.tasks.metric import Metric
from brewslm.tasks.task import TASKS, Contract, ScoringOptions


def produced_metrics(
    profile: str, contract: Contract, names: tuple[str, ...] = ()
) -> dict[str, Metric]:
    """Return every metric that the profile computes under a contract, by canonical id.

    names: labels, fields or types seen in references, beside those that the contract lists.
    Raises: UnknownNameError for a profile that does not exist.
    """
    declared = (*TASKS.load(profile).metrics(contract, names), *COMMON_METRICS)
    return {metric.metric_id: metric for metric in declared}


def metrics_read_with(
    metrics: dict[str, Metric], profile: str, options: ScoringOptions
) -> dict[str, Metric]:
    """Return the metrics with the normaliser that a pack chose in place of the task's own."""
    own, chosen = TASKS.load(profile).normaliser, options.normaliser
    if chosen is None:
        return metrics
    return {
        key: replace(metric, normaliser=chosen) if metric.normaliser == own else metric
        for key, metric in metrics.items()
    }


def reported_metrics(metrics: Mapping[str, Metric], reported: Collection[str]) -> dict[str, Metric]:
    """Return the metrics that are reported, by id or declared synonym; all where none is named."""
    chosen = {
        metric_id: metric
        for metric_id, metric in metrics.items()
        if {metric_id, *metric.synonyms} & {*reported}
    }
    return chosen or dict(metrics)


def resolve_metric(
    profile: str, contract: Contract, metric_id: str, names: tuple[str, ...] = ()
) -> Metric | None:
    """Return the metric that an id or a declared synonym of it means, None where nothing does."""
    metrics = produced_metrics(profile, contract, names)
    if metric_id in metrics:
        return metrics[metric_id]
    return next((metric for metric in metrics.values() if metric_id in metric.synonyms), None)


@lru_cache(maxsize=1)
def known_metric_ids() -> frozenset[str]:
    """Return the ids and synonyms that some task produces whatever its contract says."""
    contracts = [sample.contract for task in TASKS.all().values() for sample in task.samples]
    return frozenset(
        name
        for profile in TASKS.names()
        for contract in contracts
        for metric in produced_metrics(profile, contract).values()
        if not metric.metric_id.startswith("per_")
        for name in (metric.metric_id, *metric.synonyms)
    )
