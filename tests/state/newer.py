"""The next versions of the state as a later program might have them, and states of this one."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from brewslm.state.opening import open_shared_state
from brewslm.state.schema import SCHEMA, TABLES, Execute, Schema, Step
from brewslm.state.store import StateStore
from brewslm.state.stores.sqlite import SqliteStore
from tests.state.states import (
    LINEAGE,
    NOW,
    deployment,
    ended,
    lease,
    operation,
    resource,
    revision,
    run_event,
)

MARK = {"is_marked": True}
_NOTES = "CREATE TABLE notes (number INTEGER PRIMARY KEY, note TEXT NOT NULL)"


def _marked(text: str) -> str:
    document = json.loads(text)
    return json.dumps({**document, "values": document["values"] | MARK})


def _mark_tables(execute: Execute) -> None:
    execute(_NOTES)
    rows = execute("SELECT address, document FROM resources").fetchall()
    for number, (address, text) in enumerate(rows):
        execute("INSERT INTO notes VALUES (?, ?)", (number, address))
        execute("UPDATE resources SET document = ? WHERE address = ?", (_marked(text), address))


def _mark_snapshot(snapshot: dict[str, Any]) -> None:
    for address, (text, serial) in snapshot["resources"].items():
        snapshot["resources"][address] = [_marked(text), serial]


def _break_tables(execute: Execute) -> None:
    execute("DROP TABLE resources")
    execute("SELECT number FROM nowhere")


def _break_snapshot(snapshot: dict[str, Any]) -> None:
    del snapshot["resources"]
    snapshot["nowhere"].clear()


def _forget_notes(execute: Execute) -> None:
    execute("DROP TABLE notes")


NEWER = Schema(
    SCHEMA.version + 1, f"{TABLES}{_NOTES};", {SCHEMA.version: Step(_mark_tables, _mark_snapshot)}
)
"""Every resource is marked, and there is a table more."""
NEWEST = Schema(
    NEWER.version + 1,
    TABLES,
    {**NEWER.steps, NEWER.version: Step(_forget_notes, lambda _: None)},
)
"""Two steps away: the table is gone again."""
BROKEN = Schema(NEWER.version, NEWER.tables, {SCHEMA.version: Step(_break_tables, _break_snapshot)})
"""Its step fails after it has changed something."""
GAP = Schema(NEWEST.version, TABLES, {NEWER.version: NEWEST.steps[NEWER.version]})
"""No step starts from this program's version."""


class Place:
    """Where a state is, whatever the version of the program that opens it."""

    def __init__(self, where: str, dump: Callable[[], Any]) -> None:
        """where: a path or a URL; dump: gives all that lies there, byte by byte."""
        self.where = where
        self.dump = dump
        self._made = 0

    def store(self, schema: Schema = SCHEMA) -> StateStore:
        """Open it as a program of that version does."""
        return store_at(self.where, schema)

    def copy(self) -> "Place":
        """Return where the copy from before the migration is."""
        if not self._is_shared:
            return Place(f"{self.where}.v1-2.bak", self.dump)
        beside = "_v1_2" if self.where.startswith("postgresql") else "/backups/v1-2"
        return Place(self.where + beside, self.dump)

    def again(self) -> "Place":
        """Return the same state as if it had been made somewhere else."""
        self._made += 1
        where = f"{self.where}_{self._made}"
        if not self._is_shared:
            where = str(Path(self.where).parent / str(self._made) / "state.db")
        place = Place(where, self.dump)
        fill(place.store())
        return place

    @property
    def _is_shared(self) -> bool:
        return "://" in self.where


def store_at(where: str, schema: Schema) -> StateStore:
    """Return the store of a path or a URL."""
    if "://" in where:
        return open_shared_state(where, schema)
    return SqliteStore(Path(where), schema)


def fill(store: StateStore) -> None:
    """Make a state with two resources, a revision, a promotion and an event."""
    store.create(LINEAGE)
    with closing(store.acquire(lease(), NOW)) as session:
        for number, address in enumerate(("dataset", "training_plan")):
            begun = operation(f"op-{number}", address=address, kind=address)
            session.begin(begun)
            session.end(
                ended(begun),
                records=[resource(address, kind=address)],
                deployment=deployment() if number else None,
            )
        session.add_revision(revision())
        session.add_run_event(run_event())


def file_dump(path: Path) -> dict[str, bytes]:
    """Return the bytes of a state and its copies beside it; an empty log is as good as none."""
    return {
        item.name: item.read_bytes()
        for item in path.parent.glob(f"{path.name}*")
        if not item.name.endswith("-shm") and (item.stat().st_size or item == path)
    }


def database_dump(connection: Any) -> dict[str, Any]:
    """Return the rows of all tables that are not the server's own."""
    tables = connection.execute(
        "SELECT table_schema, table_name FROM information_schema.tables "
        "WHERE table_schema LIKE 'state\\_%'"
    ).fetchall()
    return {
        f"{schema}.{table}": connection.execute(f'TABLE "{schema}".{table}').fetchall()
        for schema, table in tables
    }
