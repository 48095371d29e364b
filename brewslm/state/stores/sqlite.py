"""The default store: one SQLite file in WAL mode with full synchronisation.

The lease is a row. Every write opens one short immediate transaction that first compares the fence,
so a holder that was taken over can write nothing, however late it wakes. Readers open the file
read-only and see one serial.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from brewslm.errors import LeaseLostError, StateError, StateVersionError
from brewslm.files import make_private_folder
from brewslm.state.documents import from_text, to_document, to_text
from brewslm.state.lease import locked_error, may_take_over
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
from brewslm.state.schema import APPLICATION_ID, STEPS, TABLES, migrate

R = TypeVar("R")

_BUSY_S = 5.0
_OPEN = (OperationStatus.BEGUN, OperationStatus.INTERRUPTED)


class SqliteStore:
    """A state in one file; the file need not exist yet."""

    def __init__(self, path: Path) -> None:
        """path: of the database file."""
        self._path = path

    def exists(self) -> bool:
        """Return whether there is a state."""
        return self._path.exists() or self._path.is_symlink()

    def create(self, lineage: str) -> Meta:
        """Make an empty state with this lineage.

        Raises: StateError when there is one already.
        """
        if self.exists():
            raise StateError(
                "there is a state already",
                code="system_config_invalid",
                found=self._path.name,
                remedy="brewslm plan",
            )
        make_private_folder(self._path.parent)
        os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        connection = self._connect()
        try:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.executescript(f"BEGIN IMMEDIATE; {TABLES}")
            connection.execute("INSERT INTO meta VALUES (1, ?, ?, 0, 0)", (SCHEMA_VERSION, lineage))
            connection.execute("COMMIT")
        finally:
            connection.close()
        return Meta(SCHEMA_VERSION, lineage, 0)

    def read(self) -> "SqliteReader":
        """Open one consistent look at the state.

        Raises: StateVersionError, StateError.
        """
        self._check_file()
        try:
            connection = sqlite3.connect(
                f"file:{_quoted(self._path)}?mode=ro",
                uri=True,
                isolation_level=None,
                timeout=_BUSY_S,
            )
            connection.execute("BEGIN")
            version = _version(connection)
        except sqlite3.DatabaseError as error:
            raise _corrupt(self._path, str(error)) from error
        _check_version(version)
        return SqliteReader(connection)

    def acquire(self, wanted: LeaseRecord, now: str) -> "SqliteSession":
        """Take the lease and open a session under it.

        Raises: StateLockedError, StateVersionError, StateError.
        """
        self._check_file()
        connection = self._connect()
        try:
            self._check_integrity(connection)
            self._migrate(connection)
            lease = self._take_lease(connection, wanted, now)
        except BaseException:
            connection.close()
            raise
        return SqliteSession(connection, lease)

    def force_unlock(self, lease_id: str) -> LeaseRecord:
        """End exactly that lease and raise the fence.

        Raises: StateLockedError when another lease is held, StateError when none is.
        """
        self._check_file()
        connection = self._connect()
        try:
            with _transaction(connection):
                held = _lease(connection)
                if held is None:
                    raise StateError(
                        "the lease is free",
                        code="system_config_invalid",
                        found="no holder",
                        remedy="brewslm apply",
                    )
                if held.lease_id != lease_id:
                    raise locked_error(held)
                connection.execute("DELETE FROM lease")
                connection.execute("UPDATE meta SET fence = fence + 1")
            return held
        finally:
            connection.close()

    def _take_lease(
        self, connection: sqlite3.Connection, wanted: LeaseRecord, now: str
    ) -> LeaseRecord:
        with _transaction(connection):
            held = _lease(connection)
            if held is not None and not may_take_over(held, now):
                raise locked_error(held)
            fence = int(connection.execute("SELECT fence FROM meta").fetchone()[0]) + 1
            lease = replace(wanted, fence=fence)
            connection.execute("UPDATE meta SET fence = ?", (fence,))
            connection.execute("INSERT OR REPLACE INTO lease VALUES (1, ?)", (to_text(lease),))
        return lease

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self._path, isolation_level=None, timeout=_BUSY_S, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.DatabaseError as error:
            raise _corrupt(self._path, str(error)) from error
        return connection

    def _check_file(self) -> None:
        """Refuse links, other files and other programs' databases before SQLite opens them."""
        if self._path.is_symlink() or not self._path.is_file():
            raise StateError(
                "there is no state here" if not self.exists() else "the state is no regular file",
                code="system_config_invalid",
                found=self._path.name,
                remedy="brewslm init",
            )
        with self._path.open("rb") as stream:
            header = stream.read(100)
        is_sqlite = header.startswith(b"SQLite format 3\x00") and len(header) == 100
        if not is_sqlite or int.from_bytes(header[68:72], "big") != APPLICATION_ID:
            raise _corrupt(self._path, "no state file of this program")

    def _check_integrity(self, connection: sqlite3.Connection) -> None:
        try:
            answer = connection.execute("PRAGMA integrity_check(1)").fetchone()
            _check_version(_version(connection))
        except sqlite3.DatabaseError as error:
            raise _corrupt(self._path, str(error)) from error
        if answer is None or answer[0] != "ok":
            raise _corrupt(self._path, str(answer and answer[0]))

    def _migrate(self, connection: sqlite3.Connection) -> None:
        version = _version(connection)
        if version == SCHEMA_VERSION:
            return
        serial = int(connection.execute("SELECT serial FROM meta").fetchone()[0])
        backup_path = self._path.with_name(f"{self._path.name}.v{version}-{serial}.bak")
        backup = sqlite3.connect(backup_path)
        try:
            connection.backup(backup)
        finally:
            backup.close()
        try:
            with _transaction(connection):
                migrate(connection, version, STEPS)
        except (sqlite3.DatabaseError, KeyError) as error:
            raise StateError(
                "the state could not be brought to this version",
                code="state_corrupt",
                found=f"version {version}",
                expected=f"version {SCHEMA_VERSION}",
                remedy=f"the state before is in {backup_path.name}",
            ) from error


class SqliteReader:
    """One consistent look; the transaction ends with the object."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """connection: inside a read transaction, or a session's own."""
        self._connection = connection

    def meta(self) -> Meta:
        """Return schema version, lineage and serial."""
        row = self._connection.execute(
            "SELECT schema_version, lineage, serial FROM meta"
        ).fetchone()
        return Meta(*row)

    def resources(self) -> dict[str, ResourceRecord]:
        """Return all records by address."""
        rows = self._connection.execute(
            "SELECT address, document, serial FROM resources ORDER BY address"
        )
        return {
            address: replace(from_text(ResourceRecord, document), serial=serial)
            for address, document, serial in rows
        }

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
        return _lease(self._connection)

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

    def close(self) -> None:
        """End the look."""
        self._connection.close()

    def _newest(
        self, kind: type[R], table: str, clauses: list[str], values: list[Any], limit: int | None
    ) -> list[R]:
        """Return a table's records, newest first; clauses are this file's own, values are bound."""
        where = " WHERE " + " AND ".join(clauses) if clauses else ""
        query = f"SELECT document FROM {table}{where} ORDER BY rowid DESC LIMIT ?"  # noqa: S608  own words
        rows = self._connection.execute(query, [*values, -1 if limit is None else limit])
        return [from_text(kind, row[0]) for row in rows]


class SqliteSession(SqliteReader):
    """A state under a lease; safe to use from the renewing thread beside the working one."""

    def __init__(self, connection: sqlite3.Connection, lease: LeaseRecord) -> None:
        """connection: writable; lease: the one this session holds."""
        super().__init__(connection)
        self._held = lease
        self._lock = threading.RLock()
        self._is_released = False

    @property
    def fence(self) -> int:
        """The fence number that this session's writes carry."""
        return self._held.fence

    def begin(self, operation: OperationRecord) -> None:
        """Record that an action begins."""
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO operations (operation_id, kind, status, document) VALUES (?, ?, ?, ?)",
                (operation.operation_id, operation.kind, operation.status, to_text(operation)),
            )

    def add_checkpoint(self, operation_id: str, checkpoint: dict[str, object]) -> None:
        """Record a durable checkpoint of an action that is under way."""
        with self._writing() as connection:
            row = connection.execute(
                "SELECT document FROM operations WHERE operation_id = ?", (operation_id,)
            ).fetchone()
            record = from_text(OperationRecord, row[0])
            grown = replace(record, checkpoints=(*record.checkpoints, checkpoint))
            connection.execute(
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
        with self._writing() as connection:
            connection.execute(
                "UPDATE operations SET status = ?, document = ? WHERE operation_id = ?",
                (operation.status, to_text(operation), operation.operation_id),
            )
            stored = self.resources()
            changed = [item for item in records if _differs(item, stored.get(item.address))]
            gone = [address for address in removed if address in stored]
            if changed or gone or deployment is not None:
                serial = self.meta().serial + 1
                connection.execute("UPDATE meta SET serial = ?", (serial,))
                for record in changed:
                    connection.execute(
                        "INSERT OR REPLACE INTO resources VALUES (?, ?, ?)",
                        (record.address, to_text(record), serial),
                    )
                for address in gone:
                    connection.execute("DELETE FROM resources WHERE address = ?", (address,))
            if deployment is not None:
                self._append_deployment(connection, deployment)
        return self.meta()

    def add_revision(self, revision: RevisionRecord) -> RevisionRecord:
        """Append a revision with the next number."""
        with self._writing() as connection:
            newest = self.revisions(limit=1)
            number = newest[0].revision + 1 if newest else 1
            filled = replace(revision, revision=number, serial=self.meta().serial)
            connection.execute("INSERT INTO revisions VALUES (?, ?)", (number, to_text(filled)))
        return filled

    def add_run_event(self, event: RunEvent) -> RunEvent:
        """Append to the history."""
        check_event(event)
        with self._writing() as connection:
            newest = self.run_events(limit=1)
            filled = chained(event, newest[0] if newest else None)
            connection.execute(
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
        return filled

    def renew(self, renewed_at: str, expires_at: str) -> LeaseRecord:
        """Extend the lease."""
        with self._writing() as connection:
            renewed = replace(self._held, renewed_at=renewed_at, expires_at=expires_at)
            connection.execute("UPDATE lease SET document = ?", (to_text(renewed),))
            self._held = renewed
        return renewed

    def release(self) -> None:
        """Give the lease back and close the file."""
        with self._lock:
            if self._is_released:
                return
            self._is_released = True
            try:
                with _transaction(self._connection):
                    held = _lease(self._connection)
                    if held is not None and held.fence == self.fence:
                        self._connection.execute("DELETE FROM lease")
                self._connection.execute("PRAGMA busy_timeout = 0")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.OperationalError as error:
                raise _unwritable(error) from error
            finally:
                self._connection.close()

    def _append_deployment(
        self, connection: sqlite3.Connection, deployment: DeploymentRecord
    ) -> None:
        row = connection.execute(
            "SELECT COALESCE(MAX(sequence), 0) FROM deployments WHERE alias = ?",
            (deployment.alias,),
        ).fetchone()
        filled = replace(deployment, sequence=int(row[0]) + 1)
        connection.execute(
            "INSERT INTO deployments (alias, sequence, document) VALUES (?, ?, ?)",
            (filled.alias, filled.sequence, to_text(filled)),
        )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One short transaction that begins by comparing the fence."""
        with self._lock:
            try:
                with _transaction(self._connection):
                    held = _lease(self._connection)
                    row = self._connection.execute("SELECT fence FROM meta").fetchone()
                    if held is None or held.fence != self.fence or row[0] != self.fence:
                        raise LeaseLostError(
                            "the lease was taken over; nothing more is written",
                            code="lease_lost",
                            found=f"fence {row[0]}",
                            expected=f"fence {self.fence}",
                            remedy="brewslm lock show, then: brewslm plan",
                        )
                    yield self._connection
            except sqlite3.OperationalError as error:
                raise _unwritable(error) from error
            except sqlite3.DatabaseError as error:
                raise StateError(
                    f"the state fails its checks: {error}",
                    code="state_corrupt",
                    remedy="put back a backup: brewslm state pull saves what can be read",
                ) from error


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _lease(connection: sqlite3.Connection) -> LeaseRecord | None:
    row = connection.execute("SELECT document FROM lease").fetchone()
    return from_text(LeaseRecord, row[0]) if row else None


def _version(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT schema_version FROM meta").fetchone()
    if row is None:
        raise sqlite3.DatabaseError("no meta row")
    return int(row[0])


def _check_version(version: int) -> None:
    if version > SCHEMA_VERSION:
        raise StateVersionError(
            "the state was written by a newer program and stays untouched",
            code="state_too_new",
            found=f"version {version}",
            expected=f"version {SCHEMA_VERSION} or older",
            remedy="install the newer release of brewslm",
        )


def _differs(record: ResourceRecord, stored: ResourceRecord | None) -> bool:
    """Whether content differs; serial and revision are bookkeeping."""
    if stored is None:
        return True
    same = replace(record, serial=stored.serial, revision=stored.revision)
    return to_document(same) != to_document(stored)


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _corrupt(path: Path, found: str) -> StateError:
    return StateError(
        "the state file cannot be trusted and stays untouched",
        code="state_corrupt",
        found=f"{path.name}: {found}",
        expected="a state of this program that passes its integrity check",
        remedy="put a backup (state.db.v*.bak) in its place, or move the file away and apply again",
    )


def _unwritable(error: sqlite3.Error) -> StateError:
    return StateError(
        f"the state cannot be written: {error}",
        code="state_write_failed",
        remedy="free disk space or correct the permissions of .brewslm, then: brewslm apply",
    )
