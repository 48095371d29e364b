"""Failures of a project by what they have in common, kept up to date over its run events."""

import hashlib
import re
from collections.abc import Iterable

from brewslm.state.records import FailureCluster, RunEvent

SEVERITIES = ("error", "critical")
"""Of events that are failures."""
_EXEMPLARS = 5
_MASKS = (
    (
        re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"),
        "<time>",
    ),
    (re.compile(r"\b\d\d:\d\d:\d\d(?:\.\d+)?Z?\b"), "<time>"),
    (re.compile(r"\b[0-9a-fA-F]{8,}\b"), "<hex>"),
    (re.compile(r"\d+(?:[.,]\d+)*"), "<number>"),
)
"""What differs between two reports of the same failure, masked in this order."""


def is_failure(event: RunEvent) -> bool:
    """Return whether an event belongs to a cluster."""
    return event.severity in SEVERITIES


def signature_of(event: RunEvent) -> str:
    """Return 16 hex digits that events of one failure share, whenever and wherever it happened."""
    summary = event.summary
    for pattern, mask in _MASKS:
        summary = pattern.sub(mask, summary)
    summary = " ".join("<path>" if "/" in word else word for word in summary.split())
    text = "\0".join((event.stage, event.reason_code, summary))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def with_event(cluster: FailureCluster | None, event: RunEvent) -> FailureCluster:
    """Return a cluster with one more event, the newest so far."""
    before = cluster or FailureCluster(
        stage=event.stage,
        reason_code=event.reason_code,
        signature=signature_of(event),
        first_seen_at=event.at,
    )
    return FailureCluster(
        stage=before.stage,
        reason_code=before.reason_code,
        signature=before.signature,
        failure_count=before.failure_count + 1,
        first_seen_at=before.first_seen_at,
        last_seen_at=event.at,
        exemplar_event_ids=(event.event_id, *before.exemplar_event_ids)[:_EXEMPLARS],
        exemplar_summaries=(event.summary, *before.exemplar_summaries)[:_EXEMPLARS],
        exemplar_run_ids=(event.run_id, *before.exemplar_run_ids)[:_EXEMPLARS],
        last_computed_at=event.at,
    )


def clusters_of(events: Iterable[RunEvent]) -> list[FailureCluster]:
    """Return the clusters of events that come oldest first, sorted by stage, code and signature."""
    found: dict[tuple[str, str, str], FailureCluster] = {}
    for event in filter(is_failure, events):
        key = (event.stage, event.reason_code, signature_of(event))
        found[key] = with_event(found.get(key), event)
    return [found[key] for key in sorted(found)]
