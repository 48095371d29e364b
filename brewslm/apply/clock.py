"""The clock of an apply, handed in so that tests can hold another."""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time for display, a steady clock for durations."""

    def now(self) -> str:
        """Return the time as RFC 3339 text in UTC, to the second."""
        ...

    def after(self, seconds: float) -> str:
        """Return the time that many seconds from now, in the same form."""
        ...

    def steady_s(self) -> float:
        """Return seconds of a clock that never jumps."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> str:
        """Return the time as RFC 3339 text in UTC, to the second."""
        return self.after(0)

    def after(self, seconds: float) -> str:
        """Return the time that many seconds from now, in the same form."""
        moment = datetime.now(UTC) + timedelta(seconds=seconds)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

    def steady_s(self) -> float:
        """Return seconds of a clock that never jumps."""
        return time.monotonic()
