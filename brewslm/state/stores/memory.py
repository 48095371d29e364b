"""A state in memory: for tests, doubles, and looking at a state that came as a document.

Records are kept as JSON text, as a file would keep them, so nothing is shared with the caller.
"""

import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from brewslm.state import faults
from brewslm.state.documents import differs, from_text, to_text
from brewslm.state.failure_clusters import FailureCluster, clusters_of
from brewslm.state.lease import locked_error, lost_error, may_take_over, renewed
from brewslm.state.records import (
    SCHEMA_VERSION,
    DeploymentRecord,
    LeaseRecord,
    Meta,
    OperationRecord,
    OperationStatus,
    ResourceRecord,
    RevisionRecord,
    RunEvent,
)
from brewslm.state.run_events import chained, check_event
from brewslm.state.store import StateReader

R = TypeVar("R", bound=Struct)

_OPEN = (OperationStatus.BEGUN, OperationStatus.INTERRUPTED)


@dataclass
class Content:
    """All that a state holds; lists are oldest first."""

    meta: Meta
    lease: str | None = None
    resources: dict[str, tuple[str, int]] = field(default_factory=dict)
    operations: dict[str, str] = field(default_factory=dict)
    revisions: list[str] = field(default_factory=list)
    deployments: list[str] = field(default_factory=list)
    run_events: list[str] = field(default_factory=list)

    def copy(self) -> "Content":
        """Return content of its own."""
        return Content(
            self.meta,
            self.lease,
            dict(self.resources),
            dict(self.operations),
            list(self.revisions),
            list(self.deployments),
            list(self.run_events),
        )


class MemoryReader:
    """One consistent look at content that nobody changes."""

    def __init__(self, content: Content) -> None:
        """content: belongs to this reader."""
        self._content = content

    def meta(self) -> Meta:
        """Return schema version, lineage and serial."""
        return self._content.meta

    def resources(self) -> dict[str, ResourceRecord]:
        """Return all records by address."""
        return {
            address: replace(from_text(ResourceRecord, text), serial=serial)
            for address, (text, serial) in sorted(self._content.resources.items())
        }

    def operations(
        self, *, only_open: bool = False, kind: str | None = None, limit: int | None = None
    ) -> list[OperationRecord]:
        """Return journal entries, newest first."""
        found = _newest(OperationRecord, list(self._content.operations.values()))
        return list(
            islice(
                (
                    item
                    for item in found
                    if (not only_open or item.status in _OPEN) and kind in (None, item.kind)
                ),
                limit,
            )
        )

    def lease(self) -> LeaseRecord | None:
        """Return the lease that is held."""
        text = self._content.lease
        return None if text is None else from_text(LeaseRecord, text)

    def revisions(self, limit: int | None = None) -> list[RevisionRecord]:
        """Return revisions, newest first."""
        return list(islice(_newest(RevisionRecord, self._content.revisions), limit))

    def deployments(self, alias: str | None = None) -> list[DeploymentRecord]:
        """Return promotions, newest first."""
        found = _newest(DeploymentRecord, self._content.deployments)
        return [item for item in found if alias in (None, item.alias)]

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
        found = (
            item
            for item in _newest(RunEvent, self._content.run_events)
            if stage in (None, item.stage)
            and severity in (None, item.severity)
            and reason_code in (None, item.reason_code)
            and (since is None or item.at >= since)
        )
        return list(islice(found, limit))

    def failure_clusters(self) -> list[FailureCluster]:
        """Return failures that look the same, by stage, reason and signature."""
        return clusters_of(self.run_events())

    def close(self) -> None:
        """End the look."""


class MemoryStore:
    """A state of this process."""

    def __init__(self) -> None:
        """Hold no state yet."""
        self._lock = threading.RLock()
        self._content: Content | None = None

    def exists(self) -> bool:
        """Return whether there is a state."""
        return self._content is not None

    def create(self, lineage: str) -> Meta:
        """Make an empty state with this lineage.

        Raises: StateError when there is one already.
        """
        with self._lock:
            if self._content is not None:
                raise faults.already_there("a state in memory")
            meta = Meta(SCHEMA_VERSION, lineage, 0)
            self._content = Content(meta)
            return meta

    def read(self) -> MemoryReader:
        """Open one consistent look at the state.

        Raises: StateError when there is none.
        """
        return MemoryReader(self.content())

    def acquire(self, wanted: LeaseRecord, now: str) -> "MemorySession":
        """Take the lease and open a session under it.

        Raises: StateLockedError, StateError.
        """
        with self.changing() as content:
            held = MemoryReader(content).lease()
            if held is not None and not may_take_over(held, wanted, now):
                raise locked_error(held)
            lease = replace(wanted, fence=content.meta.fence + 1)
            content.meta = replace(content.meta, fence=lease.fence)
            content.lease = to_text(lease)
        return MemorySession(self, lease, held)

    def force_unlock(self, lease_id: str, event: RunEvent | None = None) -> LeaseRecord:
        """End exactly that lease, raise the fence and add the event to the history.

        Raises: StateLockedError when another lease is held, StateError when none is.
        """
        with self.changing() as content:
            held = MemoryReader(content).lease()
            if held is None:
                raise faults.lease_free()
            if held.lease_id != lease_id:
                raise locked_error(held)
            content.lease = None
            content.meta = replace(content.meta, fence=content.meta.fence + 1)
            if event is not None:
                append_event(content, event)
        return held

    def content(self) -> Content:
        """Return a copy of what is held.

        Raises: StateError when there is no state.
        """
        with self._lock:
            if self._content is None:
                raise faults.not_there("state in memory")
            return self._content.copy()

    @contextmanager
    def changing(self) -> Iterator[Content]:
        """Keep what the block does to the content, or nothing of it."""
        with self._lock:
            content = self.content()
            yield content
            self._content = content


class ContentStore(Protocol):
    """Where a session's content is kept."""

    def content(self) -> Content:
        """Return a copy of what is held.

        Raises: StateError.
        """
        ...

    def changing(self) -> AbstractContextManager[Content]:
        """Keep what the block does to the content, or nothing of it.

        Raises: StateError.
        """
        ...


class MemorySession(MemoryReader):
    """A state under a lease, changed as a whole."""

    def __init__(
        self,
        store: ContentStore,
        lease: LeaseRecord,
        taken_over: LeaseRecord | None = None,
        skew_s: float = 0.0,
    ) -> None:
        """store: where the lease was taken; taken_over: the lease before; skew_s: how far the
        store's clock is ahead of this machine's.
        """
        self._store = store
        self._held = lease
        self._taken_over = taken_over
        self._skew_s = skew_s
        self._is_released = False

    @property
    def _content(self) -> Content:  # type: ignore[override]  # a session looks at the present
        return self._store.content()

    @property
    def fence(self) -> int:
        """The fence number that this session's writes carry."""
        return self._held.fence

    @property
    def taken_over(self) -> LeaseRecord | None:
        """The lease of a dead or silent holder that this session's lease replaced."""
        return self._taken_over

    @property
    def skew_s(self) -> float:
        """How far the store's clock was ahead of this machine's."""
        return self._skew_s

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Keep the lease from being taken over while a block changes files."""
        with self._writing():
            yield

    def begin(self, operation: OperationRecord) -> None:
        """Record that an action begins."""
        with self._writing() as content:
            if operation.operation_id in content.operations:
                raise ValueError(f"begun twice: {operation.operation_id}")
            content.operations[operation.operation_id] = to_text(operation)

    def add_checkpoint(
        self,
        operation_id: str,
        checkpoint: dict[str, object],
        *,
        superseded: Collection[str] = (),
    ) -> None:
        """Record a durable checkpoint of an action that is under way; forget superseded ones."""
        with self._writing() as content:
            record = from_text(OperationRecord, content.operations[operation_id])
            grown = record.with_checkpoint(checkpoint, superseded)
            content.operations[operation_id] = to_text(grown)

    def end(
        self,
        operation: OperationRecord,
        *,
        records: Sequence[ResourceRecord] = (),
        removed: Sequence[str] = (),
        deployment: DeploymentRecord | None = None,
    ) -> Meta:
        """Close a journal entry and put and remove resource records with it."""
        with self._writing() as content:
            if operation.operation_id not in content.operations:
                raise KeyError(operation.operation_id)
            content.operations[operation.operation_id] = to_text(operation)
            stored = MemoryReader(content).resources()
            changed = [item for item in records if differs(item, stored.get(item.address))]
            gone = [address for address in removed if address in stored]
            if changed or gone or deployment is not None:
                content.meta = replace(content.meta, serial=content.meta.serial + 1)
            for record in changed:
                content.resources[record.address] = (to_text(record), content.meta.serial)
            for address in gone:
                content.resources.pop(address, None)
            if deployment is not None:
                earlier = MemoryReader(content).deployments(deployment.alias)
                sequence = earlier[0].sequence + 1 if earlier else 1
                content.deployments.append(to_text(replace(deployment, sequence=sequence)))
            return content.meta

    def add_revision(self, revision: RevisionRecord) -> RevisionRecord:
        """Append a revision with the next number."""
        with self._writing() as content:
            newest = MemoryReader(content).revisions(limit=1)
            number = newest[0].revision + 1 if newest else 1
            filled = replace(revision, revision=number, serial=content.meta.serial)
            content.revisions.append(to_text(filled))
        return filled

    def add_run_event(self, event: RunEvent) -> RunEvent:
        """Append to the history."""
        with self._writing() as content:
            return append_event(content, event)

    def restore(self, pulled: StateReader, serial: int) -> Meta:
        """Put what another look shows in place of this state's own."""
        with self._writing() as content:
            meta = pulled.meta()
            lease = replace(self._held, fence=max(self.fence, meta.fence))
            content.meta = replace(
                content.meta, lineage=meta.lineage, serial=serial, fence=lease.fence
            )
            content.lease = to_text(lease)
            content.resources = {
                record.address: (to_text(record), record.serial)
                for record in pulled.resources().values()
            }
            content.revisions = [to_text(item) for item in reversed(pulled.revisions())]
            content.deployments = [to_text(item) for item in reversed(pulled.deployments())]
            self._held = lease
            return content.meta

    def renew(self, renewed_at: str, expires_at: str) -> LeaseRecord:
        """Extend the lease."""
        with self._writing() as content:
            lease = renewed(self._held, renewed_at, expires_at)
            content.lease = to_text(lease)
        self._held = lease
        return lease

    def release(self) -> None:
        """Give the lease back."""
        if self._is_released:
            return
        self._is_released = True
        with self._store.changing() as content:
            held = MemoryReader(content).lease()
            if held is not None and held.fence == self.fence:
                content.lease = None

    def close(self) -> None:
        """Give the lease back."""
        self.release()

    @contextmanager
    def _writing(self) -> Iterator[Content]:
        if self._is_released:
            raise faults.lease_given_back()
        with self._store.changing() as content:
            held, current = MemoryReader(content).lease(), content.meta.fence
            if held is None or held.fence != self.fence or current != self.fence:
                raise lost_error(self._held, MemoryReader(content))
            yield content


def _newest(kind: type[R], texts: Sequence[str]) -> Iterable[R]:
    return (from_text(kind, text) for text in reversed(texts))


def append_event(content: Content, event: RunEvent) -> RunEvent:
    """Add an event to the chain and return it filled in.

    Raises: StateError for an event that is on no list.
    """
    check_event(event)
    newest = MemoryReader(content).run_events(limit=1)
    filled = chained(event, newest[0] if newest else None)
    content.run_events.append(to_text(filled))
    return filled
