"""The plan: one frozen value that text, JSON, Markdown, the saved file and apply all walk."""

from collections.abc import Iterable
from typing import Any, Literal

from brewslm.contracts import Operation
from brewslm.diagnostics import Finding, Severity, sorted_findings
from brewslm.fingerprint import canonical_json, digest_value
from brewslm.plan.action import (
    DRIFT_REPAIR,
    Action,
    Drift,
    GateChange,
    HeldBack,
    PlanInput,
    PlanValue,
    Price,
)

FORMAT_VERSION = "1.0"
REFRESH_ONLY = "refresh_only"
_REPAIRS = frozenset({DRIFT_REPAIR, "artifact_missing", "artifact_corrupt"})


class ProjectFacts(PlanValue):
    """Which project and which state a plan was made for."""

    name: str
    lineage: str
    serial: int


class Plan(PlanValue):
    """What apply will do, in order; noops included."""

    format_version: str = FORMAT_VERSION
    tool_version: str
    options: dict[str, Any] = {}
    project: ProjectFacts
    mode: Literal["normal", "refresh_only", "destroy", "rollback"] = "normal"
    effective_manifest: dict[str, Any]
    manifest_digest: str
    git_commit: str | None = None
    stage_versions: dict[str, int] = {}
    is_complete: bool = True
    is_applyable: bool = True
    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    against: dict[str, Any] | None = None
    inputs: tuple[PlanInput, ...] = ()
    actions: tuple[Action, ...] = ()
    drift: tuple[Drift, ...] = ()
    findings: tuple[dict[str, Any], ...] = ()
    gate_changes: tuple[GateChange, ...] = ()
    held_back: HeldBack | None = None
    """What an evaluation that is known not to pass keeps from being done; null when nothing."""
    policy: dict[str, Any] | None = None
    estimate: Price = Price()
    summary: dict[str, int] = {}
    digest: str = ""

    def sealed(self) -> "Plan":
        """Return the plan with its summary counted and its own digest filled in."""
        counts = {str(operation): 0 for operation in Operation}
        for action in self.actions:
            counts[str(action.operation)] += 1
        counted = self.model_copy(update={"summary": counts})
        return counted.model_copy(update={"digest": digest_value(counted.unsigned())})

    def noted(self, findings: Iterable[Finding], *, can_apply: bool = True) -> "Plan":
        """Return the plan with more findings; can_apply: False says that it can't be applied."""
        told = sorted_findings([*self.finding_values, *findings])
        has_errors = any(finding.severity is Severity.ERROR for finding in told)
        return self.model_copy(
            update={
                "findings": tuple(finding.to_json() for finding in told),
                "is_applyable": self.is_applyable and can_apply and not has_errors,
            }
        ).sealed()

    def unsigned(self) -> dict[str, Any]:
        """Return the plan as JSON values without its digest."""
        document = self.model_dump(mode="json")
        del document["digest"]
        return document

    def to_bytes(self) -> bytes:
        """Return the canonical JSON of the plan with one line feed at the end."""
        return canonical_json(self.model_dump(mode="json")) + b"\n"

    @property
    def finding_values(self) -> tuple[Finding, ...]:
        """The findings as values."""
        return tuple(Finding.from_json(document) for document in self.findings)

    @property
    def has_changes(self) -> bool:
        """Whether apply would do anything: an action that is no noop, or drift to repair."""
        if any(action.is_work for action in self.actions):
            return True
        return self.mode != REFRESH_ONLY and any(drift.repair for drift in self.drift)

    @property
    def is_pending(self) -> bool:
        """Whether a plan counts as one with changes: drift does too, also what apply leaves alone,
        such as a changed base model.
        """
        return self.has_changes or bool(self.drift)

    @property
    def is_only_repair(self) -> bool:
        """Whether nothing is wanted that is not recorded, and drift is all there is to act on."""
        reasons = {action.reason for action in self.actions if action.is_work}
        return bool(self.drift) and reasons <= _REPAIRS
