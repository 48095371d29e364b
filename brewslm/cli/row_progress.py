"""How far the rows are while a plan takes long: a line that is rewritten on a terminal, else a
line now and then.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from brewslm.cli.session import Session
from brewslm.contracts import RowProgress, untold
from brewslm.render import words

_FIRST_S = 2.0
_TERMINAL_S, _PLAIN_S = 0.2, 10.0


@contextmanager
def row_progress(session: Session) -> Iterator[RowProgress]:
    """Lend what takes reports of progress; nothing of a rewritten line is left afterwards."""
    if session.is_quiet:
        yield untold
        return
    reported = ReportedRows(session.progress, time.monotonic)
    try:
        yield reported.report
    finally:
        reported.clear()


class ReportedRows:
    """Reports of progress on a stream."""

    def __init__(self, stream: TextIO, clock_s: Callable[[], float]) -> None:
        """clock_s: seconds that only rise."""
        self._stream = stream
        self._clock_s = clock_s
        self._is_terminal = stream.isatty()
        self._next_s = clock_s() + _FIRST_S
        self._width = 0

    def report(self, what: str, done: int, total: int | None) -> None:
        """Write a line where the last one is old enough."""
        now_s = self._clock_s()
        if now_s < self._next_s:
            return
        self._next_s = now_s + (_TERMINAL_S if self._is_terminal else _PLAIN_S)
        of = "" if total is None else f" of {words.count(total)}"
        line = words.visible(f"{what}: {words.count(done)}{of} rows")
        if self._is_terminal:
            self._stream.write(f"\r{line:<{self._width}}")
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def clear(self) -> None:
        """Wipe a line that would be rewritten."""
        if self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
