"""How a project stands beside the ref that it follows: a line for a log, or all that is known."""

import json
from collections.abc import Iterator

from brewslm.render.words import visible
from brewslm.sync import Condition, SyncReport

_LABEL = 14


def sync_json(report: SyncReport) -> str:
    """Return a report as one line of JSON."""
    document = report.model_dump(mode="json")
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n"


def sync_line(report: SyncReport) -> str:
    """Return a report as one line: when, which commit, sync/health, what there is to do, and the
    gravest reason.
    """
    parts = [
        report.at,
        report.sync.revision[:7] or "(none)",
        f"{report.sync.status}/{report.health.status}",
        visible(report.message),
    ]
    if report.operation is not None:
        parts.append(f"{report.operation.phase} {report.operation.revision[:7]}")
    parts += [f"{item.code}: {visible(item.message)}" for item in _gravest(report)]
    return "  ".join(part for part in parts if part) + "\n"


def sync_text(report: SyncReport) -> str:
    """Return everything that a report says."""
    lines = [f"{label + ':':<{_LABEL}} {visible(text)}" for label, text in _facts(report) if text]
    for item in report.conditions:
        lines.append(f"{item.severity}[{item.code}]: {visible(item.message)}")
        lines += [f"  do:       {visible(item.remedy)}"] if item.remedy else []
    return "\n".join(lines) + "\n"


def _facts(report: SyncReport) -> Iterator[tuple[str, str]]:
    remote = f" of {report.target.remote}" if report.target.remote else ""
    yield "Follows", f"{report.target.ref}{remote}"
    commit = f" at {report.sync.revision[:7]}" if report.sync.revision else ""
    yield "Sync", f"{report.sync.status}{commit}"
    yield "Health", str(report.health.status)
    yield "Plan", report.message
    if report.operation is not None:
        operation = report.operation
        ended = f", ended {operation.finished_at}" if operation.finished_at else ""
        began = f"of {operation.revision[:7]}, begun {operation.started_at}"
        yield "Operation", f"{operation.phase} {began}{ended}"
    if report.last_applied is not None:
        applied = report.last_applied
        commit = f" of {applied.commit[:7]}" if applied.commit else ""
        yield "Last applied", f"revision {applied.revision}{commit}, {applied.finished_at}"
    yield "Looked at", report.at
    yield "Next look", report.next_retry_at or ""


def _gravest(report: SyncReport) -> list[Condition]:
    for severity in ("error", "warning"):
        for item in report.conditions:
            if item.severity == severity:
                return [item]
    return []
