"""What an apply has used of the limits in `budget_settings`, and when it has to end for that."""

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from brewslm.apply.clock import Clock
from brewslm.stages.workflow import BudgetSettings


class Passed(Struct, frozen=True):
    """A share of a limit that has been used."""

    name: str
    """The field of the limit."""
    limit: float
    share: float
    """1 for the limit itself, else the field `threshold`."""

    @property
    def is_limit(self) -> bool:
        """Whether nothing is left."""
        return self.share >= 1


class Spending:
    """Counts wall time and accelerator time of one apply, from its creation on."""

    def __init__(self, settings: BudgetSettings, clock: Clock, *, has_accelerator: bool) -> None:
        """has_accelerator: whether work that loads a base model counts as accelerator time."""
        self.is_cancelling = settings.auto_cancel
        """Whether the apply stops at a limit."""
        self._settings = settings
        self._clock = clock
        self._has_accelerator = has_accelerator
        self._started_s = clock.steady_s()
        self._loading_since_s: float | None = None
        self._loaded_s = 0.0
        self._told: set[tuple[str, float]] = set()

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Count the time inside as accelerator time."""
        self._loading_since_s = self._clock.steady_s()
        try:
            yield
        finally:
            self._loaded_s = self._accelerator_s()
            self._loading_since_s = None

    def is_over(self) -> bool:
        """Return whether the apply has to stop at the next safe point."""
        return self.is_cancelling and any(used >= limit for _, limit, used in self._used())

    def passed(self) -> list[Passed]:
        """Return what was passed since the last call; the threshold is left out at the limit."""
        found = []
        for name, limit, used in self._used():
            shares = (share for share in (1.0, self._settings.threshold) if used >= share * limit)
            share = next(shares, None)
            if share is not None and (name, share) not in self._told:
                self._told.add((name, share))
                found.append(Passed(name, limit, share))
        return found

    def _used(self) -> Iterator[tuple[str, float, float]]:
        """Yield each limit with its field and with what is used of it, in the unit of the field."""
        if self._settings.max_minutes is not None:
            used_s = self._clock.steady_s() - self._started_s
            yield "max_minutes", self._settings.max_minutes, used_s / 60
        if self._settings.max_gpu_hours is not None and self._has_accelerator:
            yield "max_gpu_hours", self._settings.max_gpu_hours, self._accelerator_s() / 3600

    def _accelerator_s(self) -> float:
        if self._loading_since_s is None:
            return self._loaded_s
        return self._loaded_s + self._clock.steady_s() - self._loading_since_s
