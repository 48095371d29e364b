"""A process that is killed before or after any durable step loses nothing and breaks nothing.

`BREWSLM_SWEEP_SEED` sets the sample of points and their order; `BREWSLM_SWEEP_POINTS=all` takes
every point, which takes minutes. The numbers are printed.
"""

import os
import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import pytest

from brewslm.artifacts.documents import hex_of
from tests.apply.bench import Bench
from tests.faults.calls import Launcher
from tests.faults.grounds import APPLIES, COMMANDS, Ground, made_ground
from tests.faults.invariants import violations
from tests.faults.sweeping import swept

pytestmark = pytest.mark.slow

_SEED = int(os.environ.get("BREWSLM_SWEEP_SEED", "1"))
_STRIDE = 5
"""At one in so many points the recovery is killed too."""

_RECOVERY = 20
"""Points that every recovery has at least."""
_LEAST = 150
_MOST = 40
"""Points that are taken of a command that has more."""
_FEW = 24
"""The same where a whole apply follows each."""
_TAKES_ALL = os.environ.get("BREWSLM_SWEEP_POINTS") == "all"
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


def _trial(ground: Ground, kill: Kill, launcher: Launcher) -> Tried:
    """Kill as told in a fresh copy, then let the command go through."""
    copy = ground.project.with_name(f"{kill.point}.{kill.again}")
    shutil.copytree(ground.project, copy, symlinks=True)
    found: list[str] = []
    killed = 0
    for point in (kill.point, kill.again):
        if point is not None:
            ending = launcher.call(copy, *ground.command, trouble={"kind": "kill", "at": point})
            killed += ending.code == -signal.SIGKILL
            found += [f"killed: {item}" for item in violations(copy)]
    ending, come_to = ground.finished(copy, launcher)
    if not ending.is_clean():
        found.append(ending.said[-500:])
    found += [f"recovered: {item}" for item in violations(copy)]
    if not found:
        found += [
            f"{name}: {str(come_to[name])[:300]} instead of {str(wanted)[:300]}"
            for name, wanted in ground.wanted.items()
            if come_to[name] != wanted
        ]
    shutil.rmtree(copy)
    place = f"{kill.point} {ground.points[kill.point]}, then {kill.again}"
    return Tried([f"{place}: {item}" for item in found], killed)


@pytest.mark.case("CRA-01", "CRA-13")
@pytest.mark.parametrize("name", list(APPLIES))
def test_apply_killed_at_any_point_is_recovered_from(
    name: str,
    folder: Path,
    launchers: "SimpleQueue[Launcher]",
    tell: Callable[[str], None],
) -> None:
    once, again = _sweep(name, folder, launchers, tell, _LEAST)
    assert once + again > _LEAST


@pytest.mark.case("CRA-01", "CRA-09")
@pytest.mark.parametrize("name", list(COMMANDS))
def test_any_writer_killed_at_any_point_is_recovered_from(
    name: str,
    folder: Path,
    launchers: "SimpleQueue[Launcher]",
    tell: Callable[[str], None],
) -> None:
    once, _ = _sweep(name, folder, launchers, tell, _FEW if name == "plan" else _MOST)
    assert once >= 2


def _sweep(
    name: str,
    folder: Path,
    launchers: "SimpleQueue[Launcher]",
    tell: Callable[[str], None],
    sample: int,
) -> tuple[int, int]:
    """Return how many trials killed a process, and how many of them killed the recovery too.

    sample: the number of points that are taken where there are more.
    """
    ground = swept(partial(made_ground, folder=folder), [name], launchers)[0]
    kills = _kills(ground, sample, random.Random(_SEED))  # noqa: S311  an order, no secret
    tried = swept(partial(_trial, ground), kills, launchers)
    found = [item for trial in tried for item in trial.found]
    once = sum(trial.killed > 0 for trial in tried)
    again = sum(trial.killed > 1 for trial in tried)
    tell(
        f"kill sweep, {name}: {len(ground.points)} points, {once} kills, {again} more during a "
        f"recovery, {len(found)} violations (seed {_SEED})"
    )
    assert not found, "\n".join(found)
    assert once == len(tried)
    return once, again


def _kills(ground: Ground, sample: int, chance: random.Random) -> list[Kill]:
    """Return a kill at each point taken and, at a sample of them, one more during the recovery."""
    points = _once(ground)
    taken = len(points) if _TAKES_ALL else min(len(points), sample)
    once = chance.sample(points, taken)
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


@pytest.mark.case("CRA-03")
def test_training_that_was_kept_but_not_recorded_is_adopted(
    folder: Path, launcher: Launcher
) -> None:
    ground = made_ground("fresh", launcher, folder / "adopted")
    undisturbed = ground.project.with_name("undisturbed")
    kept = Bench(undisturbed).artifacts().all_produced("training_plan")
    (name,) = (f"{hex_of(item.fingerprint)}.json" for item in kept)
    point = max(index for index, step in enumerate(ground.points) if step.endswith(name))
    ending = launcher.call(ground.project, *ground.command, trouble={"kind": "kill", "at": point})
    assert ending.code == -signal.SIGKILL
    assert Bench(ground.project).records().get("training_plan") is None
    (ground.project / "untrainable").touch()
    ending, come_to = ground.finished(ground.project, launcher)
    assert ending.code == 0, ending.said
    assert "training_plan: finished and stored; adopted" in ending.said
    assert come_to == ground.wanted
