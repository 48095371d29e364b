"""The loop of `brewslm events --follow`: look without a lease, show what is new, wait."""

import io
import select
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TextIO

from brewslm.apply.interruption import Stop
from brewslm.errors import StateError
from brewslm.state.records import RunEvent
from brewslm.state.store import StateReader, StateStore

PAUSE_S = 0.5
"""Between two looks at a state of this machine."""
SHARED_PAUSE_S = 2.0
"""Between two looks at a state of several hosts."""
_OUTAGE_PAUSES = 5
"""How many pauses follow a look that the store did not answer."""
_FIRST_LOOK = 64
"""How many of the newest events a look takes first; it doubles until nothing new is left out."""

Find = Callable[[StateReader, int], list[RunEvent]]
"""Returns at most that many of the wanted events, newest first."""


def follow(
    store: StateStore,
    find: Find,
    newest: RunEvent | None,
    show: Callable[[Sequence[RunEvent]], None],
    pause: Callable[[], bool],
    warn: Callable[[StateError], None],
    stop: Stop,
) -> None:
    """Show events later than `newest`, oldest first, until somebody asks to stop or `pause` says
    that nobody reads any more.

    warn: told once for each time that the store does not answer for a while, which is waited for.
    Raises: StateError of another kind.
    """
    is_there = is_silent = False
    pauses = 1
    while all(not stop.is_requested and pause() for _ in range(pauses)):
        pauses = 1
        try:
            is_there = is_there or store.exists()
            if not is_there:
                continue
            with closing(store.read()) as reader:
                found = _later(find, reader, newest)
        except StateError as error:
            if error.code != "state_write_failed":
                if store.exists():
                    raise
                is_there = False
                continue
            if not is_silent:
                warn(error)
            is_silent, pauses = True, _OUTAGE_PAUSES
            continue
        is_silent = False
        if found:
            show(found)
            newest = found[-1]


def pause_of(out: TextIO, pause_s: float) -> Callable[[], bool]:
    """Return what waits that long and tells whether somebody still reads the stream."""
    try:
        number = out.fileno()
    except io.UnsupportedOperation:
        return lambda: _slept(pause_s)
    poll = select.poll()
    poll.register(number, 0)
    return lambda: not poll.poll(pause_s * 1000)


def _slept(pause_s: float) -> bool:
    time.sleep(pause_s)
    return True


def _later(find: Find, reader: StateReader, newest: RunEvent | None) -> list[RunEvent]:
    """Return the events after one, oldest first; all of them where the history was replaced."""
    amount = _FIRST_LOOK
    found = find(reader, amount)
    last = newest.sequence if newest is not None else 0
    if found and found[0].sequence < last:
        last = 0
    while len(found) == amount and found[-1].sequence > last:
        amount *= 2
        found = find(reader, amount)
    return [item for item in reversed(found) if item.sequence > last]
