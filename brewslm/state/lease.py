"""The lease: who may write, until when, and whether its holder is still alive.

Expiry says when a takeover may be tried; the fence protects. Within one boot of a host it is told
by a clock that counts suspend and that no setting of the wall clock moves. A holder of this host
and boot whose process is gone, or whose pid belongs to another process by now, is taken over at
once; so is one of an earlier boot of this host. Of processes in another pid namespace nothing is
known.
"""

import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from brewslm.errors import LeaseLostError, StateError, StateLockedError
from brewslm.state.records import LeaseRecord, RunEvent
from brewslm.state.store import StateReader, StateSession

LIFETIME_S = 60.0
RENEWAL_S = 20.0
SHARED_GRACE_S = 30.0
"""How much longer than its expiry a lease of another host is left alone."""

_ENDED = frozenset("ZX")
"""States of a process that has ended; of several threads it is only the first one that has."""
TAKEN_OVER, FORCED = "lease_taken_over", "lease_forced"
"""Reason codes of the events that tell how a lease ended; their payload names it."""

TakeoverRule = Callable[[LeaseRecord, LeaseRecord, str], bool]
"""Says of a held lease, the wanted one and the time whether the first may be taken over."""


def boot_id() -> str:
    """Return the id of this boot of the machine, empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def boot_clock_s() -> float:
    """Return seconds since this boot, suspend included; 0 where the system has no such clock."""
    try:
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    except (AttributeError, OSError):
        return 0.0


def pid_namespace() -> str:
    """Return which processes a pid is counted among, empty where the system has no such thing."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def process_start(pid: int) -> str:
    """Return when a process started, in ticks since boot; empty when there is no such process, or
    it has ended and only waits for its parent to ask how.

    Source: proc(5), /proc/pid/stat: state, num_threads and starttime.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    state, threads, started = fields[0], int(fields[17]), fields[19]
    return "" if state in _ENDED and threads <= 1 else started


def wanted_lease(
    holder: str, operation: str, now: str, expires_at: str, facts: Mapping[str, str]
) -> LeaseRecord:
    """Return the lease that this process asks for; facts: host, git_commit and run_url."""
    return LeaseRecord(
        lease_id=uuid.uuid4().hex[:16],
        holder=holder,
        operation=operation,
        host=facts.get("host", ""),
        pid=os.getpid(),
        pid_started=process_start(os.getpid()),
        boot_id=boot_id(),
        git_commit=facts.get("git_commit", ""),
        run_url=facts.get("run_url", ""),
        acquired_at=now,
        renewed_at=now,
        expires_at=expires_at,
        fence=0,
        pid_namespace=pid_namespace(),
        renewed_boot_s=boot_clock_s(),
    )


def may_take_over(held: LeaseRecord, wanted: LeaseRecord, now: str) -> bool:
    """Return whether a held lease may be taken over: expired, or its holder is certainly dead.

    wanted: the lease that this process asks for.
    """
    if _is_expired(held, wanted, now):
        return True
    if not held.boot_id or not wanted.boot_id:
        return False
    if held.boot_id != wanted.boot_id:
        return bool(held.host) and held.host == wanted.host
    if held.pid_namespace != wanted.pid_namespace:
        return False
    return process_start(held.pid) != held.pid_started


def may_take_over_shared(held: LeaseRecord, wanted: LeaseRecord, now: str) -> bool:
    """Return whether a lease in a store that several hosts share may be taken over.

    A lease of this boot follows the rule of one host. Any other one has to be expired for a while:
    names of hosts repeat among containers, and clocks differ.
    """
    if held.boot_id and held.boot_id == wanted.boot_id:
        return may_take_over(held, wanted, now)
    return moved(held.expires_at, SHARED_GRACE_S) <= now


def moved(at: str, seconds: float) -> str:
    """Return an RFC 3339 time in UTC that many whole seconds later."""
    if not round(seconds):
        return at
    moment = datetime.fromisoformat(at) + timedelta(seconds=round(seconds))
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_expired(held: LeaseRecord, wanted: LeaseRecord, now: str) -> bool:
    if held.boot_id and held.boot_id == wanted.boot_id and held.renewed_boot_s:
        if wanted.renewed_boot_s:
            return wanted.renewed_boot_s - held.renewed_boot_s >= LIFETIME_S
    return held.expires_at <= now


def renewed(held: LeaseRecord, renewed_at: str, expires_at: str) -> LeaseRecord:
    """Return the lease with its time extended from now."""
    return replace(
        held, renewed_at=renewed_at, expires_at=expires_at, renewed_boot_s=boot_clock_s()
    )


def locked_error(held: LeaseRecord) -> StateLockedError:
    """Return the error that says who holds the lease and how to get out."""
    return StateLockedError(
        "another run holds the lease on the state",
        code="state_locked",
        found=(
            f"{_shown(held)}, since {held.acquired_at}, renewed {held.renewed_at}, "
            f"until {held.expires_at}"
        ),
        expected="a free lease",
        remedy=(
            "brewslm apply --lock-timeout 10m; if that run is certainly dead: "
            f"brewslm force-unlock {held.lease_id}"
        ),
    )


def lost_error(own: LeaseRecord, state: StateReader) -> LeaseLostError:
    """Return the error of a write under an outdated fence, which says who ended the lease and when.

    own: the lease of the run that may not write any more; state: as it is now.
    """
    ended = _ended_by(own, state)
    is_forced = ended is not None and ended.reason_code == FORCED
    error = LeaseLostError(
        "this run's lease was ended by force, and it writes nothing more"
        if is_forced
        else "another run took the lease over from this one, which writes nothing more",
        code="lease_lost",
        found=f"{_successor(state.lease(), ended)}, fence {state.meta().fence}",
        expected=(
            f"the lease of this run, {_shown(own)}, renewed {own.renewed_at}, fence {own.fence}"
        ),
        remedy=(
            "brewslm lock show says whether the other run still works; once it ended, "
            "for what is left to do: brewslm plan"
        ),
    )
    error.fence, error.current_fence = own.fence, state.meta().fence
    error.is_forced = is_forced
    return error


def _ended_by(own: LeaseRecord, state: StateReader) -> RunEvent | None:
    """Return the event of the takeover or the force that ended a lease, None when none is told."""
    for code in (TAKEN_OVER, FORCED):
        for event in state.run_events(reason_code=code):
            if event.payload.get("lease_id") == own.lease_id:
                return event
    return None


def _successor(held: LeaseRecord | None, ended: RunEvent | None) -> str:
    if held is not None:
        return f"{_shown(held)}, since {held.acquired_at}"
    if ended is not None:
        how = "ended by force" if ended.reason_code == FORCED else "taken over"
        return f"{how} by {ended.actor} at {ended.at}, free by now"
    return "a lease that is free by now"


def _shown(lease: LeaseRecord) -> str:
    commit = f", commit {lease.git_commit[:7]}" if lease.git_commit else ""
    return f"{lease.operation} {lease.lease_id} by {lease.holder} (pid {lease.pid}{commit})"


class LeaseKeeper:
    """Renews a lease in the background; `lost` holds the error once the lease is gone."""

    def __init__(
        self,
        session: StateSession,
        times: Callable[[], tuple[str, str]],
        renewal_s: float = RENEWAL_S,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """times: returns now and the new expiry as RFC 3339 text; renewal_s: between renewals;
        on_lost: called once when the lease is gone.
        """
        self._session = session
        self._times = times
        self._renewal_s = renewal_s
        self._on_lost = on_lost
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self.lost: LeaseLostError | None = None

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """End the renewal; waits for one that is under way."""
        self._ended.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._ended.wait(self._renewal_s):
            try:
                self._session.renew(*self._times())
            except LeaseLostError as error:
                self.lost = error
                self._on_lost()
                return
            except StateError:
                continue
