"""The state of several hosts in an object store, by conditional writes alone.

`head.json` names lineage, serial, fence and the snapshot that is in force; writing it under the
condition that nobody wrote it since is the commit. `snapshots/SERIAL-DIGEST.json` never change; the
last of each serial stays. `lease.json` says who holds the lease. Whoever takes it raises the fence
in the head at once, so that the condition of an old holder fails, however late it wakes.

Expiry is told by the service's clock. Every body holds something unique: a write whose answer was
lost is found to be one's own by reading it back.
"""

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from brewslm.durability import Step, durable
from brewslm.errors import LeaseLostError, StateError, UnreachableError
from brewslm.objects import Object, ObjectFolder
from brewslm.state import faults
from brewslm.state.documents import to_text
from brewslm.state.lease import locked_error, lost_error, may_take_over_shared, moved
from brewslm.state.records import LeaseRecord, Meta, RunEvent
from brewslm.state.schema import SCHEMA, Schema
from brewslm.state.stores._object_session import ObjectSession
from brewslm.state.stores.memory import Content, MemoryReader, append_event

_STATE = Path("state")
_HEAD, _LEASE = "head.json", "lease.json"
_NO_LEASE: dict[str, Any] = {"lease": None, "fence": 0}
_TRIES = 20
"""How often a write is repeated that met somebody else's, or a look that met a newer snapshot."""
_SAME_CLOCK_S = 2.0
"""Clocks that differ by less are taken for equal: the service tells its time in whole seconds."""


class _Seen(Struct):
    """What is in force as it lies there, whatever its version, and the objects that conditions
    name.
    """

    meta: Meta
    snapshot: str
    held: str | None
    head: Object
    lease: Object | None


class _Loaded(Struct):
    """Content at this program's version, and what it was read from."""

    content: Content
    seen: _Seen


class ObjectStateStore:
    """A state below one URL, which need not hold one yet."""

    def __init__(self, url: str, schema: Schema = SCHEMA) -> None:
        """url: s3://BUCKET/PREFIX, or the same with gs or az; schema: the version that is written.

        Raises: StateError.
        """
        with _answers():
            self._folder = ObjectFolder(url)
        self._schema = schema
        self._lock = threading.RLock()
        self._newest: tuple[str, bytes] = ("", b"")

    @property
    def version(self) -> int:
        """The version that is written."""
        return self._schema.version

    def exists(self) -> bool:
        """Return whether there is a state."""
        with _answers():
            return self._folder.find_size(_HEAD) is not None

    def create(self, lineage: str) -> Meta:
        """Make an empty state with this lineage.

        Raises: StateError when there is one already, or the service ignores conditions.
        """
        meta = Meta(self._schema.version, lineage, 0)
        with _answers():
            if self.exists():
                raise faults.already_there(self._folder.name)
            self._check_conditions()
            snapshot = self._put_snapshot(meta.serial, _document_of(Content(meta)))
            if not self._folder.create(_HEAD, _head_bytes(meta, snapshot)):
                raise faults.already_there(self._folder.name)
        return meta

    def read(self) -> MemoryReader:
        """Open one consistent look at the state.

        Raises: StateVersionError, StateError.
        """
        return MemoryReader(self.content())

    def acquire(self, wanted: LeaseRecord, now: str) -> ObjectSession:
        """Take the lease and open a session under it.

        Raises: StateLockedError, StateVersionError, StateError.
        """
        with self._lock, _answers():
            is_older = self._is_older(self._see())
            if not is_older:
                self._load()
            offset_s = self.offset_s()
            asked = replace(
                wanted,
                acquired_at=moved(wanted.acquired_at, offset_s),
                renewed_at=moved(wanted.renewed_at, offset_s),
                expires_at=moved(wanted.expires_at, offset_s),
            )
            lease, before = self._take_lease(asked, moved(now, offset_s))
            self._raise_fence(lease)
        session = ObjectSession(self, lease, before, offset_s)
        if is_older:
            try:
                session.migrate(moved(now, offset_s))
            except BaseException:
                with suppress(StateError):
                    session.release()
                raise
        return session

    def force_unlock(self, lease_id: str, event: RunEvent | None = None) -> LeaseRecord:
        """End exactly that lease, raise the fence and add the event to the history.

        Raises: StateLockedError when another lease is held, StateError when none is.
        """
        with self._lock, _answers():
            for _ in range(_TRIES):
                seen, document = self._kept()
                self._schema.steps_from(seen.meta.schema_version)
                held = _lease_of(seen)
                if held is None:
                    raise faults.lease_free()
                if held.lease_id != lease_id:
                    raise locked_error(held)
                if event is not None:
                    history = Content(seen.meta, run_events=document["run_events"])
                    append_event(history, event)
                meta = replace(seen.meta, fence=seen.meta.fence + 1)
                if self._put_in_force(seen, meta, document):
                    self._free_lease(lease_id)
                    return held
        raise self._contended()

    def give_back(self, lease: LeaseRecord) -> None:
        """End a lease, whatever the version of the state; one that is gone already stays so.

        Raises: StateError.
        """
        with self._lock, _answers():
            self._free_lease(lease.lease_id)

    def check_fence(self, lease: LeaseRecord) -> None:
        """Refuse to go on under a lease whose fence is outdated, whatever the version of the state.

        Raises: LeaseLostError, StateError.
        """
        with self._lock, _answers():
            if self._see().meta.fence != lease.fence:
                raise self._lost(lease)

    def back_up(self) -> tuple[int, str]:
        """Keep a copy of the head and the snapshot in force, as a state of its own; return the
        version and where the copy is.

        Raises: StateError.
        """
        with self._lock, _answers():
            seen = self._see()
            found = self._folder.find(seen.snapshot)
            if found is None:
                raise self._corrupt("the snapshot in force is gone")
            version = seen.meta.schema_version
            folder = f"backups/v{version}-{seen.meta.serial}"
            self._folder.put(f"{folder}/{seen.snapshot}", found.data)
            self._folder.put(f"{folder}/{_HEAD}", seen.head.data)
        return version, f"{self._folder.name}/{folder}"

    def content(self) -> Content:
        """Return what is held.

        Raises: StateVersionError, StateError.
        """
        with self._lock, _answers():
            return self._load().content

    @contextmanager
    def changing(self) -> Iterator[Content]:
        """Keep what a session's block does to the content, or nothing of it.

        Raises: LeaseLostError when somebody else wrote meanwhile, StateError.
        """
        with self._lock:
            with _answers():
                loaded = self._load()
            after = loaded.content.copy()
            yield after
            with _answers():
                self._keep(loaded, after)

    def offset_s(self) -> float:
        """Return how far the service's clock is ahead of this machine's, 0 for about equal."""
        key = f"clock/{token_hex(8)}"
        with _answers():
            before_s = time.time()
            self._folder.put(key, b"now")
            after_s = time.time()
            found = self._folder.find(key)
            self._folder.discard(key)
        if found is None:
            return 0.0
        offset_s = found.written_at.timestamp() - (before_s + after_s) / 2
        return 0.0 if abs(offset_s) < _SAME_CLOCK_S else offset_s

    # Reading

    def _load(self) -> _Loaded:
        """Return what is in force at this program's version.

        Raises: StateVersionError, StateError.
        """
        for _ in range(_TRIES):
            seen = self._see()
            faults.check_version(seen.meta.schema_version, self._schema.version)
            data = self._snapshot(seen.snapshot)
            if data is not None:
                return _Loaded(self._content(seen, self._document(data)), seen)
        raise self._corrupt("the snapshot in force is gone")

    def _kept(self) -> tuple[_Seen, dict[str, Any]]:
        """Return what is in force with the document of its snapshot, whatever their version."""
        for _ in range(_TRIES):
            seen = self._see()
            data = self._snapshot(seen.snapshot)
            if data is not None:
                return seen, self._document(data)
        raise self._corrupt("the snapshot in force is gone")

    def _see(self) -> _Seen:
        """Return head and lease, whose form every version keeps; the fence is the higher one."""
        lease, head = self._folder.find(_LEASE), self._folder.find(_HEAD)
        if head is None:
            raise faults.not_there(f"state in {self._folder.name}")
        meta, snapshot = self._opened_head(head)
        held = self._document(lease.data) if lease is not None else _NO_LEASE
        try:
            fence = max(meta.fence, held["fence"])
            return _Seen(replace(meta, fence=fence), snapshot, held["lease"], head, lease)
        except (KeyError, TypeError) as error:
            raise self._corrupt("a document of another form") from error

    def _is_older(self, seen: _Seen) -> bool:
        """Return whether a state has to be migrated.

        Raises: StateVersionError, StateError for one that cannot be.
        """
        return bool(self._schema.steps_from(seen.meta.schema_version))

    def _opened_head(self, head: Object) -> tuple[Meta, str]:
        document = self._document(head.data)
        try:
            meta = Meta(
                int(document["schema_version"]),
                document["lineage"],
                document["serial"],
                document["fence"],
            )
            return meta, str(document["snapshot"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._corrupt("a head that cannot be read") from error

    def _snapshot(self, key: str) -> bytes | None:
        """Return the verified bytes of a snapshot, None when a newer one took its place."""
        if self._newest[0] == key:
            return self._newest[1]
        found = self._folder.find(key)
        if found is None:
            return None
        if _snapshot_key(key.partition("/")[2].partition("-")[0], found.data) != key:
            raise self._corrupt("a snapshot that is not what its digest says")
        self._newest = (key, found.data)
        return found.data

    def _content(self, seen: _Seen, document: dict[str, Any]) -> Content:
        meta, version = seen.meta, seen.meta.schema_version
        if version != self._schema.version:
            self._schema.migrate_snapshot(version, document)
            meta = replace(meta, schema_version=self._schema.version, migrated_from=version)
        try:
            return Content(
                meta,
                seen.held,
                {name: (text, serial) for name, (text, serial) in document["resources"].items()},
                document["operations"],
                document["revisions"],
                document["deployments"],
                document["run_events"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._corrupt("a document of another form") from error

    def _document(self, data: bytes) -> dict[str, Any]:
        try:
            document = orjson.loads(data)
        except ValueError as error:
            raise self._corrupt("a document that is no JSON") from error
        if not isinstance(document, dict):
            raise self._corrupt("a document of another form")
        return document

    # Writing

    def _keep(self, loaded: _Loaded, after: Content) -> None:
        """Write what a session changed: content, or its lease, which may be gone when given back.

        Raises: LeaseLostError.
        """
        before = loaded.content
        is_grown = _with_lease(after, before.lease) != before
        if is_grown and not self._commit(loaded, after):
            raise self._lost(_held(before))
        if after.lease == before.lease:
            return
        is_put = self._put_lease(loaded.seen.lease, after.lease, after.meta.fence)
        if not is_put and after.lease is not None:
            raise self._lost(_held(before))

    def _lost(self, own: LeaseRecord) -> LeaseLostError:
        """Return the error that says who ended a lease, as a newer program's state tells it too."""
        seen, document = self._kept()
        told = Content(seen.meta, seen.held, run_events=document.get("run_events", []))
        return lost_error(own, MemoryReader(told))

    def _commit(self, loaded: _Loaded, after: Content) -> bool:
        """Put content in force that follows on what was loaded; return whether it is."""
        after.meta = replace(after.meta, migrated_from=None)
        return self._put_in_force(loaded.seen, after.meta, _document_of(after))

    def _put_in_force(self, before: _Seen, meta: Meta, document: dict[str, Any]) -> bool:
        """Put a snapshot in force that follows on what was seen; return whether it is."""
        snapshot = self._put_snapshot(meta.serial, document)
        with durable(Step.COMMIT, _STATE):
            is_put = self._folder.replace(_HEAD, _head_bytes(meta, snapshot), before.head)
        if is_put and meta.serial == before.meta.serial and snapshot != before.snapshot:
            self._folder.discard(before.snapshot)
        return is_put

    def _put_snapshot(self, serial: int, document: dict[str, Any]) -> str:
        data = orjson.dumps(document)
        key = _snapshot_key(str(serial), data)
        if key != self._newest[0] and not self._folder.create(key, data):
            raise self._corrupt("a snapshot that is not what its digest says")
        self._newest = (key, data)
        return key

    def _take_lease(self, asked: LeaseRecord, now: str) -> tuple[LeaseRecord, LeaseRecord | None]:
        """Return the lease that is held now and the one that it replaced."""
        for _ in range(_TRIES):
            seen = self._see()
            self._schema.steps_from(seen.meta.schema_version)
            held = _lease_of(seen)
            if held is not None and not may_take_over_shared(held, asked, now):
                raise locked_error(held)
            lease = replace(asked, fence=seen.meta.fence + 1)
            if self._put_lease(seen.lease, to_text(lease), lease.fence):
                return lease, held
        raise self._contended()

    def _raise_fence(self, lease: LeaseRecord) -> None:
        """Write the lease's fence into the head, whatever the old holder writes meanwhile."""
        fence = lease.fence
        for _ in range(_TRIES):
            seen = self._see()
            meta, snapshot = self._opened_head(seen.head)
            if meta.fence >= fence or seen.meta.fence > fence:
                raise self._lost(lease)
            head = _head_bytes(replace(meta, fence=fence), snapshot)
            with durable(Step.COMMIT, _STATE):
                is_put = self._folder.replace(_HEAD, head, seen.head)
            if is_put:
                return
        raise self._contended()

    def _free_lease(self, lease_id: str) -> None:
        """End a lease; another one by now is left alone."""
        for _ in range(_TRIES):
            seen = self._see()
            held = _lease_of(seen)
            if held is None or held.lease_id != lease_id:
                return
            if self._put_lease(seen.lease, None, seen.meta.fence):
                return

    def _put_lease(self, before: Object | None, lease: str | None, fence: int) -> bool:
        data = orjson.dumps({"fence": fence, "lease": lease, "written": token_hex(16)})
        with durable(Step.COMMIT, _STATE):
            if before is None:
                return self._folder.create(_LEASE, data)
            return self._folder.replace(_LEASE, data, before)

    def _check_conditions(self) -> None:
        """Refuse a service that writes although a condition does not hold."""
        key = f"probe/{token_hex(8)}"
        first = self._folder.create(key, b"first")
        stale = self._folder.find(key)
        if not first or stale is None:
            raise self._contended()
        refuses = [
            not self._folder.create(key, b"second"),
            self._folder.replace(key, b"third", stale),
            not self._folder.replace(key, b"fourth", stale),
        ]
        self._folder.discard(key)
        if not all(refuses):
            raise StateError(
                "the object store ignores the conditions of writes, so it can keep no state",
                code="system_config_invalid",
                found=self._folder.name,
                expected="a service that honours If-None-Match and If-Match",
                remedy="name another service, or a PostgreSQL database, in backend.state",
            )

    def _corrupt(self, found: str) -> StateError:
        return faults.corrupt(f"{self._folder.name}: {found}", faults.RESTORE)

    def _contended(self) -> StateError:
        found = "others wrote at every try"
        return faults.refused_by_store("state_write_failed", self._folder.name, found)


def _lease_of(seen: _Seen) -> LeaseRecord | None:
    return MemoryReader(Content(seen.meta, seen.held)).lease()


def _held(content: Content) -> LeaseRecord:
    """Return the lease in content that a session wrote under."""
    lease = MemoryReader(content).lease()
    if lease is None:
        raise ValueError("content without a lease was written")
    return lease


def _with_lease(content: Content, lease: str | None) -> Content:
    """Return content of its own with another lease."""
    copy = content.copy()
    copy.lease = lease
    return copy


def _document_of(content: Content) -> dict[str, Any]:
    return {
        "resources": content.resources,
        "operations": content.operations,
        "revisions": content.revisions,
        "deployments": content.deployments,
        "run_events": content.run_events,
    }


def _head_bytes(meta: Meta, snapshot: str) -> bytes:
    return orjson.dumps(
        {
            "schema_version": meta.schema_version,
            "lineage": meta.lineage,
            "serial": meta.serial,
            "fence": meta.fence,
            "snapshot": snapshot,
            "written": token_hex(16),
        }
    )


def _snapshot_key(serial: str, data: bytes) -> str:
    return f"snapshots/{serial}-{hashlib.sha256(data).hexdigest()}.json"


@contextmanager
def _answers() -> Iterator[None]:
    """Turn a service that does not answer into the trouble of a state."""
    try:
        yield
    except UnreachableError as error:
        code = "state_write_failed" if error.code == "store_unreachable" else error.code
        raise StateError(
            error.message,
            code=code,
            found=error.found,
            expected=error.expected,
            remedy=error.remedy,
        ) from None
