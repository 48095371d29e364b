"""The SQLite file: other processes, crashes, damage, full disks, folders without rights."""

import os
import resource as limits
import signal
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict

from brewslm.errors import StateError, StateLockedError, StateVersionError
from brewslm.state.records import SCHEMA_VERSION
from brewslm.state.schema import APPLICATION_ID
from brewslm.state.stores import sqlite
from brewslm.state.stores.sqlite import SqliteStore
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

NOBODY = 65534

HEAD = """
import sys
from contextlib import closing
from pathlib import Path
from brewslm.errors import StateError, StateLockedError
from brewslm.state.stores.sqlite import SqliteStore
from tests.state.states import NOW, ended, lease, operation, resource, run_event

store = SqliteStore(Path(sys.argv[1]))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    state_path = tmp_path / ".brewslm" / "state.db"
    SqliteStore(state_path).create(LINEAGE)
    return state_path


def fill(path: Path, count: int = 3) -> None:
    with closing(SqliteStore(path).acquire(lease(), NOW)) as session:
        for number in range(count):
            begun = operation(f"op-{number}")
            session.begin(begun)
            session.end(ended(begun), records=[resource(f"export.{number}")])


def content(path: Path) -> dict[str, Any]:
    with closing(SqliteStore(path).read()) as reader:
        return {
            "meta": reader.meta(),
            "resources": {name: asdict(item) for name, item in reader.resources().items()},
            "operations": reader.operations(),
        }


def change(path: Path, statement: str, *values: object) -> None:
    """What another program might do to the file."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """Leave out the rights of a superuser, as in a project that belongs to somebody else."""
    if os.geteuid() != 0:
        yield
        return
    for item in (folder, *folder.rglob("*")):
        os.chown(item, NOBODY, -1)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users may enter."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        yield Path(name)


# The file


def test_folder_and_file_are_private_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / ".brewslm" / "state.db"
    before = os.umask(0)
    try:
        SqliteStore(path).create(LINEAGE)
        with closing(SqliteStore(path).acquire(lease(), NOW)):
            modes = {item.name: item.stat().st_mode & 0o777 for item in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}


def test_released_state_is_one_file(path: Path) -> None:
    fill(path)
    assert [item.name for item in path.parent.iterdir()] == ["state.db"]


def test_odd_characters_in_the_folder_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a?b#c%20 d" / "state.db"
    SqliteStore(path).create(LINEAGE)
    fill(path)
    assert content(path)["meta"].serial == 3


def test_links_are_refused_and_their_targets_untouched(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    (tmp_path / "link.db").symlink_to(path)
    (tmp_path / "folder").symlink_to(path.parent)
    for linked in (tmp_path / "link.db", tmp_path / "folder" / "state.db"):
        with pytest.raises(StateError) as caught:
            SqliteStore(linked).acquire(lease(), NOW)
        assert caught.value.code == "system_config_invalid"
        assert "link" in caught.value.found
    with pytest.raises(StateError):
        SqliteStore(tmp_path / "folder" / "other.db").create(LINEAGE)
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == ["state.db"]


def test_dangling_link_is_not_created_through(tmp_path: Path) -> None:
    (tmp_path / "state.db").symlink_to(tmp_path / "outside.db")
    with pytest.raises(StateError):
        SqliteStore(tmp_path / "state.db").create(LINEAGE)
    assert not (tmp_path / "outside.db").exists()


# Other processes


def test_two_processes_contend_and_one_names_the_other(path: Path) -> None:
    holder = start(
        HEAD
        + """
session = store.acquire(lease(), NOW)
print(session.lease().lease_id, flush=True)
input()
session.release()
""",
        path,
    )
    assert holder.stdout is not None
    lease_id = holder.stdout.readline().strip()
    with pytest.raises(StateLockedError) as caught:
        SqliteStore(path).acquire(lease(), SOON)
    assert f"{lease_id} by mira@build-3 (pid {holder.pid}" in caught.value.found
    assert lease_id in caught.value.remedy
    _, errors = holder.communicate("go\n")
    assert holder.returncode == 0, errors
    with closing(SqliteStore(path).acquire(lease(), SOON)) as session:
        assert session.fence == 2


@pytest.mark.case("CON-04")
def test_processes_that_start_together_get_fences_in_order(path: Path) -> None:
    program = (
        HEAD
        + """
import time
input()
while True:
    try:
        session = store.acquire(lease(), NOW)
        break
    except StateLockedError:
        time.sleep(0.001)
begun = operation(f"op-{session.fence}", fence=session.fence)
session.begin(begun)
session.end(ended(begun), records=[resource(f"export.{session.fence}")])
print(session.fence)
session.release()
"""
    )
    children = [start(program, path) for _ in range(4)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = [child.communicate() for child in children]
    assert [errors for _, errors in answers] == [""] * 4
    assert sorted(int(fence) for fence, _ in answers) == [1, 2, 3, 4]
    found = content(path)
    assert found["meta"].serial == 4
    assert [item.fence for item in found["operations"]] == [4, 3, 2, 1]


@pytest.mark.case("CON-03")
def test_killed_holder_is_taken_over_and_its_journal_is_there(path: Path) -> None:
    kill_when_ready(
        start(
            HEAD
            + """
session = store.acquire(lease(), NOW)
session.begin(operation())
print("ready", flush=True)
input()
""",
            path,
        )
    )
    with closing(SqliteStore(path).acquire(lease(), SOON)) as session:
        assert session.fence == 2
        assert session.operations(only_open=True) == [operation()]


@pytest.mark.case("CON-03")
def test_holder_that_ended_and_was_not_waited_for_is_taken_over(path: Path) -> None:
    child = start(HEAD + "\nsession = store.acquire(lease(), NOW)\nimport os\nos._exit(1)\n", path)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    state = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0]
    assert state == "Z"
    with closing(SqliteStore(path).acquire(lease(), SOON)) as session:
        assert session.fence == 2
    child.communicate()


@pytest.mark.parametrize("reader", ["before", "after"])
def test_kill_inside_a_transaction_leaves_the_state_before(path: Path, reader: str) -> None:
    fill(path)
    before = content(path)
    kill_when_ready(
        start(
            HEAD
            + """
session = store.acquire(lease(), NOW)
with session._writing() as connection:
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("UPDATE meta SET serial = 99")
    connection.execute("DELETE FROM resources")
    for number in range(200):
        session._append_deployment(connection, deployment(f"alias-{number}"))
    print("ready", flush=True)
    input()
""".replace("session = ", "from tests.state.states import deployment\nsession = ", 1),
            path,
        )
    )
    if reader == "before":
        with closing(SqliteStore(path).read()) as look:
            assert look.resources().keys() == before["resources"].keys()
            assert look.meta().serial == before["meta"].serial
    with closing(SqliteStore(path).acquire(lease(), SOON)) as session:
        assert session.deployments() == []
    after = content(path)
    assert after["resources"] == before["resources"]
    assert after["operations"] == before["operations"]
    assert (after["meta"].serial, after["meta"].fence) == (before["meta"].serial, 3)


def test_kill_while_a_state_is_made_leaves_none(tmp_path: Path) -> None:
    path = tmp_path / ".brewslm" / "state.db"
    kill_when_ready(
        start(
            HEAD
            + """
import os
from brewslm.state.stores import sqlite

def wait(*_):
    print("ready", flush=True)
    input()

sqlite.sync_file = wait
store.create("lineage")
""",
            path,
        )
    )
    assert not SqliteStore(path).exists()
    assert SqliteStore(path).create(LINEAGE).lineage == LINEAGE
    fill(path)


@pytest.mark.case("CON-02")
def test_stopped_holder_that_wakes_up_writes_nothing(path: Path) -> None:
    child = start(
        HEAD
        + """
session = store.acquire(lease(), NOW)
print("ready", flush=True)
input()
try:
    session.add_run_event(run_event())
except StateError as error:
    print(error.code)
session.release()
""",
        path,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGSTOP)
    with closing(SqliteStore(path).acquire(lease(), "2026-03-01T11:00:00Z")) as session:
        child.send_signal(signal.SIGCONT)
        answer, errors = child.communicate("go\n")
        assert (answer, errors) == ("lease_lost\n", "")
        assert session.run_events() == []
        assert session.lease() is not None


# Versions


@pytest.mark.case("CRA-06")
def test_newer_version_is_refused_and_stays_untouched(path: Path) -> None:
    fill(path)
    change(path, "UPDATE meta SET schema_version = ?", SCHEMA_VERSION + 1)
    before = path.read_bytes()
    store = SqliteStore(path)
    for call in (store.read, lambda: store.acquire(lease(), NOW), lambda: store.force_unlock("x")):
        with pytest.raises(StateVersionError) as caught:
            call()
        assert caught.value.code == "state_too_new"
        assert str(SCHEMA_VERSION + 1) in caught.value.found
        assert str(SCHEMA_VERSION) in caught.value.expected
        assert "newer release" in caught.value.remedy
    assert path.read_bytes() == before
    log = path.with_name("state.db-wal")
    assert not log.exists() or log.stat().st_size == 0


# Damage


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _data: b"",
    "text": lambda _data: b"lineage: none\n" * 500,
    "another_program": lambda data: data[:68] + bytes(4) + data[72:],
    "cut_header": lambda data: data[:50],
    "cut_pages": lambda data: data[: len(data) // 2],
    "zeroed_pages": lambda data: data[:4096] + bytes(len(data) - 4096),
    "garbage_pages": lambda data: data[:4096] + b"\xa5" * (len(data) - 4096),
    "garbage_first_page": lambda data: data[:100] + b"\xa5" * 3996 + data[4096:],
}


@pytest.mark.case("CRA-06")
@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_damaged_file_is_refused_and_never_overwritten(path: Path, damage: str) -> None:
    fill(path)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(StateError) as caught:
        SqliteStore(path).acquire(lease(), NOW)
    assert caught.value.code == "state_corrupt"
    assert "backup" in caught.value.remedy
    with pytest.raises(StateError, match="already"):
        SqliteStore(path).create(LINEAGE)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_reading_a_damaged_file_ends_in_a_coded_error(path: Path, damage: str) -> None:
    fill(path, count=40)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(StateError) as caught:
        content(path)
    assert caught.value.code == "state_corrupt"


@pytest.mark.case("CRA-06")
def test_flipped_bits_give_the_content_or_a_coded_error(path: Path) -> None:
    fill(path)
    data, addresses = path.read_bytes(), set(content(path)["resources"])
    outcomes: set[str | bool] = set()
    for position in range(100, len(data), 797):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0x41]) + data[position + 1 :])
        try:
            outcomes.add(len(addresses) == len(content(path)["resources"]))
        except StateError as error:
            outcomes.add(error.code)
    assert outcomes <= {True, False, "state_corrupt", "state_too_new"}
    assert "state_corrupt" in outcomes


@pytest.mark.parametrize("document", ["", "[]", "null", '{"address": 1', '{"address": "a"}'])
def test_records_that_cannot_be_read_are_damage(path: Path, document: str) -> None:
    fill(path)
    change(path, "UPDATE resources SET document = ?", document)
    with pytest.raises(StateError) as caught:
        content(path)
    assert caught.value.code == "state_corrupt"


def test_missing_meta_row_is_damage(path: Path) -> None:
    change(path, "DELETE FROM meta")
    for call in (SqliteStore(path).read, lambda: SqliteStore(path).acquire(lease(), NOW)):
        with pytest.raises(StateError) as caught:
            call()
        assert caught.value.code == "state_corrupt"


@pytest.mark.case("CRA-02")
def test_log_cut_at_any_page_gives_an_older_state(path: Path, tmp_path: Path) -> None:
    store = SqliteStore(path)
    with closing(store.acquire(lease(expires_at=NOW), NOW)) as session:
        for number in range(6):
            session.begin(operation(f"op-{number}"))
        data = path.read_bytes()
        log = path.with_name("state.db-wal").read_bytes()
    counts = []
    for end in [*range(0, len(log), 2060), len(log)]:
        cut = tmp_path / f"cut-{end}" / "state.db"
        cut.parent.mkdir()
        cut.write_bytes(data)
        cut.with_name("state.db-wal").write_bytes(log[:end])
        with closing(SqliteStore(cut).acquire(lease(), SOON)) as session:
            counts.append(len(session.operations()))
            assert {item.operation_id for item in session.operations()} == {
                f"op-{number}" for number in range(counts[-1])
            }
    assert counts == sorted(counts)
    assert set(counts) == set(range(7))


def test_failures_of_an_earlier_program_are_counted_with_the_next_one(path: Path) -> None:
    failed = run_event(severity="error", reason_code="training_oom")
    with closing(SqliteStore(path).acquire(lease(), NOW)) as session:
        session.add_run_event(failed)
        session.add_run_event(failed)
    change(path, "DELETE FROM failure_clusters")
    with closing(SqliteStore(path).acquire(lease(), NOW)) as session:
        session.add_run_event(failed)
        assert [item.failure_count for item in session.failure_clusters()] == [3]


def test_the_file_is_marked_as_ours(path: Path) -> None:
    assert int.from_bytes(path.read_bytes()[68:72], "big") == APPLICATION_ID


# Disk and permissions


@pytest.mark.case("DSK-03")
def test_full_disk_keeps_the_state_and_a_retry_works(path: Path) -> None:
    fill(path)
    before = content(path)
    child = start(
        HEAD
        + """
import resource as limits
session = store.acquire(lease(), NOW)
size = 64 * 1024
limits.setrlimit(limits.RLIMIT_FSIZE, (size, limits.RLIM_INFINITY))
try:
    for number in range(100):
        session.add_run_event(run_event(summary="x" * 9000))
except StateError as error:
    print(error.code, "|", error.remedy, "|", len(session.run_events()) == number)
limits.setrlimit(limits.RLIMIT_FSIZE, (limits.RLIM_INFINITY, limits.RLIM_INFINITY))
session.add_run_event(run_event(stage="export"))
print(session.run_events(limit=1)[0].sequence == number + 1)
session.release()
""",
        path,
    )
    answer, errors = child.communicate()
    assert errors == ""
    assert answer == "disk_full | free disk space, then: brewslm apply | True\nTrue\n"
    after = content(path)
    assert after["resources"] == before["resources"]
    assert after["meta"].serial == before["meta"].serial


def test_full_disk_at_creation_leaves_no_state(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    child = start(
        HEAD
        + """
import resource as limits
limits.setrlimit(limits.RLIMIT_FSIZE, (8192, limits.RLIM_INFINITY))
try:
    store.create("lineage")
except StateError as error:
    print(error.code)
""",
        path,
    )
    assert child.communicate() == ("disk_full\n", "")
    assert list(tmp_path.iterdir()) == []
    assert limits.getrlimit(limits.RLIMIT_FSIZE)[0] == limits.RLIM_INFINITY


def test_read_only_folder_can_be_read_and_refuses_the_lease(open_folder: Path) -> None:
    path = open_folder / ".brewslm" / "state.db"
    SqliteStore(path).create(LINEAGE)
    fill(path)
    before = path.read_bytes()
    path.chmod(0o400)
    path.parent.chmod(0o500)
    with without_rights(path.parent):
        assert len(content(path)["resources"]) == 3
        with pytest.raises(StateError) as caught:
            SqliteStore(path).acquire(lease(), NOW)
        with pytest.raises(StateError):
            SqliteStore(path.with_name("other.db")).create(LINEAGE)
        names = [item.name for item in path.parent.iterdir()]
    path.parent.chmod(0o700)
    assert caught.value.code == "permission_denied"
    assert "permissions of .brewslm" in caught.value.remedy
    assert (names, path.read_bytes()) == (["state.db"], before)


def test_read_only_folder_with_a_log_is_read_from_a_copy(open_folder: Path) -> None:
    path = open_folder / ".brewslm" / "state.db"
    SqliteStore(path).create(LINEAGE)
    kill_when_ready(
        start(
            HEAD
            + """
session = store.acquire(lease(), NOW)
session.begin(operation())
print("ready", flush=True)
input()
""",
            path,
        )
    )
    path.with_name("state.db-shm").unlink()
    for item in path.parent.iterdir():
        item.chmod(0o400)
    path.parent.chmod(0o500)
    with without_rights(path.parent):
        assert content(path)["operations"] == [operation()]
        names = sorted(item.name for item in path.parent.iterdir())
    path.parent.chmod(0o700)
    assert names == ["state.db", "state.db-wal"]


def test_unreadable_file_is_named_as_such(open_folder: Path) -> None:
    path = open_folder / ".brewslm" / "state.db"
    SqliteStore(path).create(LINEAGE)
    path.chmod(0)
    with without_rights(path.parent), pytest.raises(StateError) as caught:
        SqliteStore(path).read()
    assert caught.value.code == "permission_denied"


def test_busy_file_is_a_coded_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_S", 0.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError) as caught:
            SqliteStore(path).acquire(lease(), NOW)
        other.execute("ROLLBACK")
    assert caught.value.code == "state_write_failed"
    assert "locked" in caught.value.found
    with closing(SqliteStore(path).acquire(lease(), NOW)) as session:
        assert session.add_run_event(run_event()).sequence == 1
