"""The version of a state: its tables, and the steps that lead there from older versions.

Versions are numbered from 1. `meta`, `lease` and `run_events` keep their columns in all of them, as
head, lease and run events keep their form in an object store: every program can tell the version of
a state, who holds it and how its own lease ended. It writes to no state of a newer version.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from brewslm.state import faults
from brewslm.state.records import SCHEMA_VERSION

TABLES = """
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    schema_version INTEGER NOT NULL,
    lineage TEXT NOT NULL,
    serial INTEGER NOT NULL,
    fence INTEGER NOT NULL
);
CREATE TABLE resources (
    address TEXT PRIMARY KEY,
    document TEXT NOT NULL,
    serial INTEGER NOT NULL
);
CREATE TABLE operations (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    operation_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX operations_by_status ON operations (status);
CREATE TABLE lease (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    document TEXT NOT NULL
);
CREATE TABLE revisions (
    revision INTEGER PRIMARY KEY,
    document TEXT NOT NULL
);
CREATE TABLE run_events (
    sequence INTEGER PRIMARY KEY,
    stage TEXT NOT NULL,
    severity TEXT NOT NULL,
    reason_code TEXT NOT NULL,
    at TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE TABLE deployments (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    alias TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (alias, sequence)
);
CREATE TABLE failure_clusters (
    stage TEXT NOT NULL,
    reason_code TEXT NOT NULL,
    signature TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (stage, reason_code, signature)
);
"""

APPLICATION_ID = 0x62726577
"""Stands in the header of the file, so that another program's database is never taken for ours."""


class Execute(Protocol):
    """Carries out one statement with `?` for values, and returns a cursor."""

    def __call__(self, query: str, values: Sequence[Any] = ()) -> Any:
        """Raises: StateError."""
        ...


class Step(Struct, frozen=True):
    """One version forward, in both forms that a state has."""

    in_tables: Callable[[Execute], object]
    """By statements that SQLite and PostgreSQL both understand, in the words of `TABLES`; a copy
    that is only looked at has no keys and no indexes."""
    in_snapshot: Callable[[dict[str, Any]], object]
    """In place, in a snapshot of an object store: `resources` maps addresses to text and serial,
    `operations` maps identifiers to text, `revisions`, `deployments` and `run_events` are lists of
    text."""


class Schema(Struct, frozen=True):
    """A version of the state, and how older states come to it."""

    version: int
    tables: str
    steps: Mapping[int, Step]
    """Version that a step starts from to the step; each goes one version forward."""

    def steps_from(self, version: int) -> list[Step]:
        """Return the steps that bring a state of that version to this one, none for this one.

        Raises: StateVersionError for a newer version, StateError for one that no step starts from.
        """
        faults.check_version(version, self.version)
        numbers = range(version, self.version)
        if any(number not in self.steps for number in numbers):
            raise faults.corrupt(f"version {version}, which there never was")
        return [self.steps[number] for number in numbers]

    def migrate_tables(self, version: int, execute: Execute) -> None:
        """Bring tables of an older version to this one, inside the caller's transaction.

        Raises: StateError.
        """
        for step in self.steps_from(version):
            step.in_tables(execute)
        execute("UPDATE meta SET schema_version = ?", (self.version,))

    def migrate_snapshot(self, version: int, snapshot: dict[str, Any]) -> None:
        """Bring a snapshot of an older version to this one.

        Raises: StateError.
        """
        for step in self.steps_from(version):
            try:
                step.in_snapshot(snapshot)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise faults.corrupt(f"a snapshot of version {version} of another form") from error


SCHEMA = Schema(SCHEMA_VERSION, TABLES, {})
"""What this program writes."""
