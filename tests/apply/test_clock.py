"""Times are for people: an apply orders by sequence and measures by a clock that never jumps."""

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from msgspec.structs import asdict

from brewslm.apply.clock import SystemClock
from brewslm.errors import ExitCode
from brewslm.events import ActionCompleteEvent
from brewslm.fingerprint import digest_value
from tests.apply.bench import Bench


class MovedClock(SystemClock):
    """A wall clock that says something else at each look; the steady clock is real."""

    def __init__(self, days: Callable[[int], int]) -> None:
        self._days = days
        self._looks = 0

    def after(self, seconds: float) -> str:
        self._looks += 1
        moment = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(self._days(self._looks), seconds)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.case("TIM-01", "TIM-02")
@pytest.mark.parametrize(
    "days",
    [
        lambda look: (-1) ** look,
        lambda _look: 0,
        lambda _look: -20_000,
    ],
    ids=["back and forth", "stands still", "before 1972"],
)
def test_wall_clock_changes_no_outcome(bench: Bench, days: Callable[[int], int]) -> None:
    bench.clock = MovedClock(days)
    bench.deaths = {0: "worker_killed"}
    assert bench.apply().exit_code is ExitCode.ERROR
    bench.deaths = {}
    assert bench.apply().exit_code is ExitCode.DONE
    assert not bench.built().plan.has_changes
    elapsed = [event.elapsed_s for event in bench.events if isinstance(event, ActionCompleteEvent)]
    assert elapsed
    assert all(0 <= seconds < 600 for seconds in elapsed)
    with closing(bench.store().read()) as reader:
        events = reader.run_events()
        numbers = [revision.revision for revision in reader.revisions()]
    assert [event.sequence for event in events] == list(range(len(events), 0, -1))
    assert numbers == [2, 1]
    for event, before in pairwise(events):
        assert event.previous_digest == digest_value(asdict(before))
