"""The protocols of a state store: reading for plans and views, writing for whoever holds the lease.

Every store passes `tests/state/test_every_store.py`. Every write of a session carries the fence of
its lease and fails with LeaseLostError when the store has another one. The serial rises by one in
each transaction that changes content, never otherwise.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from brewslm.state.failure_clusters import FailureCluster
from brewslm.state.records import (
    DeploymentRecord,
    LeaseRecord,
    Meta,
    OperationRecord,
    ResourceRecord,
    RevisionRecord,
    RunEvent,
)


class StateReader(Protocol):
    """One consistent look at a state; takes no lease and blocks no writer."""

    def meta(self) -> Meta:
        """Return schema version, lineage, serial and fence."""
        ...

    def resources(self) -> dict[str, ResourceRecord]:
        """Return all records by address, sorted by address."""
        ...

    def operations(
        self, *, only_open: bool = False, kind: str | None = None, limit: int | None = None
    ) -> list[OperationRecord]:
        """Return journal entries, newest first. Open ones are begun or interrupted."""
        ...

    def lease(self) -> LeaseRecord | None:
        """Return the lease that is held, expired or not; None when it is free."""
        ...

    def revisions(self, limit: int | None = None) -> list[RevisionRecord]:
        """Return revisions, newest first."""
        ...

    def deployments(self, alias: str | None = None) -> list[DeploymentRecord]:
        """Return promotions, newest first."""
        ...

    def run_events(
        self,
        *,
        limit: int | None = None,
        stage: str | None = None,
        severity: str | None = None,
        reason_code: str | None = None,
        since: str | None = None,
    ) -> list[RunEvent]:
        """Return run events, newest first."""
        ...

    def failure_clusters(self) -> list[FailureCluster]:
        """Return failures that look the same, by stage, reason and signature."""
        ...

    def close(self) -> None:
        """End the look; a session gives its lease back."""
        ...


class StateSession(StateReader, Protocol):
    """A state under a lease; every write is durable when the call returns.

    Raises from every write: LeaseLostError when the fence is outdated, StateError when the store
    cannot be written.
    """

    @property
    def fence(self) -> int:
        """The fence number that this session's writes carry."""
        ...

    @property
    def taken_over(self) -> LeaseRecord | None:
        """The lease of a dead or silent holder that this session's lease replaced."""
        ...

    @property
    def skew_s(self) -> float:
        """How far the store's clock, which the lease goes by, was ahead of this machine's when the
        lease was taken; 0 for a store of this machine.
        """
        ...

    def holding(self) -> AbstractContextManager[None]:
        """Keep the lease from being taken over while a block changes files that are not the
        state's; the block is short and writes nothing through this session.

        Raises: LeaseLostError before the block when it was taken over already.
        """
        ...

    def begin(self, operation: OperationRecord) -> None:
        """Record that an action begins, before its work does.

        Raises: ValueError for an operation_id that was begun before.
        """
        ...

    def add_checkpoint(
        self,
        operation_id: str,
        checkpoint: dict[str, object],
        *,
        superseded: Collection[str] = (),
    ) -> None:
        """Record a durable checkpoint of an action that is under way, and forget those whose paths
        are superseded by it, or are its own, in the same transaction.

        Raises: KeyError for an operation that never began.
        """
        ...

    def end(
        self,
        operation: OperationRecord,
        *,
        records: Sequence[ResourceRecord] = (),
        removed: Sequence[str] = (),
        deployment: DeploymentRecord | None = None,
    ) -> Meta:
        """Close a journal entry and, in the same transaction, put and remove resource records.

        `operation` replaces the begun entry (same operation_id). Records whose content equals what
        is stored leave the serial alone. A deployment is appended with the next sequence of its
        alias. Raises: KeyError for an operation that never began.
        """
        ...

    def add_revision(self, revision: RevisionRecord) -> RevisionRecord:
        """Append a revision; its number and serial are filled in by the store."""
        ...

    def add_run_event(self, event: RunEvent) -> RunEvent:
        """Append to the history; sequence and previous_digest are filled in by the store."""
        ...

    def restore(self, pulled: StateReader, serial: int) -> Meta:
        """Put the resources, revisions and promotions of another look, and its lineage, in place of
        this state's own under a serial that is given.

        The journal and the history of runs stay. The fence is not lower than either was.
        """
        ...

    def renew(self, renewed_at: str, expires_at: str) -> LeaseRecord:
        """Extend the lease; raises LeaseLostError when it was taken over."""
        ...

    def release(self) -> None:
        """Give the lease back; doing so twice is harmless."""
        ...


class StateStore(Protocol):
    """Where a state lives: opens readers and, with a lease, sessions."""

    def exists(self) -> bool:
        """Return whether there is a state."""
        ...

    def create(self, lineage: str) -> Meta:
        """Make an empty state with this lineage (a UUID); refuses when there is one."""
        ...

    def read(self) -> StateReader:
        """Open for reading.

        Raises: StateVersionError for a newer schema, StateError (state_corrupt) for a broken file.
        """
        ...

    def acquire(self, wanted: LeaseRecord, now: str) -> StateSession:
        """Take the lease and open a session; the store sets the fence, one higher than ever before.

        An expired lease, or one of a dead process of this host and boot, is taken over.
        Raises: StateLockedError that says who holds it and how to get out.
        """
        ...

    def force_unlock(self, lease_id: str, event: RunEvent | None = None) -> LeaseRecord:
        """End exactly that lease and raise the fence; returns what was ended.

        The event is added to the history in the same transaction.

        Raises: StateLockedError when another lease is held, StateError when none is.
        """
        ...
