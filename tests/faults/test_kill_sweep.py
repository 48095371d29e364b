"""A process that is killed before or after any durable step loses nothing and breaks nothing.

`BREWSLM_SWEEP_SEED` sets the order and the sample of second kills; the number of points is printed.
"""

import os
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from tests.apply.bench import Bench
from tests.faults.calls import Launcher
from tests.faults.invariants import final, violations

pytestmark = pytest.mark.slow

_PROCESSES = 2
_SEED = int(os.environ.get("BREWSLM_SWEEP_SEED", "1"))
_STRIDE = 5
"""At one in so many points the recovery is killed too."""

_RECOVERY = 20
"""Points that every recovery has at least."""
_LEAST = 150
_SYNCS = ("before sync", "after sync")


@dataclass(frozen=True)
class Kill:
    """Where a process is killed, and where the one that recovers is."""

    point: int
    again: int | None = None


@dataclass(frozen=True)
class Tried:
    """What was wrong after a trial, and how many processes it killed."""

    found: list[str]
    killed: int


@dataclass(frozen=True)
class Ground:
    """A project that is about to be applied, and what that comes to."""

    name: str
    project: Path
    points: list[str]
    wanted: dict[str, Any]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Return a folder in memory where the system has one: syncs cost nothing there."""
    memory = Path("/dev/shm")  # noqa: S108  only its existence is asked for
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def launchers() -> Iterator["SimpleQueue[Launcher]"]:
    """Return as many launchers as processes may work at a time."""
    idle: SimpleQueue[Launcher] = SimpleQueue()
    with Launcher() as first, Launcher() as second:
        for launcher in (first, second):
            idle.put(launcher)
        yield idle


def _fresh(root: Path, launcher: Launcher) -> Bench:  # noqa: ARG001  one shape for all grounds
    return Bench.make(root)


def _changed(root: Path, launcher: Launcher) -> Bench:
    """Return an applied project whose next candidate replaces the champion, and an export goes."""
    bench = Bench.make(root)
    assert launcher.apply(bench.root).code == 0
    bench.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    bench.edit("[adapter, safetensors]", "[adapter]")
    return bench


def _held(root: Path, launcher: Launcher) -> Bench:
    """Return an applied project whose next candidate does not pass its gate."""
    bench = Bench.make(root)
    assert launcher.apply(bench.root).code == 0
    bench.edit("threshold: 0.8", "threshold: 0.999")
    bench.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    return bench


_GROUNDS = {"fresh": _fresh, "changed": _changed, "held back": _held}


def _ground(name: str, folder: Path, launcher: Launcher) -> Ground:
    root = folder / name.replace(" ", "-")
    bench = _GROUNDS[name](root / "project", launcher)
    points, wanted = _undisturbed(bench.root, root / "undisturbed", launcher)
    return Ground(name, bench.root, points, wanted)


def _undisturbed(project: Path, copy: Path, launcher: Launcher) -> tuple[list[str], dict[str, Any]]:
    """Return the points of an apply that nothing happens to, and what it comes to."""
    shutil.copytree(project, copy, symlinks=True)
    log = copy.with_name(f"{copy.name}.log")
    ending = launcher.apply(copy, trouble={"kind": "count", "at": 0, "log": str(log)})
    assert ending.code in (0, 3), ending.said
    assert violations(copy) == []
    return log.read_text().splitlines(), {"code": ending.code, **final(copy)}


def _trial(ground: Ground, kill: Kill, launcher: Launcher) -> Tried:
    """Kill as told in a fresh copy, then apply to the end."""
    copy = ground.project.with_name(f"{kill.point}.{kill.again}")
    shutil.copytree(ground.project, copy, symlinks=True)
    found: list[str] = []
    killed = 0
    for point in (kill.point, kill.again):
        if point is not None:
            ending = launcher.apply(copy, trouble={"kind": "kill", "at": point})
            killed += ending.code == -signal.SIGKILL
            found += [f"killed: {item}" for item in violations(copy)]
    ending = launcher.apply(copy)
    if not ending.is_clean():
        found.append(ending.said[-500:])
    found += [f"recovered: {item}" for item in violations(copy)]
    if not found:
        come_to = {"code": ending.code, **final(copy)}
        found += [
            f"{name}: {str(come_to[name])[:300]} instead of {str(wanted)[:300]}"
            for name, wanted in ground.wanted.items()
            if come_to[name] != wanted
        ]
    shutil.rmtree(copy)
    place = f"{kill.point} {ground.points[kill.point]}, then {kill.again}"
    return Tried([f"{place}: {item}" for item in found], killed)


def _sweep(
    ground: Ground, kills: Sequence[Kill], launchers: "SimpleQueue[Launcher]"
) -> list[Tried]:
    """Try all kills, as many at a time as there are launchers."""

    def trial(kill: Kill) -> Tried:
        launcher = launchers.get()
        try:
            return _trial(ground, kill, launcher)
        finally:
            launchers.put(launcher)

    with ThreadPoolExecutor(_PROCESSES) as pool:
        return list(pool.map(trial, kills))


@pytest.mark.parametrize("name", list(_GROUNDS))
def test_kill_at_any_point_is_recovered_from(
    name: str,
    folder: Path,
    launchers: "SimpleQueue[Launcher]",
    capsys: pytest.CaptureFixture[str],
) -> None:
    launcher = launchers.get()
    ground = _ground(name, folder, launcher)
    launchers.put(launcher)
    kills = _kills(ground, random.Random(_SEED))  # noqa: S311  an order, no secret
    tried = _sweep(ground, kills, launchers)
    found = [item for trial in tried for item in trial.found]
    once = sum(trial.killed > 0 for trial in tried)
    again = sum(trial.killed > 1 for trial in tried)
    with capsys.disabled():
        print(  # noqa: T201  the count is the result
            f"\n{name}: {len(ground.points)} points, {once} kills, {again} more during a recovery, "
            f"{len(found)} violations (seed {_SEED})"
        )
    assert found == []
    assert once == len(tried)
    assert once + again > _LEAST


def _kills(ground: Ground, chance: random.Random) -> list[Kill]:
    """Return a kill at every point and, at a sample of them, one more during the recovery."""
    once = _once(ground)
    again = [
        Kill(point, chance.randrange(max(_RECOVERY, len(ground.points) - point)))
        for point in chance.sample(once, len(once) // _STRIDE)
    ]
    kills = [Kill(point) for point in once] + again
    chance.shuffle(kills)
    return kills


def _once(ground: Ground) -> list[int]:
    """Return the points between which a kill can tell a difference: a sync shows none."""
    return [index for index, point in enumerate(ground.points) if not point.startswith(_SYNCS)]
