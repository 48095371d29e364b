"""The default store: one SQLite file in WAL mode with full synchronisation.

The lease is a row. Every write opens one short immediate transaction that first compares the fence,
so a holder that was taken over can write nothing, however late it wakes. Readers open the file
read-only and see one serial.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from brewslm.durability import Step, durable
from brewslm.errors import StateError
from brewslm.files import make_private_folder, move, sync_file, sync_folder, temporary_name
from brewslm.state import faults
from brewslm.state.lease import may_take_over
from brewslm.state.mounts import find_mount, system_mounts
from brewslm.state.records import LeaseRecord, Meta, RunEvent
from brewslm.state.schema import APPLICATION_ID, SCHEMA, Schema
from brewslm.state.stores._sql import SqlReader, SqlSession, end_lease, take_lease

_BUSY_S = 5.0
_STATE = Path("state")
_BESIDE = ("-wal", "-shm", "-journal")
_NEEDS_A_COPY = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


class SqliteDatabase:
    """A connection to a state file; after one failed sync it refuses everything."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """connection: without transactions of its own."""
        self._connection = connection
        self._suspect: StateError | None = None

    def execute(self, query: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Carry out one statement.

        Raises: StateError.
        """
        with self._refusals():
            return self._connection.execute(query, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block writes, or nothing of it.

        Raises: StateError.
        """
        with self._refusals():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                with durable(Step.COMMIT, _STATE):
                    self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def copied(self) -> "SqliteDatabase":
        """Return a copy in memory.

        Raises: StateError.
        """
        copy = memory_database()
        with self._refusals():
            self._connection.backup(copy)
        return SqliteDatabase(copy)

    def settle(self) -> None:
        """Bring the write-ahead log into the file.

        Raises: StateError.
        """
        self.execute("PRAGMA busy_timeout = 0")
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn what SQLite refuses into our errors, and remember a failed sync."""
        if self._suspect is not None:
            raise faults.suspect(self._suspect.found)
        try:
            yield
        except sqlite3.Error as error:
            refused = faults.refused_by_sqlite(error)
            if refused.code == "store_suspect":
                self._suspect = refused
            raise refused from error


class SqliteStore:
    """A state in one file; the file need not exist yet."""

    def __init__(
        self, path: Path, schema: Schema = SCHEMA, mounts: Callable[[], str] = system_mounts
    ) -> None:
        """path: of the database file; schema: the version that is written; mounts: gives the
        system's table of mounts.
        """
        self._path = path
        self._schema = schema
        self._mounts = mounts

    def exists(self) -> bool:
        """Return whether there is a state."""
        return self._path.exists() or self._path.is_symlink()

    def create(self, lineage: str) -> Meta:
        """Make an empty state with this lineage; a file by that name is a whole state or absent.

        Raises: StateError when there is one already.
        """
        if self.exists():
            raise faults.already_there(self._path.name)
        try:
            self.check_folder()
            make_private_folder(self._path.parent)
            self._publish(lineage)
        except FileExistsError as error:
            raise faults.already_there(self._path.name) from error
        except OSError as error:
            raise faults.refused_by_system(error) from error
        except sqlite3.Error as error:
            raise faults.refused_by_sqlite(error) from error
        return Meta(self._schema.version, lineage, 0)

    def read(self) -> SqlReader:
        """Open one consistent look at the state.

        Raises: StateVersionError, StateError.
        """
        database, version = self._opened()
        if version == self._schema.version:
            return SqlReader(database)
        with closing(database):
            copy = database.copied()
        return migrated_copy(copy, version, self._schema)

    def acquire(self, wanted: LeaseRecord, now: str) -> SqlSession:
        """Take the lease and open a session under it.

        Raises: StateLockedError, StateVersionError, StateError.
        """
        with self._writable() as connection:
            self._check_integrity(connection)
            _checkpoint(connection)
            sync_folder(self._path.parent)
            database = SqliteDatabase(connection)
            lease, before = take_lease(database, wanted, now, may_take_over)
            session = SqlSession(database, lease, before)
            try:
                session.migrate(self._schema, now, self._back_up)
            except BaseException:
                with suppress(StateError):
                    session.release()
                raise
            return session

    def force_unlock(self, lease_id: str, event: RunEvent | None = None) -> LeaseRecord:
        """End exactly that lease, raise the fence and add the event to the history.

        Raises: StateLockedError when another lease is held, StateError when none is.
        """
        with self._writable() as connection:
            held = end_lease(SqliteDatabase(connection), lease_id, event)
            connection.close()
            return held

    def _publish(self, lineage: str) -> None:
        """Build the file under another name and link it into place."""
        temporary = temporary_name(self._path)
        _make_private(temporary)
        try:
            with closing(_connect(temporary)) as connection:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.executescript(f"BEGIN IMMEDIATE; {self._schema.tables}")
                connection.execute(
                    "INSERT INTO meta VALUES (1, ?, ?, 0, 0)", (self._schema.version, lineage)
                )
                with durable(Step.COMMIT, temporary):
                    connection.execute("COMMIT")
            sync_file(temporary)
            with durable(Step.LINK, self._path):
                os.link(temporary, self._path)
        finally:
            _remove(temporary)
        sync_folder(self._path.parent)

    @contextmanager
    def _writable(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection that can write; it stays open when the block succeeds.

        A state of a newer program is refused before SQLite may touch it.
        """
        self.check_folder()
        self._opened()[0].close()
        try:
            connection = _connect(self._path)
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise faults.refused_by_sqlite(error) from error
        except OSError as error:
            raise faults.refused_by_system(error) from error

    def _opened(self) -> tuple[SqliteDatabase, int]:
        """Return the file in a read transaction, and its version, which is not a newer one.

        Raises: StateVersionError, StateError.
        """
        self._check_file()
        try:
            database = SqliteDatabase(self._readable())
        except sqlite3.Error as error:
            raise faults.refused_by_sqlite(error) from error
        except OSError as error:
            raise faults.refused_by_system(error) from error
        try:
            version = SqlReader(database).meta().schema_version
            self._schema.steps_from(version)
        except StateError:
            database.close()
            raise
        return database, version

    def _readable(self) -> sqlite3.Connection:
        """Return a connection in a read transaction; of a copy where the folder is read-only."""
        try:
            return _opened_for_reading(self._path, "mode=ro")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _NEEDS_A_COPY:
                raise
        log = self._path.with_name(self._path.name + "-wal")
        if not log.exists() or log.stat().st_size == 0:
            return _opened_for_reading(self._path, "mode=ro&immutable=1")
        return self._copied(log)

    def _copied(self, log: Path) -> sqlite3.Connection:
        """Return a copy in memory of the file and its write-ahead log."""
        with tempfile.TemporaryDirectory(prefix="brewslm-") as folder:
            copy = Path(folder) / "state.db"
            shutil.copyfile(self._path, copy)
            shutil.copyfile(log, copy.with_name("state.db-wal"))
            memory = memory_database()
            with closing(sqlite3.connect(copy)) as source:
                source.backup(memory)
        return memory

    def check_folder(self) -> None:
        """Refuse to write through a linked folder, and where other hosts may write too.

        Raises: StateError.
        """
        folder = self._path.parent
        if folder.is_symlink():
            raise faults.not_regular(folder.name)
        mount = find_mount(folder, self._mounts())
        if mount is not None and mount.is_network:
            raise faults.on_network(folder.name, mount)

    def _check_file(self) -> None:
        """Refuse links, other files and other programs' databases before SQLite opens them."""
        if not self.exists():
            raise faults.not_there(self._path.name)
        if self._path.is_symlink() or not self._path.is_file():
            raise faults.not_regular(self._path.name)
        try:
            with self._path.open("rb") as stream:
                header = stream.read(100)
        except OSError as error:
            raise faults.refused_by_system(error) from error
        is_sqlite = header.startswith(b"SQLite format 3\x00") and len(header) == 100
        if not is_sqlite or int.from_bytes(header[68:72], "big") != APPLICATION_ID:
            raise faults.corrupt(f"{self._path.name}: no state file of this program")

    def _check_integrity(self, connection: sqlite3.Connection) -> None:
        answer = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if answer is None or answer[0] != "ok":
            raise faults.corrupt(f"{self._path.name}: {answer and answer[0]}")

    def _back_up(self, meta: Meta) -> str:
        """Keep a copy of the file beside it and return its name.

        A connection of its own reads what is committed: SQLite copies out of none that writes.
        """
        path = self._path.with_name(f"{self._path.name}.v{meta.schema_version}-{meta.serial}.bak")
        temporary = temporary_name(path)
        _make_private(temporary)
        try:
            with (
                durable(Step.WRITE, path),
                closing(self._readable()) as source,
                closing(sqlite3.connect(temporary)) as backup,
            ):
                source.backup(backup)
            sync_file(temporary)
            move(temporary, path)
        finally:
            _remove(temporary)
        return path.name


def _make_private(path: Path) -> None:
    """Make an empty file that only its owner may open; links are not followed."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))


def _remove(path: Path) -> None:
    """Remove a database and what lies beside it, as far as they are there."""
    for suffix in ("", *_BESIDE):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def memory_database() -> sqlite3.Connection:
    """Return an empty database in memory, without transactions of its own."""
    return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)


def migrated_copy(copy: SqliteDatabase, version: int, schema: Schema) -> SqlReader:
    """Return a look at a copy in memory that is brought to the version of a schema.

    Raises: StateError.
    """
    try:
        with copy.transaction():
            schema.migrate_tables(version, copy.execute)
    except StateError:
        copy.close()
        raise
    return SqlReader(copy, version)


def _checkpoint(connection: sqlite3.Connection) -> None:
    """Write what an earlier run left in the log into the file and sync it: a run that died, or met
    a failed sync, may have left pages that only seem to be on the disk.

    Raises: sqlite3.Error, but not where another connection uses the log.
    """
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise
    finally:
        connection.execute(f"PRAGMA busy_timeout = {round(_BUSY_S * 1000)}")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, isolation_level=None, timeout=_BUSY_S, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _opened_for_reading(path: Path, options: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{_quoted(path)}?{options}",
        uri=True,
        isolation_level=None,
        timeout=_BUSY_S,
        check_same_thread=False,
    )
    try:
        connection.execute("BEGIN")
        connection.execute("SELECT one FROM meta").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
