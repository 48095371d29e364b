"""A state in an object store: writers that meet, answers that get lost, and bytes that rot."""

import json
import signal
import threading
import traceback
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from brewslm.errors import LeaseLostError, StateError, StateVersionError
from brewslm.state.opening import open_shared_state
from brewslm.state.portable import pulled_bytes
from brewslm.state.records import SCHEMA_VERSION
from brewslm.state.store import StateStore
from tests.servers import ask
from tests.state.states import (
    EXPIRY,
    LINEAGE,
    NOW,
    SOON,
    ended,
    kill_when_ready,
    lease,
    operation,
    resource,
    revision,
    run_event,
    start,
)

pytestmark = pytest.mark.slow
HEAD = """
import sys, time
from brewslm.errors import StateError, StateLockedError
from brewslm.state.opening import open_shared_state
from tests.state.states import NOW, ended, lease, operation, resource, run_event

store = open_shared_state(sys.argv[1])
"""
LATER = "2026-03-01T11:00:00Z"
CANARY = "c4n4ry-s3cr3t"


@pytest.fixture
def store(bucket_url: str) -> StateStore:
    store = open_shared_state(bucket_url)
    store.create(LINEAGE)
    return store


@pytest.fixture
def objects(store: StateStore) -> Any:
    """Return the folder of objects itself."""
    found: Any = store
    return found._folder


def go(children: list[Any]) -> list[tuple[str, str]]:
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    return [child.communicate() for child in children]


# Processes


@pytest.mark.case("CON-04")
@pytest.mark.parametrize("children", [6, 50])
def test_processes_that_start_together_get_fences_in_order(
    store: StateStore, bucket_url: str, children: int
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
    answers = go([start(program, bucket_url) for _ in range(children)])
    assert [errors for _, errors in answers] == [""] * children
    expected = list(range(1, children + 1))
    assert sorted(int(fence) for fence, _ in answers) == expected
    with closing(store.read()) as reader:
        assert reader.meta().serial == children
        assert [item.fence for item in reader.operations()] == expected[::-1]
        assert {item.serial for item in reader.resources().values()} == set(expected)


def test_state_is_made_once_by_threads_that_start_together(bucket_url: str) -> None:
    outcomes: list[str] = []

    def make(number: int) -> None:
        try:
            open_shared_state(bucket_url).create(f"lineage-{number}")
            outcomes.append("made")
        except StateError as error:
            outcomes.append(error.message)

    threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made"] + ["there is a state already"] * 3


@pytest.mark.case("CON-03")
def test_killed_holder_is_taken_over_and_its_journal_is_there(
    store: StateStore, bucket_url: str
) -> None:
    program = """
session = store.acquire(lease(), NOW)
session.begin(operation())
print("ready", flush=True)
input()
"""
    kill_when_ready(start(HEAD + program, bucket_url))
    with closing(store.acquire(lease(), SOON)) as session:
        assert session.fence == 2
        assert session.operations(only_open=True) == [operation()]


@pytest.mark.case("CON-02", "CON-09")
@pytest.mark.parametrize("moment", ["between writes", "before the commit"])
def test_stopped_holder_that_wakes_up_writes_nothing(
    store: StateStore, bucket_url: str, moment: str
) -> None:
    pause = """
def pause():
    print("ready", flush=True)
    input()
session = store.acquire(lease(), NOW)
"""
    inside = """
put = store._put_snapshot
store._put_snapshot = lambda *what: (put(*what), pause())[0]
"""
    ending = """
try:
    session.add_run_event(run_event())
except StateError as error:
    print(error.code)
session.release()
"""
    middle = inside if moment == "before the commit" else "pause()"
    child = start(HEAD + pause + middle + ending, bucket_url)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGSTOP)
    with closing(store.acquire(lease(), LATER)) as session:
        child.send_signal(signal.SIGCONT)
        answer, errors = child.communicate("go\n")
        assert (answer, errors) == ("lease_lost\n", "")
        assert session.run_events() == []
        assert session.lease() is not None


# Takeover in steps


def test_holder_that_died_between_lease_and_head_is_taken_over(
    store: StateStore, bucket_url: str
) -> None:
    slow: Any = open_shared_state(bucket_url)
    with closing(store.acquire(lease(), NOW)) as first:
        lease_taken, before = slow._take_lease(lease(), LATER)
        assert before is not None
        assert lease_taken.fence == 2
        with pytest.raises(LeaseLostError):
            first.begin(operation())
        with closing(store.acquire(lease(), LATER)) as third:
            assert third.fence == 3
            with pytest.raises(LeaseLostError):
                slow._raise_fence(lease_taken)
            third.begin(operation())


@pytest.mark.case("CON-09")
def test_write_that_meets_a_takeover_is_kept_before_it(store: StateStore, bucket_url: str) -> None:
    other: Any = open_shared_state(bucket_url)
    session: Any = store.acquire(lease(), NOW)
    take = other._take_lease

    def let_the_holder_write_and_take(*what: Any) -> Any:
        see, calls = other._see, list[int]()

        def see_and_let_the_holder_write() -> Any:
            seen = see()
            calls.append(1)
            if len(calls) == 1:
                session.add_run_event(run_event())
            return seen

        other._see = see_and_let_the_holder_write
        return take(*what)

    other._take_lease = let_the_holder_write_and_take
    with closing(session), closing(other.acquire(lease(), LATER)) as second:
        assert len(second.run_events()) == 1
        with pytest.raises(LeaseLostError):
            session.add_run_event(run_event())
        assert len(second.run_events()) == 1


def test_forced_unlock_that_meets_a_write_keeps_it(store: StateStore, bucket_url: str) -> None:
    held = lease()
    session: Any = store.acquire(held, NOW)
    other: Any = open_shared_state(bucket_url)
    put, calls = other._put_in_force, list[int]()

    def write_first(*what: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            session.begin(operation())
        return put(*what)

    other._put_in_force = write_first
    event = run_event(stage="system", severity="warning", reason_code="lease_forced")
    other.force_unlock(held.lease_id, event)
    with closing(store.read()) as reader:
        assert reader.lease() is None
        assert reader.meta().fence == 2
        assert reader.operations() == [operation()]
        assert len(reader.run_events()) == 1
    session.close()


# Answers that get lost


def life(url: str) -> bytes:
    """Make a state, write everything once, and return what it holds in the end."""
    store = open_shared_state(url)
    store.create(LINEAGE)
    with closing(store.acquire(lease(), NOW)) as session:
        session.begin(operation())
        session.add_checkpoint("op-1", {"step": 1})
        session.renew(SOON, EXPIRY)
        session.end(ended(operation()), records=[resource()])
        session.add_revision(revision())
        session.add_run_event(run_event())
    with closing(store.read()) as reader:
        assert reader.lease() is None
        assert [item.status for item in reader.operations()] == ["ended"]
        assert len(reader.run_events()) == 1
        return pulled_bytes(reader)


@pytest.mark.case("CON-07")
@pytest.mark.parametrize("trouble", ["lose", "fail"])
def test_no_lost_answer_changes_what_is_written(
    bucket_url: str, object_address: str, trouble: str
) -> None:
    expected = life(f"{bucket_url}/none")
    for number in range(24):
        ask(f"{object_address}/-/{trouble}?count=1&after={number}", "POST")
        assert life(f"{bucket_url}/{number}") == expected, number
    ask(f"{object_address}/-/{trouble}?count=0", "POST")


def test_service_that_removes_nothing_loses_no_write(
    bucket_url: str, object_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = life(f"{bucket_url}/removing")
    monkeypatch.setattr("brewslm.objects._RETRIES", 0)
    ask(f"{object_address}/-/keep?count=1000", "POST")
    try:
        assert life(f"{bucket_url}/keeping") == expected
    finally:
        ask(f"{object_address}/-/keep?count=0", "POST")
    kept: Any = open_shared_state(f"{bucket_url}/keeping")
    assert kept._folder.keys("probe")


def test_service_that_goes_away_at_any_write_leaves_a_state_that_goes_on(
    bucket_url: str, object_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brewslm.objects._RETRIES", 0)
    codes: list[str] = []
    for number in range(24):
        url = f"{bucket_url}/{number}"
        ask(f"{object_address}/-/fail?count=1000&after={number}", "POST")
        try:
            life(url)
        except StateError as error:
            codes.append(error.code)
        ask(f"{object_address}/-/fail?count=0", "POST")
        store = open_shared_state(url)
        if not store.exists():
            store.create(LINEAGE)
        with closing(store.acquire(lease(), LATER)) as session:
            before = session.meta()
            assert before.serial == len(session.resources())
            assert before.serial == sum(x.status == "ended" for x in session.operations())
            session.begin(operation("op-2"))
            closed = ended(operation("op-2"))
            assert session.end(closed, records=[resource("dataset")]).serial == before.serial + 1
            session.add_run_event(run_event())
    assert 0 < len(codes) < 24
    assert set(codes) == {"state_write_failed"}


@pytest.mark.case("CON-08")
def test_service_that_ignores_conditions_keeps_no_state(
    bucket_url: str, object_address: str
) -> None:
    ask(f"{object_address}/-/ignore?count=1000", "POST")
    try:
        with pytest.raises(StateError, match="ignores") as caught:
            open_shared_state(bucket_url).create(LINEAGE)
    finally:
        ask(f"{object_address}/-/ignore?count=0", "POST")
    assert caught.value.code == "system_config_invalid"
    assert not open_shared_state(bucket_url).exists()


def test_service_that_does_not_answer_is_a_coded_error(
    bucket_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("brewslm.objects._RETRIES", 0)
    silent = open_shared_state(bucket_url)
    calls: list[Callable[[], object]] = [
        silent.exists,
        silent.read,
        lambda: silent.create(LINEAGE),
        lambda: silent.acquire(lease(), NOW),
        lambda: silent.force_unlock("0" * 16),
    ]
    for call in calls:
        with pytest.raises(StateError) as caught:
            call()
        assert caught.value.code == "state_write_failed"
        text = "".join(traceback.format_exception(caught.value)) + caught.value.found
        assert bucket_url in text
        assert CANARY not in text


# What is kept


def test_last_snapshot_of_every_serial_stays(store: StateStore, objects: Any) -> None:
    with closing(store.acquire(lease(), NOW)) as session:
        for number in range(3):
            begun = operation(f"op-{number}")
            session.begin(begun)
            session.end(ended(begun), records=[resource(f"export.{number}")])
            session.add_run_event(run_event())
    names = [key.rpartition("/")[2] for key in objects.keys("snapshots")]
    assert [name.partition("-")[0] for name in names] == ["0", "1", "2", "3"]
    assert objects.keys("clock") == objects.keys("probe") == []


@pytest.mark.case("CRA-06")
def test_newer_version_is_refused_and_stays_untouched(store: StateStore, objects: Any) -> None:
    document = json.loads(objects.find("head.json").data)
    objects.put(
        "head.json", json.dumps({**document, "schema_version": SCHEMA_VERSION + 1}).encode()
    )
    before = objects.find("head.json")
    for call in (store.read, lambda: store.acquire(lease(), NOW), lambda: store.force_unlock("x")):
        with pytest.raises(StateVersionError):
            call()
    assert objects.find("head.json") == before


@pytest.mark.parametrize("name", ["head.json", "lease.json", "snapshot"])
@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b'{"resources": 1}', b"null"])
def test_damage_is_found_and_stays_untouched(
    bucket_url: str, store: StateStore, objects: Any, name: str, data: bytes
) -> None:
    store.acquire(lease(), NOW).close()
    key = objects.keys("snapshots")[-1] if name == "snapshot" else name
    objects.put(key, data)
    fresh = open_shared_state(bucket_url)
    for call in (fresh.read, lambda: fresh.acquire(lease(), NOW)):
        with pytest.raises(StateError) as caught:
            call()
        assert caught.value.code == "state_corrupt"
        assert "backup" in caught.value.remedy
    assert objects.find(key).data == data


def test_clock_that_is_behind_keeps_the_service_s_time(store: StateStore) -> None:
    behind: Any = store.acquire(lease(boot_id="theirs", host="build-4"), NOW)
    with closing(behind):
        offset_s, behind._store.offset_s = behind._store.offset_s, lambda: 3600.2
        renewed = behind.renew(NOW, "2026-03-01T10:01:00Z")
        behind._store.offset_s = offset_s
        assert renewed.expires_at == "2026-03-01T11:01:00Z"
        with pytest.raises(StateError) as caught:
            store.acquire(lease(), "2026-03-01T11:01:29Z")
        assert caught.value.code == "state_locked"
        with closing(store.acquire(lease(), "2026-03-01T11:01:30Z")) as session:
            assert session.fence == 2
