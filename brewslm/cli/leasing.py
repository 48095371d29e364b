"""Taking the lease for a command, waiting for it if asked to, and giving it back."""

import re
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from brewslm.apply.clock import SystemClock
from brewslm.apply.executor import ApplyFacts
from brewslm.apply.history import History
from brewslm.apply.interruption import Stop
from brewslm.cli.session import Session
from brewslm.cli.usage import UsageError
from brewslm.errors import InterruptedRunError, StateError, StateLockedError
from brewslm.events import Event, LeaseAcquiredEvent, LeaseWaitEvent, Listener
from brewslm.render.words import duration
from brewslm.state.lease import LIFETIME_S, TAKEN_OVER, LeaseKeeper, wanted_lease
from brewslm.state.records import LeaseRecord
from brewslm.state.rescue import check_none_waits
from brewslm.state.store import StateSession, StateStore

_RETRY_S = 1.0
_TOLERATED_SKEW_S = 30.0
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds(text: str) -> float:
    """Return the seconds of a duration such as `90`, `30s`, `10m`, `1h` or `7d`.

    Raises: UsageError.
    """
    match = re.fullmatch(r"(\d+)([smhd]?)", text.strip())
    if match is None:
        raise UsageError(
            f'"{text}" is no duration',
            code="usage_error",
            found=text,
            expected="a whole number of seconds, minutes, hours or days",
            remedy="write 30s, 10m, 1h or 7d",
        )
    return float(int(match[1]) * _UNITS[match[2]])


def unheard(_: Event) -> None:
    """Take an event and say nothing, for commands that tell nothing but their result."""


@contextmanager
def hold_lease(
    session: Session,
    facts: ApplyFacts,
    tell: Listener,
    stop: Stop,
    wait_s: float,
    operation: str = "apply",
    *,
    is_pushing: bool = False,
) -> Iterator[StateSession]:
    """Lend a state session under a lease that is renewed until the block ends.

    operation: what the lease is held for, shown to whoever waits for it; is_pushing: whether it is
    for a record that did not get into the state; while one waits, nothing else is let in.

    Raises: StateLockedError when somebody else holds it for longer than `wait_s`, RefusedError with
    errored_state_present.
    """
    store = session.store()
    if not store.exists():
        session.make_home()
        _create(store)
    if not is_pushing:
        with closing(store.read()) as reader:
            check_none_waits(session.rescue_folders, reader)
    state = _acquired(store, facts, tell, stop, wait_s, operation)
    _warn_of_skew(session, state.skew_s)
    clock = SystemClock()
    keeper = LeaseKeeper(
        state,
        lambda: (clock.now(), clock.after(LIFETIME_S)),
        on_lost=stop.lose_lease,
    )
    keeper.start()
    try:
        yield state
    except BaseException:
        keeper.stop()
        with suppress(StateError):
            state.release()
        raise
    keeper.stop()
    try:
        state.release()
    except StateError:
        if not stop.is_lease_lost:
            raise


def _warn_of_skew(session: Session, skew_s: float) -> None:
    """Say how far two clocks differ that should be about equal."""
    if abs(skew_s) > _TOLERATED_SKEW_S:
        side = "ahead of" if skew_s > 0 else "behind"
        session.say(
            f"warning: the clock of the shared state is {duration(abs(skew_s))} {side} this "
            "machine's; the lease goes by it, other times in the records by this machine's"
        )


def _create(store: StateStore) -> None:
    """Make a state unless somebody else makes it at the same time."""
    try:
        store.create(str(uuid.uuid4()))
    except StateError:
        if not store.exists():
            raise


def _acquired(
    store: StateStore,
    facts: ApplyFacts,
    tell: Listener,
    stop: Stop,
    wait_s: float,
    operation: str,
) -> StateSession:
    clock = SystemClock()
    begun_s = clock.steady_s()
    while True:
        wanted = wanted_lease(
            facts.actor,
            operation,
            clock.now(),
            clock.after(LIFETIME_S),
            {"host": facts.actor.rpartition("@")[2], "git_commit": facts.git_commit},
        )
        try:
            state = store.acquire(wanted, clock.now())
        except StateLockedError:
            waited_s = clock.steady_s() - begun_s
            if waited_s >= wait_s:
                raise
            _wait(store, tell, stop, waited_s)
            continue
        tell(
            LeaseAcquiredEvent(
                lease_id=wanted.lease_id,
                fence=state.fence,
                expires_in_s=LIFETIME_S,
                taken_over_from=state.taken_over.holder if state.taken_over else None,
            )
        )
        if state.taken_over is not None:
            _record_takeover(state, state.taken_over, facts, clock)
        return state


def _record_takeover(
    state: StateSession, before: LeaseRecord, facts: ApplyFacts, clock: SystemClock
) -> None:
    History(state, facts.apply_id, facts.actor, clock).add(
        "system",
        "warning",
        TAKEN_OVER,
        f"{before.operation} {before.lease_id} of {before.holder} was dead or silent",
        {"lease_id": before.lease_id, "pid": before.pid, "renewed_at": before.renewed_at},
    )


def _wait(store: StateStore, tell: Listener, stop: Stop, waited_s: float) -> None:
    with closing(store.read()) as reader:
        held = reader.lease()
    if held is not None:
        tell(
            LeaseWaitEvent(
                holder=held.holder,
                operation=held.operation,
                acquired_at=held.acquired_at,
                expires_at=held.expires_at,
                waited_s=round(waited_s, 1),
            )
        )
    if stop.is_requested:
        raise InterruptedRunError(
            "interrupted while waiting for the lease",
            code="interrupted",
            remedy="brewslm apply",
        )
    time.sleep(_RETRY_S)
