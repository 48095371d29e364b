"""Projects that are about to be worked on by a command, and what that comes to undisturbed."""

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brewslm.artifacts.local import LocalStore
from brewslm.plan.base_model import BUILTIN
from tests.apply.bench import Bench
from tests.faults.calls import Ending, Launcher
from tests.faults.invariants import final, violations

APPLY = ("apply", "--auto-approve")
_OLD_S = 30 * 86_400.0
"""Older than what gc leaves alone because of its age."""


@dataclass(frozen=True)
class Ground:
    """A project, the command that meets trouble in it, and what both come to."""

    name: str
    project: Path
    points: list[str]
    wanted: dict[str, Any]
    command: Sequence[str] = APPLY
    later: Sequence[str] = ()
    """What is done afterwards, when the command went through."""

    def finished(self, project: Path, launcher: Launcher) -> tuple[Ending, dict[str, Any]]:
        """Let the command go through, and what comes later; return its end and what it came to."""
        ending = launcher.call(project, *self.command)
        return ending, come_to(project, launcher, self.command, self.later, ending)


@dataclass(frozen=True)
class Setting:
    """How a ground is made: the project, the command, and what is done afterwards; `{beside}` is
    the folder that the project lies in.
    """

    prepare: Callable[[Bench, Launcher], None]
    command: Sequence[str] = APPLY
    later: Sequence[str] = ()


def _nothing(bench: Bench, launcher: Launcher) -> None:
    """Leave the project as it is: never applied."""


def _applied(bench: Bench, launcher: Launcher) -> None:
    ending = launcher.apply(bench.root)
    assert ending.code == 0, ending.said


def _changed(bench: Bench, launcher: Launcher) -> None:
    """Have an applied project whose next candidate replaces the champion, and an export goes."""
    _applied(bench, launcher)
    bench.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    bench.edit("[adapter, safetensors]", "[adapter]")


def _held(bench: Bench, launcher: Launcher) -> None:
    """Have an applied project whose next candidate does not pass its gate."""
    _applied(bench, launcher)
    bench.edit("threshold: 0.8", "threshold: 0.999")
    bench.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")


def _twice(bench: Bench, launcher: Launcher) -> None:
    """Have a project that promoted two candidates, the first of them not laid out any more."""
    _applied(bench, launcher)
    first = bench.promoted()
    assert first is not None
    bench.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    _applied(bench, launcher)
    shutil.rmtree(bench.home / "models" / first)


def _rolled_back(bench: Bench, launcher: Launcher) -> None:
    _twice(bench, launcher)
    assert launcher.call(bench.root, "rollback", "1", "--auto-approve").code == 0


def _littered(bench: Bench, launcher: Launcher) -> None:
    """Have a project of three candidates, of which gc keeps two, all of it old."""
    _applied(bench, launcher)
    for rate in ("1.0e-3", "5.0e-4"):
        before = "2.0e-3" if rate == "1.0e-3" else "1.0e-3"
        bench.edit(f"learning_rate: {before}", f"learning_rate: {rate}")
        _applied(bench, launcher)
    then_s = time.time() - _OLD_S
    for path in (bench.home / "models").iterdir():
        os.utime(path, (then_s, then_s))


def _renamed(bench: Bench, launcher: Launcher) -> None:
    _applied(bench, launcher)
    bench.edit("name: rows,", "name: parcels,")


def _drifted(bench: Bench, launcher: Launcher) -> None:
    """Have a project with an edited export, a pointer that is gone and one export missing."""
    _applied(bench, launcher)
    (bench.home / "exports" / "adapter" / "notes.txt").write_text("mine")
    (bench.home / "promoted" / "champion").unlink()
    shutil.rmtree(bench.home / "exports" / "safetensors")


def _pulled(bench: Bench, launcher: Launcher) -> None:
    """Have a project and, beside it, a newer state of its own."""
    _changed(bench, launcher)
    older = bench.root.with_name("older")
    shutil.copytree(bench.root, older, symlinks=True)
    _applied(bench, launcher)
    newer = bench.root.with_name("newer.json")
    assert launcher.call(bench.root, "state", "pull", "--out", str(newer)).code == 0
    shutil.copyfile(older / ".brewslm" / "state.db", bench.home / "state.db")
    link = bench.home / "promoted" / "champion"
    link.unlink()
    link.symlink_to((older / ".brewslm" / "promoted" / "champion").readlink())
    shutil.rmtree(older)


def _touched(bench: Bench, launcher: Launcher) -> None:
    """Have a project whose base model has other files than the recorded ones."""
    base = bench.root / "base"
    shutil.copytree(BUILTIN / "nano", base)
    bench.edit("base_model: builtin:nano", "base_model: ./base")
    _applied(bench, launcher)
    settings = base / "generation_config.json"
    found = json.loads(settings.read_text()) if settings.exists() else {}
    settings.write_text(json.dumps(found | {"top_k": 17}))


APPLIES = {
    "fresh": Setting(_nothing),
    "changed": Setting(_changed),
    "held back": Setting(_held),
}
_MOVED = ("state", "mv", "data_source.rows", "data_source.parcels")
COMMANDS = {
    "plan": Setting(_nothing, ("plan",), APPLY),
    "rollback": Setting(_twice, ("rollback", "1", "--auto-approve"), APPLY),
    "release": Setting(_rolled_back, ("rollback", "--release"), APPLY),
    "gc": Setting(_littered, ("gc", "--delete", "--grace", "0s", "--keep-revisions", "1")),
    "state rm": Setting(_applied, ("state", "rm", "deployment"), APPLY),
    "state mv": Setting(_renamed, _MOVED, APPLY),
    "state push": Setting(_pulled, ("state", "push", "{beside}/newer.json"), APPLY),
    "renamed source": Setting(_renamed),
    "refresh only": Setting(_touched, ("apply", "--refresh-only", "--auto-approve")),
    "drift": Setting(_drifted),
    "destroy": Setting(_applied, ("destroy", "--auto-approve"), ("gc", "--delete")),
}
GROUNDS = APPLIES | COMMANDS


def made_ground(name: str, launcher: Launcher, folder: Path) -> Ground:
    """Make a project of `GROUNDS` and find out what working on it takes and comes to."""
    setting = GROUNDS[name]
    root = folder / name.replace(" ", "-")
    bench = Bench.make(root / "project")
    setting.prepare(bench, launcher)
    command = [word.format(beside=root) for word in setting.command]
    copy = root / "undisturbed"
    shutil.copytree(bench.root, copy, symlinks=True)
    log = copy.with_name(f"{copy.name}.log")
    trouble = {"kind": "count", "at": 0, "log": str(log)}
    ending = launcher.call(copy, *command, trouble=trouble)
    assert ending.code in (0, 3), ending.said
    assert violations(copy) == []
    wanted = come_to(copy, launcher, command, setting.later, ending)
    points = log.read_text().splitlines()
    return Ground(name, bench.root, points, wanted, command, setting.later)


def come_to(
    project: Path,
    launcher: Launcher,
    command: Sequence[str],
    later: Sequence[str],
    ending: Ending,
) -> dict[str, Any]:
    """Return exit code and end of a project, after what comes later was done."""
    if later:
        ending = launcher.call(project, *later)
    objects = [item.digest for item in LocalStore(Bench(project).home / "store").stored()]
    is_gc = command[0] == "gc"
    return {"code": ending.code, **final(project), "objects": objects if is_gc else None}
