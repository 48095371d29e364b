"""The loop itself, without clocks that pass or processes."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.apply.clock import SystemClock
from brewslm.cli.reconciling import Look
from brewslm.cli.watching import FIRST_BACKOFF_S, LoopStop, Schedule, look_once, watch
from brewslm.errors import ExitCode
from brewslm.sync import SyncReport, Target

_REPORT = SyncReport(at="2026-03-01T10:00:00Z", target=Target(ref="main"))


class Waits(LoopStop):
    """A stop whose waits are written down and over at once; the last one is ended by a signal."""

    def __init__(self, most: int, signal_name: str = "SIGTERM") -> None:
        super().__init__()
        self.waited_s: list[float] = []
        self._most = most
        self._signal_name = signal_name

    def pause(self, seconds: float) -> None:
        self.waited_s.append(seconds)
        if len(self.waited_s) == self._most:
            self.request(self._signal_name)


@dataclass
class Scripted:
    """A reconciler whose looks are passing trouble or not, in this order."""

    passing: Sequence[bool]
    looks: int = 0
    next_looks: list[str | None] = field(default_factory=list)
    exit_code: ExitCode = ExitCode.DONE

    def look(self, schedule: Callable[[bool], str | None]) -> Look:
        is_passing = self.passing[self.looks]
        self.looks += 1
        self.next_looks.append(schedule(is_passing))
        return Look(_REPORT, self.exit_code, is_passing)


def _chance(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311  the length of a wait is no secret


def _waits(passing: Sequence[bool], seed: int = 7) -> list[float]:
    stop = Waits(len(passing))
    reconciler = Scripted(passing)
    ended = watch(reconciler, Schedule(), stop, SystemClock(), _chance(seed))
    assert (ended, reconciler.looks) == (ExitCode.DONE, len(passing))
    assert None not in reconciler.next_looks
    return stop.waited_s


def test_loop_without_trouble_waits_the_interval() -> None:
    assert _waits([False] * 5) == [60.0] * 5


@given(passing=st.lists(st.booleans(), min_size=1, max_size=30), seed=st.integers(0, 2**32))
def test_wait_is_bound_by_the_troubles_in_a_row(passing: list[bool], seed: int) -> None:
    troubles = 0
    for is_passing, waited_s in zip(passing, _waits(passing, seed), strict=True):
        troubles = troubles + 1 if is_passing else 0
        if troubles == 0:
            assert waited_s == 60.0
        else:
            assert 0.0 <= waited_s <= min(FIRST_BACKOFF_S * 2 ** (troubles - 1), 1800.0)


def test_back_off_is_jittered_over_its_whole_range_and_the_same_for_a_seed() -> None:
    chance = _chance(3)
    waits = [Schedule().wait_s(4, chance) for _ in range(400)]
    assert min(waits) < FIRST_BACKOFF_S
    assert max(waits) > 7 * FIRST_BACKOFF_S
    assert _waits([True] * 9, seed=5) == _waits([True] * 9, seed=5)
    assert _waits([True] * 9, seed=5) != _waits([True] * 9, seed=6)


def test_endless_trouble_never_waits_longer_than_the_cap() -> None:
    chance = _chance(3)
    assert max(Schedule(60.0, 90.0).wait_s(10**6, chance) for _ in range(99)) <= 90.0


@pytest.mark.parametrize(
    ("signal_name", "looked", "ended"),
    [
        ("SIGTERM", ExitCode.DONE, ExitCode.DONE),
        ("SIGTERM", ExitCode.GATE_NOT_PASSED, ExitCode.DONE),
        ("SIGTERM", ExitCode.INTERRUPTED, ExitCode.INTERRUPTED),
        ("SIGINT", ExitCode.DONE, ExitCode.INTERRUPTED),
    ],
)
def test_what_a_signal_ends_with(signal_name: str, looked: ExitCode, ended: ExitCode) -> None:
    stop = LoopStop()
    stop.request(signal_name)
    reconciler = Scripted([False], exit_code=looked)
    assert watch(reconciler, Schedule(), stop, SystemClock(), _chance(1)) == ended
    assert (reconciler.looks, reconciler.next_looks) == (1, [None])


def test_one_look_ends_with_its_own_code() -> None:
    reconciler = Scripted([True], exit_code=ExitCode.STATE_LOCKED)
    assert look_once(reconciler, LoopStop()) is ExitCode.STATE_LOCKED
    assert reconciler.next_looks == [None]
