"""Why a project is not as its ref asks, as conditions; and which reasons pass by themselves."""

from collections.abc import Iterable
from typing import Literal

from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.errors import (
    BrewError,
    LeaseLostError,
    RefusedError,
    StalePlanError,
    StateLockedError,
    UnreachableError,
)
from brewslm.events import ActionErrorEvent, Event, GateEvent, SummaryEvent
from brewslm.plan.action import HeldBack
from brewslm.sync import Condition, Failure

_MOST_FINDINGS = 50
_SEVERITIES: dict[Severity, Literal["info", "warning", "error"]] = {
    Severity.INFO: "info",
    Severity.WARNING: "warning",
    Severity.ERROR: "error",
}
_PASSING = frozenset(
    {"ref_missing", "store_unreachable", "state_write_failed", "disk_full", "permission_denied"}
)
"""Codes of errors that say nothing about the commit and are gone once somebody mended the place."""
_PASSING_IN_ACTIONS = frozenset({"store_unreachable", "state_write_failed"})


class Heard:
    """A listener that keeps what an apply came to, and why it did not succeed."""

    def __init__(self) -> None:
        """Nothing was heard yet."""
        self.conditions: list[Condition] = []
        self.result = ""
        self._codes: set[str] = set()

    def __call__(self, event: Event) -> None:
        """Take an event."""
        match event:
            case ActionErrorEvent():
                self._codes.add(event.reason_code)
                message = f"{event.address}: {event.message}"
                self._add(event.reason_code, message, event.remedy)
            case GateEvent() if event.required and event.verdict.lower() != "pass":
                self._codes.add("gate_not_passed")
                message = f"{event.address}: gate {event.gate_id} {event.verdict}, {event.reason}"
                self._add("gate_not_passed", message, "brewslm show eval_pack")
            case SummaryEvent():
                is_revision = event.revision is not None
                self.result = f"Applied revision {event.revision}" if is_revision else "Repaired"

    @property
    def is_passing(self) -> bool:
        """Whether nothing but an unreachable store kept the work from its end."""
        return bool(self._codes) and self._codes <= _PASSING_IN_ACTIONS

    def _add(self, code: str, message: str, remedy: str) -> None:
        self.conditions.append(Condition(code=code, message=message, remedy=remedy))


def is_passing(error: BrewError) -> bool:
    """Return whether an error may be gone at the next look without anything being decided."""
    is_own = isinstance(error, StateLockedError | StalePlanError | LeaseLostError)
    return is_own or isinstance(error, UnreachableError) or error.code in _PASSING


def of_error(error: BrewError) -> Condition:
    """Return the condition that an error makes."""
    found = f": {error.found}" if error.found else ""
    return Condition(
        code=error.code,
        severity="warning" if is_passing(error) else "error",
        message=f"{error.message}{found}",
        remedy=error.remedy,
        needs_person=not is_passing(error),
    )


def of_findings(findings: Iterable[Finding]) -> list[Condition]:
    """Return the conditions that error findings make, the first fifty."""
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    return [_of_finding(finding) for finding in errors[:_MOST_FINDINGS]]


def of_hold(findings: Iterable[Finding]) -> list[Condition]:
    """Return the condition that a rollback makes which holds the deployment."""
    return [
        _of_finding(finding) for finding in findings if finding.code == FindingCode.HELD_BY_ROLLBACK
    ]


def held_back(held: HeldBack) -> Condition:
    """Return the condition of a candidate that did not pass."""
    serving = f", revision {held.revision} stays promoted" if held.revision else ""
    return Condition(
        code="gate_not_passed",
        message=f"required gates do not pass: {', '.join(held.gates)}{serving}",
        remedy="brewslm show eval_pack",
        needs_person=True,
    )


def not_retried(failure: Failure) -> Condition:
    """Return the condition of a commit that failed before."""
    return Condition(
        code="not_retried",
        severity="warning",
        message=f"this commit failed at {failure.operation.finished_at} and is not tried again",
        remedy="push a mend; or try this commit once more: brewslm reconcile --retry",
        needs_person=True,
    )


def rewritten(before: str, after: str) -> Condition:
    """Return the condition of a ref that was moved to a commit that does not follow."""
    return Condition(
        code="history_rewritten",
        severity="warning",
        message=f"{after[:7]} does not come after {before[:7]}; the ref is followed all the same",
        remedy="protect the branch against force pushes if this is not meant",
    )


def died(times: int) -> Condition:
    """Return the condition of a commit at which the process was killed again and again."""
    return Condition(
        code="died_repeatedly",
        message=f"the process was killed {times} times while it applied this commit",
        remedy="see what killed it (memory?), then: brewslm reconcile --retry",
        needs_person=True,
    )


def interrupted() -> Condition:
    """Return the condition of an apply that a signal ended."""
    return Condition(
        code="interrupted",
        severity="warning",
        message="a signal ended the apply; what was done is recorded",
        remedy="brewslm reconcile goes on from the newest checkpoint",
    )


def head_moved(found: str | None) -> StalePlanError:
    """Return the error of a clone that somebody else moved meanwhile."""
    return StalePlanError(
        "somebody else moved the clone while it was planned",
        code="head_moved",
        found=(found or "no commit")[:12],
        expected="the commit that was checked out",
        remedy="give the loop a clone of its own; it is tried again",
    )


def offline(remote: str) -> RefusedError:
    """Return the error of fetching where no socket may be opened."""
    return RefusedError(
        f"remote {remote} would be fetched, and no socket may be opened",
        code="network_refused",
        found="--offline",
        expected="a connection to the remote",
        remedy="run the command without --offline, or without --remote",
    )


def _of_finding(finding: Finding) -> Condition:
    place = str(finding.place) or finding.address
    return Condition(
        code=str(finding.code),
        severity=_SEVERITIES[finding.severity],
        message=f"{place}: {_said(finding)}" if place else _said(finding),
        remedy=finding.actionable_fix,
        needs_person=True,
    )


def _said(finding: Finding) -> str:
    field = f"{finding.field}: " if finding.field else ""
    found = f" ({finding.found})" if finding.found else ""
    return f"{field}{finding.message}{found}"
