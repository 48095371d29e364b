"""Projects that are about to be applied, and what applying them comes to undisturbed."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.apply.bench import Bench
from tests.faults.calls import Launcher
from tests.faults.invariants import final, violations


@dataclass(frozen=True)
class Ground:
    """A project that is about to be applied, and what that comes to."""

    name: str
    project: Path
    points: list[str]
    wanted: dict[str, Any]


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


GROUNDS = {"fresh": _fresh, "changed": _changed, "held back": _held}


def made_ground(name: str, folder: Path, launcher: Launcher) -> Ground:
    """Make a project of `GROUNDS` and find out what applying it takes and comes to."""
    root = folder / name.replace(" ", "-")
    bench = GROUNDS[name](root / "project", launcher)
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
