"""What the state remembers, as plain frozen values.

Documents inside records (specs, facts, outputs, values) are JSON values that the state never
interprets. Times are RFC 3339 text in UTC, given by the caller; order comes from serials and
sequence numbers, never from times.
"""

from collections.abc import Collection
from enum import StrEnum
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from brewslm.contracts import Output

SCHEMA_VERSION = 1


class Status(StrEnum):
    """How a recorded resource stands."""

    CURRENT = "current"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    QUARANTINED = "quarantined"


class Meta(Struct, frozen=True):
    """Identity and version of a state; `fence` is the highest number that was ever given out."""

    schema_version: int
    lineage: str
    serial: int
    fence: int = 0
    migrated_from: int | None = None
    """Version that the store still holds, where this is a look at a copy that was brought to
    `schema_version`; None where both are the same."""


class ResourceRecord(Struct, frozen=True):
    """What was last applied at an address.

    `facts` are the readable values whose digest is `fingerprint`; `values` are small results
    (counts, metrics). `parts` are the produced pieces of a resource with fingerprints of their own:
    name to {fingerprint, digest}.
    """

    address: str
    kind: str
    spec_version: int
    spec: dict[str, Any]
    facts: dict[str, Any]
    fingerprint: str
    outputs: dict[str, Output] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)
    status: Status = Status.CURRENT
    reason: str = ""
    serial: int = 0
    revision: int = 0
    former: tuple[str, ...] = ()
    """Addresses that it had before, newest first."""


class OperationStatus(StrEnum):
    """How an entry of the journal ended; BEGUN means that it has not."""

    BEGUN = "begun"
    ENDED = "ended"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    DISCARDED = "discarded"


class OperationRecord(Struct, frozen=True):
    """One entry of the journal: an action of an apply, begun and perhaps ended.

    `folder` is relative to the project's .brewslm folder. `checkpoints` are {step, path, digest,
    size_bytes}, oldest first, path relative to `folder`. `predicted` and `actual` hold wall_s,
    memory_bytes and disk_bytes; `actual` also work_s, the seconds that the worker spent, and where
    they grow with tokens or rows their number and how many a second.
    """

    operation_id: str
    apply_id: str
    address: str
    kind: str
    operation: str
    fingerprint: str
    fence: int
    folder: str
    begun_at: str
    status: OperationStatus = OperationStatus.BEGUN
    ended_at: str = ""
    reason_code: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    checkpoints: tuple[dict[str, Any], ...] = ()
    predicted: dict[str, Any] = field(default_factory=dict)
    actual: dict[str, Any] = field(default_factory=dict)

    def with_checkpoint(
        self, checkpoint: dict[str, Any], superseded: Collection[str]
    ) -> "OperationRecord":
        """Return the entry with one more checkpoint, without those of the superseded paths and
        without an earlier one of the same path.
        """
        gone = {*superseded, *([checkpoint["path"]] if "path" in checkpoint else [])}
        kept = (item for item in self.checkpoints if item.get("path") not in gone)
        return replace(self, checkpoints=(*kept, checkpoint))


class LeaseRecord(Struct, frozen=True):
    """The right to write, as data: who holds it, for what, since when and until when."""

    lease_id: str
    holder: str
    operation: str
    host: str
    pid: int
    pid_started: str
    boot_id: str
    git_commit: str
    run_url: str
    acquired_at: str
    renewed_at: str
    expires_at: str
    fence: int
    pid_namespace: str = ""
    renewed_boot_s: float = 0.0
    """When it was renewed, by the clock of `boot_id`; 0 where there is no such clock."""


class RevisionRecord(Struct, frozen=True):
    """One finished apply that changed content."""

    revision: int
    serial: int
    manifest_digest: str
    git_commit: str
    actor: str
    plan_digest: str
    finished_at: str
    actions: tuple[dict[str, Any], ...] = ()
    verdicts: dict[str, Any] = field(default_factory=dict)
    effective_manifest: dict[str, Any] = field(default_factory=dict)
    is_partial: bool = False
    outputs: dict[str, Any] = field(default_factory=dict)
    """Address to name to the kept bytes of that resource as they were then."""


class DeploymentRecord(Struct, frozen=True):
    """What a promoted pointer names, and on what evidence. The newest of an alias is in force."""

    alias: str
    sequence: int
    digest: str
    """Of the LoRA adapter folder that is promoted."""
    base_digest: str
    fingerprint: str
    evidence_digest: str
    """Of the verdict document that says PASS for exactly `digest`."""
    revision: int
    promoted_at: str
    details: dict[str, Any] = field(default_factory=dict)


class RunEvent(Struct, frozen=True):
    """One line of the append-only history of runs, chained by digest."""

    sequence: int
    event_id: str
    run_id: str
    stage: str
    severity: str
    reason_code: str
    actor: str
    summary: str
    payload: dict[str, Any]
    at: str
    previous_digest: str = ""
