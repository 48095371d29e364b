"""A reconcile that is killed, or met by a full disk, at any durable step is made up for by the next
one.
"""

import json
import shutil
import signal
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.cli.hub import Hub, reports, stand
from tests.cli.repository import git
from tests.faults.calls import Launcher
from tests.faults.invariants import violations
from tests.faults.sweeping import swept

pytestmark = pytest.mark.slow

_POINTS = 24
_LOOK = ("reconcile", "--json", "--ref", "origin/main")


def _pushed(folder: Path, launcher: Launcher) -> Hub:
    """Return a hub whose clone was applied once and has fetched a change."""
    hub = Hub.make(folder, launcher)
    assert hub.reconcile().code == 0
    hub.push(("2.0e-3", "1.0e-3"), ("[adapter, safetensors]", "[adapter]"))
    git(hub.agent.root, "fetch", "-q", "origin")
    return hub


def _counted(hub: Hub, folder: Path, kind: str) -> int:
    """Return how many points a look has at which this trouble may come."""
    copy = folder / f"undisturbed-{kind}"
    shutil.copytree(hub.agent.root, copy, symlinks=True)
    trouble = {"kind": "count", "at": 0, "log": str(folder / f"{kind}.log")}
    assert hub.launcher.call(copy, *_LOOK, trouble=trouble).code == 0
    lines = (folder / f"{kind}.log").read_text().splitlines()
    if kind == "kill":
        return len(lines)
    return sum(line.startswith("before") and "before remove" not in line for line in lines)


def _disturbed(hub: Hub, folder: Path, kind: str, point: int, launcher: Launcher) -> list[str]:
    """Disturb a look at a point, look again, and return what was wrong."""
    copy = folder / f"{kind}-{point}"
    shutil.copytree(hub.agent.root, copy, symlinks=True)
    ending = launcher.call(copy, *_LOOK, trouble={"kind": kind, "at": point})
    found = []
    if kind == "kill" and ending.code != -signal.SIGKILL:
        found.append(f"not killed: {ending.said[-300:]}")
    if kind != "kill" and not ending.is_clean():
        found.append(f"disturbed: {ending.said[-300:]}")
    found += [f"disturbed: {item}" for item in violations(copy)]
    again = launcher.call(copy, *_LOOK, "--retry")
    if not again.is_clean() or stand(reports(again)[-1]) != "Synced/Healthy":
        found.append(f"again: {again.said[-300:]}")
    if changed := git(copy, "status", "--porcelain"):
        found.append(f"tree: {changed}")
    found += [f"again: {item}" for item in violations(copy)]
    remembered = json.loads((copy / ".brewslm" / "reconcile.json").read_text())
    if (remembered["moving_to"], remembered["failures"]) != ("", []):
        found.append(f"remembers: {remembered['moving_to']} {remembered['failures']}")
    shutil.rmtree(copy)
    return [f"{kind} at {point}: {item}" for item in found]


@pytest.mark.parametrize("kind", ["kill", "ENOSPC"])
def test_next_look_makes_up_for_a_disturbed_one(
    kind: str, folder: Path, launchers: "SimpleQueue[Launcher]"
) -> None:
    launcher = launchers.get()
    hub = _pushed(folder / kind, launcher)
    points = _counted(hub, folder, kind)
    launchers.put(launcher)
    assert points > _POINTS
    taken = range(0, points, points // _POINTS)
    tried = swept(partial(_disturbed, hub, folder, kind), taken, launchers)
    assert [item for found in tried for item in found] == []
