"""`events --since` cuts history at one moment, whatever zone it is written in."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import count

import pytest

from brewslm.apply.clock import SystemClock
from tests.apply.bench import Bench
from tests.cli.conftest import Run

_BEGIN = datetime(2026, 3, 28, 20, 25, tzinfo=UTC)
"""Before the hour that central Europe leaves out; each look is nine minutes later."""


class LongNight(SystemClock):
    """A clock that sees a whole night during one apply."""

    def __init__(self) -> None:
        self._looks = count()

    def after(self, seconds: float) -> str:
        moment = _BEGIN + timedelta(minutes=9 * next(self._looks), seconds=seconds)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the process live where the clock is put forward that night."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.case("TIM-06")
@pytest.mark.usefixtures("in_berlin")
def test_no_event_is_lost_or_told_twice_across_a_change_of_time(bench: Bench, run: Run) -> None:
    bench.clock = LongNight()
    bench.apply()
    bench.edit("2.0e-3", "1.0e-3")
    bench.apply()
    told = [json.loads(line) for line in run("events", "--json").out.splitlines()]
    times = [event["at"] for event in told]
    assert times[-1] < "2026-03-29T01:00:00Z" < times[0]
    for number, text in enumerate(times):
        moment = datetime.fromisoformat(text)
        later = told[: number + 1]
        for hours in (0, 1, 2, -3):
            since = moment.astimezone(_zone(hours)).isoformat()
            found = run("events", "--json", "--since", since).out.splitlines()
            assert [json.loads(line) for line in found] == later
        naive = run("events", "--json", "--since", text.removesuffix("Z")).out.splitlines()
        assert len(naive) == len(later)


def _zone(hours: int) -> timezone:
    return timezone(timedelta(hours=hours))
