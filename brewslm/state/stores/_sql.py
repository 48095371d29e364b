"""What an open SQL state can do: one consistent look, and short transactions under a lease.

The statements are the common part of the dialects, with `?` for values; a database knows the rest.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from brewslm.errors import LeaseLostError, StateError
from brewslm.state import faults
from brewslm.state.documents import differs, from_text, to_text
from brewslm.state.failure_clusters import FailureCluster, cluster_of, is_failure, signature
from brewslm.state.lease import TakeoverRule, locked_error, lost_error, renewed
from brewslm.state.records import (
    DeploymentRecord,
    LeaseRecord,
    Meta,
    OperationRecord,
    OperationStatus,
    ResourceRecord,
    RevisionRecord,
    RunEvent,
)
from brewslm.state.run_events import chained, check_event, migrated_event
from brewslm.state.schema import Schema
from brewslm.state.store import StateReader

R = TypeVar("R", bound=Struct)

_OPEN = (OperationStatus.BEGUN, OperationStatus.INTERRUPTED)
_ORDER = {
    "operations": "sequence",
    "revisions": "revision",
    "deployments": "number",
    "run_events": "sequence",
}
"""Table to the column that rises with every row."""


class Cursor(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int:
        """Rows that the statement changed."""
        ...

    def fetchone(self) -> Any:
        """Return the next row, None after the last."""
        ...

    def fetchall(self) -> list[Any]:
        """Return all remaining rows."""
        ...


class Database(Protocol):
    """A connection to a SQL state; its own errors come out as StateError."""

    def execute(self, query: str, values: Sequence[Any] = ()) -> Cursor:
        """Carry out one statement.

        Raises: StateError.
        """
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Commit what the block writes, or nothing of it; nobody else writes meanwhile.

        Raises: StateError.
        """
        ...

    def settle(self) -> None:
        """Tidy up after the last write of a session.

        Raises: StateError.
        """
        ...

    def close(self) -> None:
        """End the connection."""
        ...


class SqlReader:
    """One consistent look; the transaction ends with the object."""

    def __init__(self, database: Database, migrated_from: int | None = None) -> None:
        """database: inside a read transaction, or a session's own; migrated_from: version of the
        state that it is a copy of.
        """
        self._database = database
        self._migrated_from = migrated_from

    def meta(self) -> Meta:
        """Return schema version, lineage and serial."""
        rows = self._rows("SELECT schema_version, lineage, serial, fence FROM meta")
        if not rows:
            raise faults.corrupt("no meta row")
        version, lineage, serial, fence = rows[0]
        return Meta(version, lineage, serial, fence, self._migrated_from)

    def resources(self) -> dict[str, ResourceRecord]:
        """Return all records by address."""
        rows = self._rows("SELECT address, document, serial FROM resources ORDER BY address")
        return {row[0]: _resource(row) for row in rows}

    def _known(self, addresses: Iterable[str]) -> dict[str, ResourceRecord]:
        """Return the records of some addresses, those that are not remembered left out."""
        select = "SELECT address, document, serial FROM resources WHERE address = ?"
        found = (row for address in addresses for row in self._rows(select, (address,)))
        return {row[0]: _resource(row) for row in found}

    def operations(
        self, *, only_open: bool = False, kind: str | None = None, limit: int | None = None
    ) -> list[OperationRecord]:
        """Return journal entries, newest first."""
        clauses, values = [], list[Any]()
        if only_open:
            clauses.append("status IN (?, ?)")
            values += [str(status) for status in _OPEN]
        if kind is not None:
            clauses.append("kind = ?")
            values.append(kind)
        return self._newest(OperationRecord, "operations", clauses, values, limit)

    def lease(self) -> LeaseRecord | None:
        """Return the lease that is held."""
        rows = self._rows("SELECT document FROM lease")
        return from_text(LeaseRecord, rows[0][0]) if rows else None

    def revisions(self, limit: int | None = None) -> list[RevisionRecord]:
        """Return revisions, newest first."""
        return self._newest(RevisionRecord, "revisions", [], [], limit)

    def deployments(self, alias: str | None = None) -> list[DeploymentRecord]:
        """Return promotions, newest first."""
        clauses, values = (["alias = ?"], [alias]) if alias is not None else ([], [])
        return self._newest(DeploymentRecord, "deployments", clauses, list(values), None)

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
        wanted = {"stage": stage, "severity": severity, "reason_code": reason_code}
        clauses = [f"{name} = ?" for name, value in wanted.items() if value is not None]
        values: list[Any] = [value for value in wanted.values() if value is not None]
        if since is not None:
            clauses.append("at >= ?")
            values.append(since)
        return self._newest(RunEvent, "run_events", clauses, values, limit)

    def failure_clusters(self) -> list[FailureCluster]:
        """Return failures that look the same, by stage, reason and signature."""
        rows = self._database.execute(
            "SELECT document FROM failure_clusters ORDER BY stage, reason_code, signature"
        ).fetchall()
        return [from_text(FailureCluster, row[0]) for row in rows]

    def close(self) -> None:
        """End the look."""
        self._database.close()

    def _newest(
        self, kind: type[R], table: str, clauses: list[str], values: list[Any], limit: int | None
    ) -> list[R]:
        """Return a table's records, newest first; clauses are this file's own, values are bound."""
        where = " WHERE " + " AND ".join(clauses) if clauses else ""
        query = f"SELECT document FROM {table}{where} ORDER BY {_ORDER[table]} DESC"  # noqa: S608  own words
        if limit is not None:
            query, values = f"{query} LIMIT ?", [*values, limit]
        return [from_text(kind, row[0]) for row in self._rows(query, values)]

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._database.execute(query, values).fetchall()


def _resource(row: Sequence[Any]) -> ResourceRecord:
    """Return the record of a row of address, document and serial."""
    return replace(from_text(ResourceRecord, row[1]), serial=row[2])


def take_lease(
    database: Database, wanted: LeaseRecord, now: str, may_take_over: TakeoverRule
) -> tuple[LeaseRecord, LeaseRecord | None]:
    """Return the lease that is held now and the one that it replaced.

    Raises: StateLockedError, StateError.
    """
    reader = SqlReader(database)
    with database.transaction():
        held = reader.lease()
        if held is not None and not may_take_over(held, wanted, now):
            raise locked_error(held)
        lease = replace(wanted, fence=reader.meta().fence + 1)
        database.execute("UPDATE meta SET fence = ?", (lease.fence,))
        database.execute("DELETE FROM lease")
        database.execute("INSERT INTO lease VALUES (1, ?)", (to_text(lease),))
    return lease, held


def end_lease(database: Database, lease_id: str, event: RunEvent | None) -> LeaseRecord:
    """End exactly that lease, raise the fence, add the event; return what was ended.

    Raises: StateLockedError when another lease is held, StateError when none is.
    """
    with database.transaction():
        held = SqlReader(database).lease()
        if held is None:
            raise faults.lease_free()
        if held.lease_id != lease_id:
            raise locked_error(held)
        database.execute("DELETE FROM lease")
        database.execute("UPDATE meta SET fence = fence + 1")
        if event is not None:
            append_event(database, event)
    return held


def append_event(database: Database, event: RunEvent) -> RunEvent:
    """Add an event to the chain inside the transaction that is open; return it filled in.

    Raises: StateError for an event that is on no list.
    """
    check_event(event)
    newest = SqlReader(database).run_events(limit=1)
    filled = chained(event, newest[0] if newest else None)
    database.execute(
        "INSERT INTO run_events VALUES (?, ?, ?, ?, ?, ?)",
        (
            filled.sequence,
            filled.stage,
            filled.severity,
            filled.reason_code,
            filled.at,
            to_text(filled),
        ),
    )
    if is_failure(filled):
        _count_failure(database, filled)
    return filled


def _count_failure(database: Database, event: RunEvent) -> None:
    """Put the cluster that a failure belongs to in its table, over all events."""
    alike = SqlReader(database).run_events(stage=event.stage, reason_code=event.reason_code)
    own = signature(event)
    cluster = cluster_of([item for item in alike if is_failure(item) and signature(item) == own])
    database.execute(
        "INSERT INTO failure_clusters VALUES (?, ?, ?, ?) ON CONFLICT (stage, reason_code,"
        " signature) DO UPDATE SET document = excluded.document",
        (cluster.stage, cluster.reason_code, cluster.signature, to_text(cluster)),
    )


class SqlSession(SqlReader):
    """A state under a lease; safe to use from the renewing thread beside the working one."""

    def __init__(
        self,
        database: Database,
        lease: LeaseRecord,
        taken_over: LeaseRecord | None = None,
        skew_s: float = 0.0,
    ) -> None:
        """database: writable; lease: the one this session holds; taken_over: the one before;
        skew_s: how far the store's clock is ahead of this machine's.
        """
        super().__init__(database)
        self._held = lease
        self._taken_over = taken_over
        self._skew_s = skew_s
        self._lock = threading.RLock()
        self._is_released = False

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
        with self._writing() as database:
            known = database.execute(
                "SELECT 1 FROM operations WHERE operation_id = ?", (operation.operation_id,)
            ).fetchone()
            if known is not None:
                raise ValueError(f"begun twice: {operation.operation_id}")
            database.execute(
                "INSERT INTO operations (operation_id, kind, status, document) VALUES (?, ?, ?, ?)",
                (
                    operation.operation_id,
                    operation.kind,
                    str(operation.status),
                    to_text(operation),
                ),
            )

    def add_checkpoint(
        self,
        operation_id: str,
        checkpoint: dict[str, object],
        *,
        superseded: Collection[str] = (),
    ) -> None:
        """Record a durable checkpoint of an action that is under way; forget superseded ones."""
        with self._writing() as database:
            row = database.execute(
                "SELECT document FROM operations WHERE operation_id = ?", (operation_id,)
            ).fetchone()
            if row is None:
                raise KeyError(operation_id)
            record = from_text(OperationRecord, row[0])
            grown = record.with_checkpoint(checkpoint, superseded)
            database.execute(
                "UPDATE operations SET document = ? WHERE operation_id = ?",
                (to_text(grown), operation_id),
            )

    def end(
        self,
        operation: OperationRecord,
        *,
        records: Sequence[ResourceRecord] = (),
        removed: Sequence[str] = (),
        deployment: DeploymentRecord | None = None,
    ) -> Meta:
        """Close a journal entry and put and remove resource records with it."""
        with self._writing() as database:
            closed = database.execute(
                "UPDATE operations SET status = ?, document = ? WHERE operation_id = ?",
                (str(operation.status), to_text(operation), operation.operation_id),
            )
            if closed.rowcount != 1:
                raise KeyError(operation.operation_id)
            stored = self._known([*(item.address for item in records), *removed])
            changed = [item for item in records if differs(item, stored.get(item.address))]
            gone = [address for address in removed if address in stored]
            if changed or gone or deployment is not None:
                serial = self.meta().serial + 1
                database.execute("UPDATE meta SET serial = ?", (serial,))
                for record in changed:
                    database.execute(
                        "INSERT INTO resources VALUES (?, ?, ?) ON CONFLICT (address) DO UPDATE "
                        "SET document = excluded.document, serial = excluded.serial",
                        (record.address, to_text(record), serial),
                    )
                for address in gone:
                    database.execute("DELETE FROM resources WHERE address = ?", (address,))
            if deployment is not None:
                self._append_deployment(database, deployment)
            return self.meta()

    def add_revision(self, revision: RevisionRecord) -> RevisionRecord:
        """Append a revision with the next number."""
        with self._writing() as database:
            newest = self.revisions(limit=1)
            number = newest[0].revision + 1 if newest else 1
            filled = replace(revision, revision=number, serial=self.meta().serial)
            database.execute("INSERT INTO revisions VALUES (?, ?)", (number, to_text(filled)))
        return filled

    def add_run_event(self, event: RunEvent) -> RunEvent:
        """Append to the history."""
        with self._writing() as database:
            return append_event(database, event)

    def restore(self, pulled: StateReader, serial: int) -> Meta:
        """Put what another look shows in place of this state's own."""
        with self._writing() as database:
            for table in ("resources", "revisions", "deployments"):
                database.execute(f"DELETE FROM {table}")  # noqa: S608  own words
            for record in pulled.resources().values():
                database.execute(
                    "INSERT INTO resources VALUES (?, ?, ?)",
                    (record.address, to_text(record), record.serial),
                )
            for revision in reversed(pulled.revisions()):
                database.execute(
                    "INSERT INTO revisions VALUES (?, ?)", (revision.revision, to_text(revision))
                )
            for deployment in reversed(pulled.deployments()):
                _insert_deployment(database, deployment)
            meta = pulled.meta()
            lease = replace(self._held, fence=max(self.fence, meta.fence))
            database.execute(
                "UPDATE meta SET lineage = ?, serial = ?, fence = ?",
                (meta.lineage, serial, lease.fence),
            )
            database.execute("UPDATE lease SET document = ?", (to_text(lease),))
            self._held = lease
            return self.meta()

    def migrate(self, schema: Schema, now: str, back_up: Callable[[Meta], str]) -> None:
        """Bring the tables to this version and tell it in the history; harmless when they are.

        back_up: keeps a copy of the state as it is and returns its name.

        Raises: StateVersionError, StateError that names the copy.
        """
        if not schema.steps_from(self.meta().schema_version):
            return
        with self._writing():
            meta = self.meta()
            copy = back_up(meta)
        before = meta.schema_version
        try:
            with self._writing() as database:
                schema.migrate_tables(before, database.execute)
                append_event(
                    database,
                    migrated_event(
                        self._held.lease_id, self._held.holder, now, before, schema.version
                    ),
                )
        except LeaseLostError:
            raise
        except StateError as error:
            raise faults.not_migrated(error, before, schema.version, copy) from error

    def renew(self, renewed_at: str, expires_at: str) -> LeaseRecord:
        """Extend the lease."""
        with self._writing() as database:
            lease = renewed(self._held, renewed_at, expires_at)
            database.execute("UPDATE lease SET document = ?", (to_text(lease),))
            self._held = lease
        return lease

    def release(self) -> None:
        """Give the lease back and end the connection."""
        with self._lock:
            if self._is_released:
                return
            self._is_released = True
            try:
                with self._database.transaction():
                    held = self.lease()
                    if held is not None and held.fence == self.fence:
                        self._database.execute("DELETE FROM lease")
                self._database.settle()
            finally:
                self._database.close()

    def close(self) -> None:
        """Give the lease back and end the connection."""
        self.release()

    def _append_deployment(self, database: Database, deployment: DeploymentRecord) -> None:
        row = database.execute(
            "SELECT COALESCE(MAX(sequence), 0) FROM deployments WHERE alias = ?",
            (deployment.alias,),
        ).fetchone()
        _insert_deployment(database, replace(deployment, sequence=int(row[0]) + 1))

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            return super()._rows(query, values)

    @contextmanager
    def _writing(self) -> Iterator[Database]:
        """One short transaction that begins by comparing the fence."""
        with self._lock:
            if self._is_released:
                raise faults.lease_given_back()
            with self._database.transaction():
                held, current = self.lease(), self.meta().fence
                if held is None or held.fence != self.fence or current != self.fence:
                    raise lost_error(self._held, self)
                yield self._database


def _insert_deployment(database: Database, deployment: DeploymentRecord) -> None:
    database.execute(
        "INSERT INTO deployments (alias, sequence, document) VALUES (?, ?, ?)",
        (deployment.alias, deployment.sequence, to_text(deployment)),
    )
