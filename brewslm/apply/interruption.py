"""Signals during an apply: the first asks for an orderly stop, the second ends at once. A lost
lease and a used-up budget ask for a stop too, and are counted among no signals.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from brewslm.errors import ExitCode

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Whether somebody asked to stop, by which signal, and what else ends an apply early."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.count = 0
        self.signal_name = ""
        self.is_lease_lost = False
        self._is_over: Callable[[], bool] = lambda: False

    @property
    def is_requested(self) -> bool:
        """Whether no new action may begin."""
        return self.count > 0 or self.is_lease_lost or self._is_over()

    def request(self, signal_name: str) -> None:
        """Ask to stop at the next safe point."""
        self.count += 1
        self.signal_name = signal_name

    def stop_when(self, is_over: Callable[[], bool]) -> None:
        """Stop at the next safe point as soon as this holds; it is asked several times a second."""
        self._is_over = is_over

    def lose_lease(self) -> None:
        """Stop at the next safe point because nothing more can be recorded."""
        self.is_lease_lost = True


@contextmanager
def stopping_on_signals(stop: Stop, on_second: Callable[[], None]) -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into a stop request; the second ends the process.

    on_second: what has to happen before the process ends, such as killing children.
    """

    def receive(number: int, _frame: FrameType | None) -> None:
        stop.request(signal.Signals(number).name)
        if stop.count > 1:
            on_second()
            os._exit(ExitCode.INTERRUPTED)

    previous = {number: signal.signal(number, receive) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
