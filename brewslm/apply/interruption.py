"""Signals during an apply: the first asks for an orderly stop, the second ends at once."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from brewslm.errors import ExitCode

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop:
    """Whether somebody asked to stop, and by which signal."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.count = 0
        self.signal_name = ""

    @property
    def is_requested(self) -> bool:
        """Whether no new action may begin."""
        return self.count > 0

    def request(self, signal_name: str) -> None:
        """Ask to stop at the next safe point."""
        self.count += 1
        self.signal_name = signal_name


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
