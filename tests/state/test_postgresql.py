"""A state in PostgreSQL: processes that meet there, connections that break, and what is shown."""

import signal
import traceback
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from brewslm.errors import LeaseLostError, StateError, StateVersionError
from brewslm.state.opening import open_shared_state
from brewslm.state.records import SCHEMA_VERSION
from brewslm.state.store import StateStore
from tests.state.newer import NEWER, database_dump, fill
from tests.state.states import (
    LINEAGE,
    NOW,
    SOON,
    ended,
    kill_when_ready,
    lease,
    operation,
    resource,
    run_event,
    start,
)

psycopg = pytest.importorskip("psycopg", reason="the driver of PostgreSQL is not installed here")
pytestmark = pytest.mark.postgres

HEAD = """
import sys, time
from brewslm.errors import StateError, StateLockedError
from brewslm.state.opening import open_shared_state
from tests.state.states import NOW, ended, lease, operation, resource, run_event

store = open_shared_state(sys.argv[1])
"""
LATER = "2026-03-01T11:00:00Z"
CANARY = "c4n4ry-p4ssw0rd"


@pytest.fixture
def store(postgresql_url: str) -> StateStore:
    store = open_shared_state(postgresql_url)
    store.create(LINEAGE)
    return store


@pytest.fixture
def admin(postgresql_url: str) -> Iterator[Any]:
    """Lend a connection of somebody else, in the schema of the state."""
    base, _, schema = postgresql_url.partition("&schema=")
    with psycopg.connect(base, autocommit=True) as connection:
        connection.execute(f'SET search_path TO "{schema}"')
        yield connection


def end_connections(admin: Any) -> None:
    """What a restart of the server does to everybody's connection."""
    admin.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE application_name = 'brewslm'"
    )


# Processes


@pytest.mark.case("CON-04")
@pytest.mark.parametrize("children", [8, pytest.param(50, marks=pytest.mark.slow)])
def test_processes_that_start_together_get_fences_in_order(
    store: StateStore, postgresql_url: str, children: int
) -> None:
    program = (
        HEAD
        + """
input()
while True:
    try:
        session = store.acquire(lease(), NOW)
        break
    except StateLockedError:
        time.sleep(0.005)
begun = operation(f"op-{session.fence}", fence=session.fence)
session.begin(begun)
session.end(ended(begun), records=[resource(f"export.{session.fence}")])
print(session.fence)
session.release()
"""
    )
    running = [start(program, postgresql_url) for _ in range(children)]
    for child in running:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = [child.communicate() for child in running]
    assert [errors for _, errors in answers] == [""] * children
    expected = list(range(1, children + 1))
    assert sorted(int(fence) for fence, _ in answers) == expected
    with closing(store.read()) as reader:
        assert reader.meta().serial == children
        assert [item.fence for item in reader.operations()] == expected[::-1]
        assert {item.serial for item in reader.resources().values()} == set(expected)


def test_state_is_made_once_by_processes_that_start_together(postgresql_url: str) -> None:
    program = (
        HEAD
        + """
input()
try:
    store.create(sys.argv[2])
    print("made")
except StateError as error:
    print(error.message)
"""
    )
    running = [start(program, postgresql_url, f"lineage-{number}") for number in range(4)]
    for child in running:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = [child.communicate() for child in running]
    assert sorted(answers) == [("made\n", "")] + [("there is a state already\n", "")] * 3


@pytest.mark.case("CON-03")
def test_killed_holder_is_taken_over_and_its_journal_is_there(
    store: StateStore, postgresql_url: str
) -> None:
    program = """
session = store.acquire(lease(), NOW)
session.begin(operation())
print("ready", flush=True)
input()
"""
    kill_when_ready(start(HEAD + program, postgresql_url))
    with closing(store.acquire(lease(), SOON)) as session:
        assert session.fence == 2
        assert session.operations(only_open=True) == [operation()]


@pytest.mark.case("CON-02")
@pytest.mark.parametrize("moment", ["between writes", "inside a write"])
def test_stopped_holder_that_wakes_up_writes_nothing(
    store: StateStore, postgresql_url: str, moment: str
) -> None:
    inside = """
session = store.acquire(lease(), NOW)
try:
    with session._writing() as database:
        database.execute("DELETE FROM run_events")
        print("ready", flush=True)
        input()
        database.execute("UPDATE meta SET serial = 99")
except StateError as error:
    print(error.code)
"""
    between = """
session = store.acquire(lease(), NOW)
print("ready", flush=True)
input()
"""
    ending = """
try:
    session.add_run_event(run_event())
except StateError as error:
    print(error.code)
session.release()
"""
    head = HEAD + "from brewslm.state.stores import postgresql\npostgresql._STOPPED_S = 1\n"
    program = head + (between if moment == "between writes" else inside) + ending
    child = start(program, postgresql_url)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGSTOP)
    with closing(store.acquire(lease(), LATER)) as session:
        child.send_signal(signal.SIGCONT)
        answer, errors = child.communicate("go\n")
        assert errors == ""
        assert answer.split() == ["lease_lost"] * (1 if moment == "between writes" else 2)
        assert session.run_events() == []
        assert session.meta().serial == 0
        assert session.lease() is not None


# Connections


def test_session_outlives_a_restart_between_its_writes(store: StateStore, admin: Any) -> None:
    with closing(store.acquire(lease(), NOW)) as session:
        session.begin(operation())
        end_connections(admin)
        assert session.end(ended(operation()), records=[resource()]).serial == 1
        end_connections(admin)
        assert session.operations() == [ended(operation())]


def test_session_waits_for_a_server_that_restarts(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session: Any = store.acquire(lease(), NOW)
    server = session._database._server
    connect, refused = server.connect, ["once", "twice"]

    def connect_at_last() -> Any:
        if refused:
            raise StateError(refused.pop(), code="state_write_failed", remedy="wait")
        return connect()

    monkeypatch.setattr("brewslm.state.stores.postgresql._PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(server, "connect", connect_at_last)
    with closing(session):
        session._database._connection.close()
        session.begin(operation())
        assert refused == []
        assert session.operations() == [operation()]


class DeafConnection:
    """A connection that breaks at COMMIT, before or after the server has carried it out."""

    def __init__(self, connection: Any, is_carried_out: bool) -> None:
        self._connection = connection
        self._is_carried_out = is_carried_out

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, query: Any, values: Any = None) -> Any:
        if query != "COMMIT":
            return self._connection.execute(query, values)
        if self._is_carried_out:
            self._connection.execute(query)
        self._connection.close()
        raise psycopg.OperationalError("the connection was lost")


@pytest.mark.case("CON-10")
@pytest.mark.parametrize("is_carried_out", [True, False])
def test_lost_answer_to_commit_is_asked_for(store: StateStore, is_carried_out: bool) -> None:
    session: Any = store.acquire(lease(), NOW)
    with closing(session):
        session.begin(operation())
        database = session._database
        database._connection = DeafConnection(database._connection, is_carried_out)
        if is_carried_out:
            assert session.end(ended(operation()), records=[resource()]).serial == 1
        else:
            with pytest.raises(StateError) as caught:
                session.end(ended(operation()), records=[resource()])
            assert caught.value.code == "state_write_failed"
        assert session.meta().serial == int(is_carried_out)
        session.add_run_event(run_event())
        assert len(session.run_events()) == 1


def test_state_that_is_locked_by_a_stranger_is_a_coded_error(
    store: StateStore, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brewslm.state.stores.postgresql._BUSY_S", 0.01)
    with closing(store.acquire(lease(), NOW)) as session:
        with admin.transaction():
            admin.execute("SELECT 1 FROM meta FOR UPDATE")
            with pytest.raises(StateError) as caught:
                session.begin(operation())
            assert caught.value.code == "state_write_failed"
        session.begin(operation())


def test_clock_that_is_behind_keeps_the_server_s_time(store: StateStore) -> None:
    behind: Any = store.acquire(lease(boot_id="theirs", host="build-4"), NOW)
    with closing(behind):
        behind._database.offset_s = lambda: 3600.2
        renewed = behind.renew(NOW, "2026-03-01T10:01:00Z")
        assert renewed.expires_at == "2026-03-01T11:01:00Z"
        with pytest.raises(StateError) as caught:
            store.acquire(lease(), "2026-03-01T11:01:29Z")
        assert caught.value.code == "state_locked"
        with closing(store.acquire(lease(), "2026-03-01T11:01:30Z")) as session:
            assert session.fence == 2
            with pytest.raises(LeaseLostError):
                behind.begin(operation())


# Versions and strangers


@pytest.mark.case("CRA-06")
def test_newer_version_is_refused_and_stays_untouched(store: StateStore, admin: Any) -> None:
    admin.execute("UPDATE meta SET schema_version = %s", (SCHEMA_VERSION + 1,))
    for call in (store.read, lambda: store.acquire(lease(), NOW), lambda: store.force_unlock("x")):
        with pytest.raises(StateVersionError):
            call()
    assert admin.execute("SELECT fence FROM meta").fetchone() == (0,)


def test_tables_of_another_program_are_refused(
    postgresql_url: str, store: StateStore, admin: Any
) -> None:
    admin.execute("ALTER TABLE meta DROP COLUMN lineage")
    with pytest.raises(StateError) as caught:
        store.read()
    assert caught.value.code == "state_corrupt"
    admin.execute("DELETE FROM lease")
    admin.execute("DROP TABLE meta")
    with pytest.raises(StateError, match="already"):
        open_shared_state(postgresql_url).create(LINEAGE)


# What is shown


def shown(url: str, call: str) -> tuple[StateError, str]:
    with pytest.raises(StateError) as caught:
        getattr(open_shared_state(url), call)()
    text = "".join(traceback.format_exception(caught.value))
    return caught.value, text + caught.value.found + caught.value.remedy


@pytest.mark.parametrize("call", ["read", "exists"])
@pytest.mark.parametrize(
    "rest",
    [
        "@127.0.0.1:1/brew",
        "@127.0.0.1:1/brew?connect_timeout=x",
        "@[::1/brew",
        "@127.0.0.1:1/brew?nonsense=1",
        "@127.0.0.1:1/brew?schema=No%20Name",
        "@127.0.0.1:1/%zz",
    ],
)
def test_no_error_repeats_the_url(call: str, rest: str) -> None:
    error, text = shown(f"postgresql://mira:{CANARY}{rest}", call)
    assert error.remedy
    assert CANARY not in text
    assert "mira" not in text


def test_host_and_database_are_shown() -> None:
    error, _ = shown(f"postgresql://mira:{CANARY}@127.0.0.1:1/brew", "read")
    assert error.code == "state_write_failed"
    assert "127.0.0.1/brew" in error.found


def test_refused_user_is_a_matter_of_permission(postgresql_url: str) -> None:
    url = postgresql_url.replace("//brewslm@", f"//nobody_here:{CANARY}@")
    error, text = shown(url, "read")
    assert error.code == "permission_denied"
    assert CANARY not in text
    assert "nobody_here" not in text


@pytest.mark.parametrize("theirs", ["a state of another lineage", "tables of another kind"])
def test_copy_before_a_migration_replaces_nothing_of_others(
    postgresql_url: str, theirs: str
) -> None:
    fill(open_shared_state(postgresql_url))
    taken_url = f"{postgresql_url}_v1_2"
    if theirs == "a state of another lineage":
        open_shared_state(taken_url).create("ffffffff-0000-4000-8000-000000000000")
    base, _, schema = taken_url.partition("&schema=")
    with psycopg.connect(base, autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        connection.execute(f'CREATE TABLE "{schema}".notes (meta TEXT)')
        before = rows_of(connection, schema)
        open_shared_state(postgresql_url, NEWER).acquire(lease(), NOW).release()
        assert rows_of(connection, schema) == before
    with closing(open_shared_state(f"{taken_url}_1").read()) as reader:
        assert (reader.meta().lineage, reader.meta().serial) == (LINEAGE, 2)


def rows_of(connection: Any, schema: str) -> dict[str, Any]:
    """Return the rows of all tables of a schema."""
    dump = database_dump(connection)
    return {name: rows for name, rows in dump.items() if name.startswith(f"{schema}.")}
