"""The loop of `brewslm events --follow`: look without a lease, show what is new, wait."""

import io
import select
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TextIO

from brewslm.apply.interruption import Stop
from brewslm.state.records import RunEvent
from brewslm.state.store import StateReader, StateStore

_PAUSE_S = 0.5
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
    stop: Stop,
) -> None:
    """Show events later than `newest`, oldest first, until somebody asks to stop or `pause` says
    that nobody reads any more.
    """
    while not stop.is_requested and pause():
        if not store.exists():
            continue
        with closing(store.read()) as reader:
            found = _later(find, reader, newest)
        if found:
            show(found)
            newest = found[-1]


def pause_of(out: TextIO) -> Callable[[], bool]:
    """Return what waits a moment and tells whether somebody still reads the stream."""
    try:
        number = out.fileno()
    except io.UnsupportedOperation:
        return _slept
    poll = select.poll()
    poll.register(number, 0)
    return lambda: not poll.poll(_PAUSE_S * 1000)


def _slept() -> bool:
    time.sleep(_PAUSE_S)
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
