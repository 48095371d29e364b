"""The tables of a SQL state and the steps between their versions."""

from collections.abc import Callable
from sqlite3 import Connection

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

STEPS: dict[int, Callable[[Connection], None]] = {}
"""Version that a step starts from to the step; each goes one version forward."""


def migrate(
    connection: Connection, version: int, steps: dict[int, Callable[[Connection], None]]
) -> None:
    """Bring tables of an older version to this one, inside the caller's transaction."""
    for number in range(version, SCHEMA_VERSION):
        steps[number](connection)
    connection.execute("UPDATE meta SET schema_version = ?", (SCHEMA_VERSION,))
