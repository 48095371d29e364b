"""Applies that share a state on a server: a holder that is stopped, taken over and woken writes
nothing more, and of many at once one at a time does the work.
"""

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.apply.bench import Bench
from tests.faults.calls import Launcher
from tests.faults.crowds import every_update_recorded, work_done_once
from tests.faults.grounds import APPLY
from tests.faults.sweeping import swept
from tests.faults.takeovers import LIFETIME_S, Takeover, Went

_STOPS = 8
_SERVER_PATIENCE_S = 11.0
"""How long a PostgreSQL server waits for a stopped process that holds a row, and a little more."""
_AT_ONCE = 20
_UPDATES = 4
_COMMIT = "after commit: state"
_LINK = "link: champion"


@dataclass
class Place:
    """Where the states of several projects are."""

    name: str
    url: str
    """Of no state; those of the projects are below it."""
    is_cloned: bool = False
    """Whether the second apply works in a clone of its own, and the artifacts are shared too."""
    environment: dict[str, str] = field(
        default_factory=lambda: {
            name: value for name, value in os.environ.items() if name.startswith("AWS_")
        }
    )

    def project(self, folder: Path, name: str) -> Bench:
        """Make a project that was never applied, with a state of its own."""
        bench = Bench.make(folder / self.name / name / "project")
        url = f"{self.url}_{name}"
        stores = {"state": url} | ({"artifacts": f"{url}_artifacts"} if self.is_cloned else {})
        written = ", ".join(f"{store}: '{value}'" for store, value in stores.items())
        bench.edit("deployment:", f"workflow: {{backend: {{{written}}}}}\n  deployment:")
        return bench


_POSTGRESQL = pytest.param(
    ("postgresql", "postgresql_url"), marks=pytest.mark.postgres, id="postgresql"
)
_OBJECTS = pytest.param(("objects", "bucket_url"), id="objects")
_CLONES = pytest.param(("objects, two clones", "bucket_url"), id="two clones")


@pytest.fixture(params=[_POSTGRESQL, _OBJECTS])
def place(request: pytest.FixtureRequest) -> Place:
    name, fixture = request.param
    return Place(name, request.getfixturevalue(fixture), is_cloned="clones" in name)


def _points(bench: Bench, place: Place, launcher: Launcher) -> list[str]:
    """Return what an apply announces, in order."""
    log = bench.root.with_name("points")
    trouble = {"kind": "count", "at": 0, "log": str(log)}
    ending = launcher.call(bench.root, *APPLY, trouble=trouble, environment=place.environment)
    assert ending.code == 0, ending.said
    return log.read_text().splitlines()


def _taken_over(
    place: Place, bench: Bench, point: int, launcher: Launcher, stopped_s: float = LIFETIME_S
) -> Went:
    second = bench.root
    if place.is_cloned:
        second = bench.root.with_name("clone")
        shutil.copytree(bench.root, second)
    trouble = {"kind": "stop", "at": point}
    return Takeover(bench.root, second, trouble, place.environment, stopped_s).tried(launcher)


@pytest.mark.slow
@pytest.mark.case("CON-02", "CON-09")
@pytest.mark.parametrize("place", [_POSTGRESQL, _OBJECTS, _CLONES], indirect=True)
def test_holder_that_is_stopped_and_woken_after_a_takeover_writes_nothing(
    place: Place,
    folder: Path,
    launchers: "SimpleQueue[Launcher]",
    tell: Callable[[str], None],
) -> None:
    launcher = launchers.get()
    points = _points(place.project(folder, "undisturbed"), place, launcher)
    launchers.put(launcher)
    commits = [index for index, name in enumerate(points) if name == _COMMIT]
    under_lease = range(commits[0], commits[-3])
    links = [index for index in under_lease if _LINK in points[index]]
    chosen = [*under_lease[:: len(under_lease) // _STOPS], *links]

    def trial(point: int, launcher: Launcher) -> Went:
        return _taken_over(place, place.project(folder, f"stop{point}"), point, launcher)

    begun_s = time.monotonic()
    went = swept(trial, chosen, launchers)
    wrong = [
        f"{point} {points[point]}: {item}"
        for point, one in zip(chosen, went, strict=True)
        for item in one.wrong
    ]
    counts = dict(Counter(one.kind for one in went))
    tell(
        f"stopped holders, state in {place.name}: {counts}, {len(wrong)} violations, "
        f"{time.monotonic() - begun_s:.0f} s"
    )
    assert not wrong, "\n".join(wrong)
    assert counts["taken over"] >= _STOPS / 2


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.case("CON-02")
def test_holder_whose_transaction_the_server_ended_is_told_of_the_takeover(
    postgresql_url: str, folder: Path, launchers: "SimpleQueue[Launcher]"
) -> None:
    place = Place("patient", postgresql_url)
    launcher = launchers.get()
    points = _points(place.project(folder, "undisturbed"), place, launcher)
    launchers.put(launcher)
    link = next(index for index, name in enumerate(points) if _LINK in name)
    end = max(index for index in range(link) if points[index] == "before commit: state")

    def trial(point: int, launcher: Launcher) -> Went:
        bench = place.project(folder, f"long{point}")
        return _taken_over(place, bench, point, launcher, _SERVER_PATIENCE_S)

    for point, went in zip((link, end), swept(trial, (link, end), launchers), strict=True):
        assert (went.kind, went.wrong) == ("taken over", []), points[point]
        assert "[lease_lost]" in went.woken.err
        rescued = folder / place.name / f"long{point}" / "project" / ".brewslm"
        assert list(rescued.glob("errored-*")) == []


@pytest.mark.slow
@pytest.mark.case("CON-04")
def test_applies_at_once_do_the_work_once(
    place: Place, folder: Path, launcher: Launcher, tell: Callable[[str], None]
) -> None:
    bench = place.project(folder, "crowd")
    codes = work_done_once(bench, launcher, _AT_ONCE, place.environment)
    tell(f"{_AT_ONCE} applies at once, state in {place.name}: exit codes {dict(codes)}")


@pytest.mark.slow
@pytest.mark.case("CON-01")
def test_no_update_of_concurrent_applies_is_lost(
    place: Place, folder: Path, launchers: "SimpleQueue[Launcher]"
) -> None:
    bench = place.project(folder, "updates")
    every_update_recorded(bench, launchers, _UPDATES, place.environment)
