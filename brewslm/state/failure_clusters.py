"""Failures of a project that look the same, counted over its whole history of runs."""

import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

from brewslm.fingerprint import digest_value
from brewslm.state.records import RunEvent

_EXEMPLARS = 5
_MASKED = (
    (
        re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z?)?|\d\d:\d\d:\d\d"),
        "<time>",
    ),
    (re.compile(r"[^\s'\"]*[/\\][^\s'\"]*"), "<path>"),
    (re.compile(r"\b[0-9a-fA-F]{8,}\b"), "<hex>"),
    (re.compile(r"\d+(?:[.,]\d+)*"), "<number>"),
    (re.compile(r"\s+"), " "),
)
"""What differs between two reports of one failure, in the order in which it is masked."""


class FailureCluster(Struct, frozen=True):
    """Failures of one stage, reason and wording; exemplars are newest first."""

    stage: str
    reason_code: str
    signature: str
    failure_count: int
    first_seen_at: str
    last_seen_at: str
    exemplar_event_ids: list[str]
    exemplar_summaries: list[str]
    exemplar_run_ids: list[str]
    last_computed_at: str


def is_failure(event: RunEvent) -> bool:
    """Return whether an event reports a failure."""
    return event.severity in ("error", "critical")


def signature(event: RunEvent) -> str:
    """Return 16 hex digits that failures of one wording have in common."""
    masked = event.summary
    for pattern, word in _MASKED:
        masked = pattern.sub(word, masked)
    identity = [event.stage, event.reason_code, masked.strip()]
    return digest_value(identity).removeprefix("sha256:")[:16]


def cluster_of(events: Sequence[RunEvent]) -> FailureCluster:
    """Return the cluster of some failures with one signature, given newest first."""
    newest = events[0]
    shown = events[:_EXEMPLARS]
    return FailureCluster(
        stage=newest.stage,
        reason_code=newest.reason_code,
        signature=signature(newest),
        failure_count=len(events),
        first_seen_at=events[-1].at,
        last_seen_at=newest.at,
        exemplar_event_ids=[item.event_id for item in shown],
        exemplar_summaries=[item.summary for item in shown],
        exemplar_run_ids=[item.run_id for item in shown],
        last_computed_at=newest.at,
    )


def clusters_of(events: Iterable[RunEvent]) -> list[FailureCluster]:
    """Return all clusters of a history given newest first, by stage, reason and signature."""
    members: dict[tuple[str, str, str], list[RunEvent]] = {}
    for event in events:
        if is_failure(event):
            key = event.stage, event.reason_code, signature(event)
            members.setdefault(key, []).append(event)
    return [cluster_of(own) for _, own in sorted(members.items())]
