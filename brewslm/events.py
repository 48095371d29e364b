"""What apply tells while it works: a closed list of small typed events.

Text on a terminal, the NDJSON stream and files are listeners in render/. `seq` and `ts` are added
by the stream that writes events; the values here know no clock.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Level = Literal["info", "warning", "error", "critical"]
FORMAT_VERSION = "1.0"


class Event(BaseModel):
    """Base of all events; `message` is the sentence that a person would see."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    type: str
    level: Level = "info"
    message: str = ""
    operation_id: str = ""


class VersionEvent(Event):
    """First line of every stream."""

    type: Literal["version"] = "version"
    tool_version: str
    format_version: str = FORMAT_VERSION
    operation: Literal["apply", "destroy", "rollback", "refresh_only"] = "apply"
    project: str
    lineage: str


class PlanEvent(Event):
    """The plan that will be carried out."""

    type: Literal["plan"] = "plan"
    plan_digest: str
    source: Literal["fresh", "file"]
    summary: dict[str, int]
    estimate: dict[str, Any]
    is_complete: bool = True


class ApprovalEvent(Event):
    """Whether the plan was approved, and how."""

    type: Literal["approval"] = "approval"
    mode: Literal["prompt", "auto", "file"]
    is_granted: bool


class PlannedActionEvent(Event):
    """One action that will be carried out; noops are left out."""

    type: Literal["planned_action"] = "planned_action"
    address: str
    operation: str
    category: str | None
    reason: str
    reuse: dict[str, Any] | None = None
    resume: dict[str, Any] | None = None
    estimate: dict[str, Any] = {}


class DriftEvent(Event):
    """A recorded thing differs from the real one."""

    type: Literal["drift"] = "drift"
    address: str
    kind: str
    path: str
    before: Any = None
    after: Any = None
    repair: str = ""


class FindingEvent(Event):
    """A finding of the plan."""

    type: Literal["finding"] = "finding"
    finding: dict[str, Any]


class LeaseWaitEvent(Event):
    """Somebody else holds the lease, and this run waits."""

    type: Literal["lease_wait"] = "lease_wait"
    holder: str
    operation: str
    acquired_at: str
    expires_at: str
    waited_s: float


class LeaseAcquiredEvent(Event):
    """This run holds the lease."""

    type: Literal["lease_acquired"] = "lease_acquired"
    lease_id: str
    fence: int
    expires_in_s: float
    taken_over_from: str | None = None


class LeaseLostEvent(Event):
    """This run must not write any more."""

    type: Literal["lease_lost"] = "lease_lost"
    level: Level = "critical"
    fence: int
    current_fence: int | None
    cause: Literal["taken_over", "forced", "unreachable"]


class RecoveryEvent(Event):
    """What was decided about an unfinished operation of an earlier run."""

    type: Literal["recovery"] = "recovery"
    address: str
    decision: Literal["adopted", "resumed", "redone", "discarded"]
    digest: str = ""
    step: int | None = None


class ActionStartEvent(Event):
    """An action begins; its Begin is durable."""

    type: Literal["action_start"] = "action_start"
    address: str
    operation: str
    reason: str
    index: int
    total: int
    resumes_from: int | None = None


class ActionProgressEvent(Event):
    """An action goes on."""

    type: Literal["action_progress"] = "action_progress"
    address: str
    unit: Literal["rows", "steps", "examples", "bytes"]
    phase: str = ""
    done: int
    total: int | None
    elapsed_s: float
    eta_s: float | None
    metrics: dict[str, float | None] = {}


class ActionLogEvent(Event):
    """A line of the worker, for people who debug."""

    type: Literal["action_log"] = "action_log"
    address: str
    stream: Literal["stdout", "stderr", "library"]
    text: str


class ActionCheckpointEvent(Event):
    """A checkpoint is durable."""

    type: Literal["action_checkpoint"] = "action_checkpoint"
    address: str
    step: int
    digest: str
    size_bytes: int


class ActionCompleteEvent(Event):
    """An action is done; its End is durable."""

    type: Literal["action_complete"] = "action_complete"
    address: str
    elapsed_s: float
    is_reused: bool = False
    is_adopted: bool = False
    outputs: list[dict[str, Any]] = []
    is_same_as_before: bool = False
    actual: dict[str, float | int | None] = {}
    values: dict[str, Any] = {}


class ActionErrorEvent(Event):
    """An action failed."""

    type: Literal["action_error"] = "action_error"
    level: Level = "error"
    address: str
    reason_code: str
    remedy: str
    elapsed_s: float
    kept: str = ""


class ActionSkipEvent(Event):
    """An action was not begun."""

    type: Literal["action_skip"] = "action_skip"
    address: str
    because: Literal["upstream_failed", "early_cutoff", "interrupted", "gate_blocked"]
    upstream: str


class GateEvent(Event):
    """A gate was decided."""

    type: Literal["gate"] = "gate"
    address: str
    gate_id: str
    metric: str
    slice: str | None
    verdict: str
    reason: str
    value: float | None
    bound: float | None
    threshold: float | None
    n: int
    required: bool
    outcome: dict[str, Any] = {}
    """The whole outcome as verdict.json has it."""


class PromotionEvent(Event):
    """Whether the promoted pointer moved."""

    type: Literal["promotion"] = "promotion"
    address: str
    decision: Literal["moved", "kept", "refused"]
    before: str | None
    after: str | None
    reason_code: str
    evidence: str = ""


class InterruptEvent(Event):
    """A signal arrived."""

    type: Literal["interrupt"] = "interrupt"
    level: Level = "warning"
    signal: str
    count: int
    phase: str


class StateSavedEvent(Event):
    """The state was written."""

    type: Literal["state_saved"] = "state_saved"
    serial: int
    revision: int | None


class RescueEvent(Event):
    """The state could not be written and its content was put elsewhere."""

    type: Literal["rescue"] = "rescue"
    level: Level = "critical"
    path: str
    reason_code: str


class SummaryEvent(Event):
    """Last line of every stream: six address lists whose union is the plan."""

    type: Literal["summary"] = "summary"
    applied: list[str]
    reused: list[str]
    failed: list[str]
    skipped: list[str]
    pending: list[str]
    unchanged: list[str]
    gates: dict[str, int] = {}
    serial: int
    revision: int | None
    exit_code: int
    elapsed_s: float


AnyEvent = Annotated[
    VersionEvent
    | PlanEvent
    | ApprovalEvent
    | PlannedActionEvent
    | DriftEvent
    | FindingEvent
    | LeaseWaitEvent
    | LeaseAcquiredEvent
    | LeaseLostEvent
    | RecoveryEvent
    | ActionStartEvent
    | ActionProgressEvent
    | ActionLogEvent
    | ActionCheckpointEvent
    | ActionCompleteEvent
    | ActionErrorEvent
    | ActionSkipEvent
    | GateEvent
    | PromotionEvent
    | InterruptEvent
    | StateSavedEvent
    | RescueEvent
    | SummaryEvent,
    Field(discriminator="type"),
]

Listener = Callable[[Event], None]
"""Something that is told every event, in order."""
