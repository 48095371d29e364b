"""How a project stands beside the git ref that it follows, in the words of Argo CD.

A report is one line of `brewslm reconcile --json`. A memory is what outlives the process: the last
report, what is followed, and which commits failed, so that none is tried again by itself.
"""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

FORMAT_VERSION = "1.0"
_KEPT_FAILURES = 200


class SyncStatus(StrEnum):
    """Whether what was applied is what the followed commit asks for."""

    SYNCED = "Synced"
    OUT_OF_SYNC = "OutOfSync"
    UNKNOWN = "Unknown"


class HealthStatus(StrEnum):
    """How what is served stands."""

    HEALTHY = "Healthy"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    SUSPENDED = "Suspended"
    MISSING = "Missing"
    UNKNOWN = "Unknown"


class Phase(StrEnum):
    """How an operation went."""

    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    ERROR = "Error"


class SyncValue(BaseModel):
    """Base of all values here."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Target(SyncValue):
    """What is followed."""

    ref: str
    """A branch, a tag or a commit."""
    remote: str = ""
    """The remote that is fetched before each look; empty when none is."""


class Sync(SyncValue):
    """The comparison with the followed commit."""

    status: SyncStatus = SyncStatus.UNKNOWN
    revision: str = ""
    """The commit that was compared; empty when none was found."""


class Health(SyncValue):
    """The worst that is true of what is served."""

    status: HealthStatus = HealthStatus.UNKNOWN


class Condition(SyncValue):
    """One thing to know, and what to do about it."""

    code: str
    severity: Literal["info", "warning", "error"] = "error"
    message: str
    remedy: str = ""
    needs_person: bool = False
    """Whether nothing but a person's decision or a new commit changes it."""


class SyncOperation(SyncValue):
    """The newest apply of the loop."""

    phase: Phase
    revision: str
    """The commit that was applied."""
    manifest_digest: str
    message: str = ""
    started_at: str
    finished_at: str = ""
    exit_code: int | None = None
    """What `brewslm apply` would have ended with; null while it runs."""
    attempts: int = 1
    """How often it was begun without an end before; killed processes count."""


class LastApplied(SyncValue):
    """The newest revision in the state, whoever applied it."""

    commit: str
    revision: int
    serial: int
    finished_at: str


class SyncReport(SyncValue):
    """One look at a project, and what came of it."""

    format_version: str = FORMAT_VERSION
    at: str
    """RFC 3339, UTC."""
    target: Target
    sync: Sync = Sync()
    health: Health = Health()
    message: str = ""
    """The plan, or what is in the way, in a few words."""
    operation: SyncOperation | None = None
    conditions: tuple[Condition, ...] = ()
    last_applied: LastApplied | None = None
    next_retry_at: str | None = None
    """When the loop looks again; null when it does not."""

    @property
    def is_well(self) -> bool:
        """Whether everything is as the followed commit asks."""
        return self.sync.status is SyncStatus.SYNCED and self.health.status is HealthStatus.HEALTHY


class Failure(SyncValue):
    """A commit that is not applied again by itself."""

    revision: str
    manifest_digest: str
    is_repair: bool = False
    """Whether mending what drifted failed, and not the change itself."""
    operation: SyncOperation
    conditions: tuple[Condition, ...] = ()


class SyncMemory(SyncValue):
    """What outlives the process."""

    format_version: str = FORMAT_VERSION
    report: SyncReport | None = None
    followed: Target | None = None
    """What was followed last and was there."""
    moving_to: str = ""
    """The commit that the clone is being moved to; empty when it is not."""
    failures: tuple[Failure, ...] = ()
    """Newest last."""

    def failure_of(self, revision: str, manifest_digest: str) -> Failure | None:
        """Return why a commit is not applied again by itself, None when it may be."""
        key = (revision, manifest_digest)
        found = (item for item in self.failures if (item.revision, item.manifest_digest) == key)
        return next(found, None)

    def with_failure(self, failure: Failure) -> "SyncMemory":
        """Return a memory that holds this failure as the newest one."""
        others = self.without_failure(failure.revision, failure.manifest_digest).failures
        return self.model_copy(update={"failures": (*others[1 - _KEPT_FAILURES :], failure)})

    def without_failure(self, revision: str, manifest_digest: str) -> "SyncMemory":
        """Return a memory in which a commit may be applied again."""
        forgotten = self.failure_of(revision, manifest_digest)
        kept = tuple(item for item in self.failures if item is not forgotten)
        return self.model_copy(update={"failures": kept})
