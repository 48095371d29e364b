"""The loop of `brewslm reconcile --watch`: look, wait, look again; back off while something is in
the way that passes.
"""

import random
import threading
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from brewslm.apply.clock import Clock
from brewslm.apply.interruption import Stop
from brewslm.cli.reconciling import Look
from brewslm.errors import ExitCode

FIRST_BACKOFF_S = 5.0
"""The longest first wait after trouble; it doubles with each further one."""
_MOST_DOUBLINGS = 32


class LoopStop(Stop):
    """A stop request that ends a wait at once."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        super().__init__()
        self._asked = threading.Event()

    def request(self, signal_name: str) -> None:
        """Ask to stop at the next safe point, and end the wait."""
        super().request(signal_name)
        self._asked.set()

    def pause(self, seconds: float) -> None:
        """Wait that long, or until somebody asks to stop."""
        self._asked.wait(seconds)


class Schedule(Struct, frozen=True):
    """How long the loop waits."""

    interval_s: float = 60.0
    max_backoff_s: float = 1800.0

    def wait_s(self, troubles: int, chance: random.Random) -> float:
        """Return the interval, or after troubles in a row anything up to twice as much each time.

        Source: Exponential Backoff And Jitter, AWS Architecture Blog (2015), "full jitter".
        """
        if troubles == 0:
            return self.interval_s
        longest_s = FIRST_BACKOFF_S * 2.0 ** min(troubles - 1, _MOST_DOUBLINGS)
        return chance.uniform(0.0, min(longest_s, self.max_backoff_s))


class _Looking(Protocol):
    """What is done again and again."""

    def look(self, schedule: Callable[[bool], str | None]) -> Look: ...


def look_once(reconciler: _Looking, stop: Stop) -> ExitCode:
    """Look once and return how it went."""
    seen = reconciler.look(lambda _: None)
    return ending(stop, seen) or seen.exit_code


def watch(
    reconciler: _Looking, schedule: Schedule, stop: LoopStop, clock: Clock, chance: random.Random
) -> ExitCode:
    """Look until somebody asks to stop; return what the process ends with."""
    loop = _Loop(schedule, stop, clock, chance)
    while True:
        seen = reconciler.look(loop.next_look)
        ended = ending(stop, seen)
        if ended is None:
            stop.pause(loop.wait_s)
            ended = ending(stop, None)
        if ended is not None:
            return ended


def ending(stop: Stop, seen: Look | None) -> ExitCode | None:
    """Return how a process ends that was asked to stop, None when it was not asked.

    SIGTERM while nothing is applied is how a supervisor ends a loop that did its duty: 0. Anything
    else was interrupted: 130.
    """
    if not stop.is_requested:
        return None
    is_idle = seen is None or seen.exit_code is not ExitCode.INTERRUPTED
    if is_idle and stop.signal_name == "SIGTERM":
        return ExitCode.DONE
    return ExitCode.INTERRUPTED


class _Loop:
    """The troubles so far, and the wait that follows."""

    def __init__(self, schedule: Schedule, stop: Stop, clock: Clock, chance: random.Random) -> None:
        self._schedule = schedule
        self._stop = stop
        self._clock = clock
        self._chance = chance
        self._troubles = 0
        self.wait_s = 0.0

    def next_look(self, is_passing: bool) -> str | None:
        """Take note of how a look went; return when the next one is, None when there is none."""
        self._troubles = self._troubles + 1 if is_passing else 0
        self.wait_s = self._schedule.wait_s(self._troubles, self._chance)
        return None if self._stop.is_requested else self._clock.after(self.wait_s)
