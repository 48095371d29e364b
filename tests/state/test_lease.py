"""Who may be taken over, and a keeper that renews until the lease is gone."""

import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from brewslm.errors import LeaseLostError, StateError
from brewslm.state.lease import (
    FORCED,
    LIFETIME_S,
    TAKEN_OVER,
    LeaseKeeper,
    boot_clock_s,
    lost_error,
    may_take_over,
    may_take_over_shared,
    moved,
    process_start,
)
from brewslm.state.records import LeaseRecord, RunEvent
from brewslm.state.stores.memory import MemorySession, MemoryStore
from tests.state.states import (
    AFTER_EXPIRY,
    EXPIRY,
    LINEAGE,
    NOW,
    SOON,
    dead_lease,
    lease,
    run_event,
)


def test_living_holder_is_left_alone_until_expiry() -> None:
    assert not may_take_over(lease(), lease(), NOW)
    assert not may_take_over(lease(), lease(), "2026-03-01T10:00:59Z")
    assert may_take_over(lease(), lease(), AFTER_EXPIRY)


@pytest.mark.case("TIM-01")
def test_wall_clock_that_jumps_moves_no_expiry_within_a_boot() -> None:
    held, asking = lease(renewed_boot_s=1000.0), lease(renewed_boot_s=1059.0)
    assert not may_take_over(held, asking, "2026-03-02T10:00:00Z")
    assert not may_take_over(held, asking, "2026-02-28T10:00:00Z")
    late = lease(renewed_boot_s=1000.0 + LIFETIME_S)
    assert may_take_over(held, late, "2026-02-28T10:00:00Z")


def test_clock_of_another_boot_is_not_compared() -> None:
    held = lease(boot_id="theirs", host="build-4", renewed_boot_s=9e9)
    assert not may_take_over(held, lease(renewed_boot_s=1.0), SOON)
    assert may_take_over(held, lease(renewed_boot_s=1.0), AFTER_EXPIRY)


def test_renewal_moves_the_clock_of_the_boot(session: MemorySession) -> None:
    before = boot_clock_s()
    renewed = session.renew("2026-02-28T10:00:00Z", "2026-02-28T10:01:00Z")
    assert renewed.renewed_boot_s >= before > 0
    assert not may_take_over(renewed, lease(renewed_boot_s=before), AFTER_EXPIRY)


def test_dead_process_is_taken_over() -> None:
    assert may_take_over(dead_lease(), lease(), SOON)


def test_name_of_a_process_hides_nothing_of_it() -> None:
    own, name = Path("/proc/self/comm"), Path("/proc/self/comm").read_text()
    started = process_start(os.getpid())
    assert started
    own.write_text("a) Z 1 (b")
    try:
        assert process_start(os.getpid()) == started
    finally:
        own.write_text(name)


def test_process_of_which_only_the_first_thread_ended_lives() -> None:
    program = (
        "import ctypes, threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "print('ready', flush=True)\n"
        "ctypes.PyDLL(None).pthread_exit(None)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        stat = Path(f"/proc/{child.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "Z":
            assert child.poll() is None
        started = stat.read_text().rpartition(")")[2].split()[19]
        assert process_start(child.pid) == started
        child.kill()


def test_pid_that_belongs_to_another_process_is_taken_over() -> None:
    assert may_take_over(lease(pid_started="1"), lease(), SOON)


def test_earlier_boot_of_this_host_voids_the_lease() -> None:
    assert may_take_over(lease(boot_id="before"), lease(), SOON)


def test_another_host_keeps_its_lease_until_expiry() -> None:
    held = lease(boot_id="theirs", host="build-4", pid=1, pid_started="1")
    assert not may_take_over(held, lease(), SOON)
    assert may_take_over(held, lease(), AFTER_EXPIRY)


def test_pids_of_another_container_say_nothing() -> None:
    held = lease(pid=1, pid_started="1", pid_namespace="pid:[1]")
    assert not may_take_over(held, lease(), SOON)


def test_lease_of_an_unnamed_host_waits_for_expiry_after_a_boot() -> None:
    held, asking = lease(boot_id="before", host=""), lease(host="")
    assert not may_take_over(held, asking, SOON)
    assert may_take_over(held, asking, AFTER_EXPIRY)


@pytest.mark.parametrize(
    ("held", "asking"),
    [
        ({"boot_id": "theirs", "host": "build-4"}, {}),
        ({"boot_id": "before"}, {}),
        ({"boot_id": "", "pid_started": "1"}, {"boot_id": ""}),
    ],
)
def test_shared_lease_of_elsewhere_is_left_alone_for_half_a_minute_after_expiry(
    held: dict[str, str], asking: dict[str, str]
) -> None:
    for now, is_free in (
        (SOON, False),
        (AFTER_EXPIRY, False),
        ("2026-03-01T10:01:29Z", False),
        ("2026-03-01T10:01:30Z", True),
    ):
        assert may_take_over_shared(lease(**held), lease(**asking), now) is is_free


def test_shared_lease_of_this_boot_follows_the_rule_of_one_host() -> None:
    assert not may_take_over_shared(lease(), lease(), SOON)
    assert may_take_over_shared(lease(), lease(), AFTER_EXPIRY)
    assert may_take_over_shared(lease(pid_started="1"), lease(), SOON)


def test_times_are_moved_by_whole_seconds_over_every_border() -> None:
    assert moved("2026-12-31T23:59:45Z", 30.4) == "2027-01-01T00:00:15Z"
    assert moved("2027-01-01T00:00:15Z", -30.4) == "2026-12-31T23:59:45Z"
    assert moved("2026-12-31T23:59:45Z", 0.4) == "2026-12-31T23:59:45Z"


def test_systems_without_boot_ids_wait_for_expiry() -> None:
    held = lease(boot_id="", pid=1, pid_started="1")
    assert not may_take_over(held, lease(), SOON)
    assert not may_take_over(lease(pid_started="1"), lease(boot_id=""), SOON)


def test_ids_are_long_and_differ() -> None:
    ids = {lease().lease_id for _ in range(50)}
    assert len(ids) == 50
    assert {len(text) for text in ids} == {16}


def test_process_that_never_was_has_no_start() -> None:
    assert process_start(2**22 + 1) == ""
    assert process_start(lease().pid) == lease().pid_started != ""


class Watched(MemorySession):
    """A session that says when it was renewed, and that fails as told."""

    def __init__(self, session: MemorySession, failures: list[StateError]) -> None:
        super().__init__(session._store, session._held)
        self.failures = failures
        self.renewals = threading.Semaphore(0)

    def renew(self, renewed_at: str, expires_at: str) -> LeaseRecord:
        self.renewals.release()
        if self.failures:
            raise self.failures.pop(0)
        return super().renew(renewed_at, expires_at)


@pytest.fixture
def session() -> MemorySession:
    store = MemoryStore()
    store.create(LINEAGE)
    return store.acquire(lease(), NOW)


def test_keeper_renews_again_and_again(session: MemorySession) -> None:
    passing = StateError("busy", code="state_write_failed", remedy="wait")
    watched = Watched(session, [passing])
    keeper = LeaseKeeper(watched, lambda: (SOON, "2026-03-01T10:05:00Z"), renewal_s=0.001)
    keeper.start()
    for _ in range(4):
        assert watched.renewals.acquire(timeout=10)
    keeper.stop()
    held = session.lease()
    assert keeper.lost is None
    assert held is not None
    assert (held.renewed_at, held.expires_at) == (SOON, "2026-03-01T10:05:00Z")


def test_loss_is_told_by_the_end_of_that_very_lease(session: MemorySession) -> None:
    own, store = session.lease(), session._store
    assert own is not None
    assert isinstance(store, MemoryStore)

    def ended(reason_code: str, lease_id: str) -> RunEvent:
        return run_event(
            stage="system",
            severity="warning",
            reason_code=reason_code,
            payload={"lease_id": lease_id},
        )

    store.force_unlock(own.lease_id, ended(FORCED, own.lease_id))
    with closing(store.acquire(lease(), NOW)) as other:
        other.add_run_event(ended(TAKEN_OVER, "0" * 16))
        error = lost_error(own, other)
    assert error.is_forced
    assert (error.fence, error.current_fence) == (own.fence, own.fence + 2)


def test_keeper_tells_that_the_lease_is_gone_and_stops(session: MemorySession) -> None:
    store = session._store
    assert isinstance(store, MemoryStore)
    with closing(store.acquire(lease(), AFTER_EXPIRY)):
        told: list[str] = []
        keeper = LeaseKeeper(
            session,
            lambda: (SOON, EXPIRY),
            renewal_s=0.001,
            on_lost=lambda: told.append("lost"),
        )
        keeper.start()
        keeper._thread.join(timeout=10)
        assert not keeper._thread.is_alive()
        keeper.stop()
        assert told == ["lost"]
        assert isinstance(keeper.lost, LeaseLostError)
