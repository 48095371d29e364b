"""One entry of a plan: what happens to a resource, why, from what to what, and at what price."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

from brewslm.address import Address
from brewslm.contracts import Category, Operation, Output

DriftKind = Literal[
    "missing", "changed", "pointer_moved", "upstream_moved", "permission", "unknown"
]
Label = Literal["exact", "estimated", "unknown"]
DRIFT_REPAIR = "drift_repair"


class PlanValue(BaseModel):
    """Base of the values in a plan: frozen; readers ignore fields of newer minor versions."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, defer_build=True)


class Estimate(PlanValue):
    """A predicted quantity with its band and what it rests on."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    label: Label = "unknown"
    basis: str = ""
    """What the number rests on, such as "4 past runs"; for unknown ones what is missing."""

    @classmethod
    def exact(cls, value: float, basis: str = "") -> "Estimate":
        """Return a quantity that is known."""
        return cls(value=value, low=value, high=value, label="exact", basis=basis)

    @classmethod
    def estimated(cls, value: float, low: float, high: float, basis: str) -> "Estimate":
        """Return a prediction with its band."""
        return cls(value=value, low=low, high=high, label="estimated", basis=basis)


class Price(PlanValue):
    """What an action costs: seconds and bytes."""

    wall_s: Estimate = Estimate()
    memory_bytes: Estimate = Estimate()
    disk_bytes: Estimate = Estimate()
    download_bytes: Estimate = Estimate.exact(0)

    @classmethod
    def free(cls, basis: str = "") -> "Price":
        """Return the price of doing nothing that costs."""
        zero = Estimate.exact(0, basis)
        return cls(wall_s=zero, memory_bytes=zero, disk_bytes=zero, download_bytes=zero)


class Cause(PlanValue):
    """One thing that makes an action necessary; undoing all causes makes it a noop."""

    kind: Literal["field", "input", "content", "version", "artifact", "request"]
    path: str
    before: Any = None
    after: Any = None


class Reuse(PlanValue):
    """Outputs that exist already, so that the work costs nothing."""

    fingerprint: str
    revision: int | None = None
    source: Literal["local", "shared"] = "local"
    outputs: tuple[dict[str, Any], ...] = ()


class Resume(PlanValue):
    """A checkpoint from which interrupted work goes on."""

    step: int
    of: int | None = None
    checkpoint: str
    """Digest of the checkpoint folder."""
    operation_id: str


class Action(PlanValue):
    """What a plan does with one resource."""

    address: str
    target: str
    """The kind."""
    name: str = ""
    operation: Operation
    category: Category | None = None
    """The heaviest category of the change; null on noop."""
    reason: str
    """First code that holds, of a closed list."""
    causes: tuple[Cause, ...] = ()
    fields_changed: tuple[str, ...] = ()
    """Dotted paths of the resource's own spec."""
    before: dict[str, Any] | None = None
    """{spec, outputs} as recorded; null on create."""
    after: dict[str, Any] | None = None
    """{spec, outputs} as far as known; null on delete."""
    after_unknown: dict[str, Any] = {}
    """The shape of `after`, true at each leaf that only apply can fill."""
    origins: dict[str, str] = {}
    """Dotted spec path to default, mode:NAME, profile:NAME, manifest or auto-fix:CODE."""
    host: dict[str, Any] = {}
    """Values that this host uses instead of the spec's; no part of the identity."""
    fingerprint: str | None = None
    """Null until all inputs are known."""
    facts: dict[str, Any] | None = None
    """The readable facts behind the fingerprint."""
    reuse: Reuse | None = None
    nearest: dict[str, Any] | None = None
    """When nothing can be reused: the nearest earlier run {revision, fingerprint, differs}."""
    resume: Resume | None = None
    moved_from: str = ""
    """The address that its record has so far, where it was renamed."""
    replaces: bool = False
    """The work is done again, whatever is kept of it."""
    may_stop: bool = False
    """An upstream might yield the same digest again, and then this action is not needed."""
    data: dict[str, Any] | None = None
    """Counts and positions of data kinds, tiers and gates of eval_pack."""
    keeps: str = ""
    """What stays until required gates have passed, as a sentence fragment."""
    estimate: Price = Price()

    @property
    def parsed_address(self) -> Address:
        """The address as a value."""
        return Address.parse(self.address)

    @property
    def is_work(self) -> bool:
        """Whether apply has to do anything."""
        return self.operation is not Operation.NOOP

    @property
    def is_repair(self) -> bool:
        """Whether all it does is to lay out again what is recorded and kept."""
        return self.reason == DRIFT_REPAIR and self.before == self.after

    def as_repair(self) -> Self:
        """Return the action that does nothing but lay out again what is recorded."""
        return self.model_copy(update={"reason": DRIFT_REPAIR, "after": self.before})


class Drift(PlanValue):
    """A recorded thing that differs from the real one."""

    address: str
    kind: DriftKind
    path: str
    before: Any = None
    after: Any = None
    repair: str = ""
    """What apply does about it; empty when it leaves it alone."""
    remedy: str = ""
    """What a person can do where apply does nothing."""


class GateChange(PlanValue):
    """How a gate differs from the one that was last applied."""

    kind: str
    address: str
    path: str
    before: Any = None
    after: Any = None
    weakened: bool = False


class HeldBack(PlanValue):
    """What stays where it is because required gates do not pass."""

    gates: tuple[str, ...]
    """Names of the required gates that do not pass."""
    addresses: tuple[str, ...]
    """Exports and the deployment that are left alone."""
    revision: int | None = None
    """The revision that promoted what stays promoted; null when nothing is."""
    alias: str = ""
    """The name that it is promoted under."""


class PlanInput(PlanValue):
    """A file that the plan read; the path is relative to the project, with /."""

    address: str
    path: str
    digest: str
    size_bytes: int


def snapshot(spec: Mapping[str, Any], outputs: Mapping[str, Output]) -> dict[str, Any]:
    """Return {spec, outputs} as an action holds them before and after."""
    return {
        "spec": dict(spec),
        "outputs": {name: output.to_json() for name, output in sorted(outputs.items())},
    }
