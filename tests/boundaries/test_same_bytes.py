"""A plan has the same bytes wherever it is made: as JSON, as text and as Markdown, by processes of
their own.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.apply.bench import Bench
from tests.conftest import copied

ROOT = Path(__file__).parents[2]
_LIBC = ctypes.CDLL(None)
_DROP_FROM_BOUND, _DAC_OVERRIDE = 24, 1
"""Takes from root, at its next exec, the right to write where permissions forbid it."""
_CALL = "import sys; sys.path[:0] = [{root!r}]; from brewslm.cli.main import main; {before}"
_TURNED = """
import os
class Turned(list):
    def __enter__(self): return self
    def __exit__(self, *_): pass
    def close(self): pass
listed, scanned = os.listdir, os.scandir
os.listdir = lambda *where: sorted(listed(*where), reverse=True)
os.scandir = lambda *where: Turned(sorted(scanned(*where), key=lambda e: e.name, reverse=True))
"""
"""Lets a process see the entries of every folder the other way round."""


@dataclass(frozen=True)
class Place:
    """Where and how a plan is made."""

    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str = "project"
    umask: int = 0o022
    before: str = ""
    """What the process does before anything is imported."""
    is_read_only: bool = False
    cores: frozenset[int] = frozenset()
    flags: tuple[str, ...] = ()
    """Of the interpreter."""


HOME = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
HERE = Place({**HOME, "LANG": "C.UTF-8", "PYTHONHASHSEED": "1"})
PLACES = {
    "empty environment": Place({}, folder="a folder/with blanks"),
    "other language": Place(
        {**HOME, "LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "LANGUAGE": "tr"}
        | {"TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "2"},
        umask=0,
    ),
    "no language": Place(
        {**HOME, "LC_ALL": "C", "TZ": "America/St_Johns", "PYTHONHASHSEED": "3"},
        folder="ä/😀",
        umask=0o077,
        before=_TURNED,
    ),
    "nowhere to write": Place(
        {"PATH": os.environ["PATH"], "HOME": "/nowhere", "USER": "nobody", "LOGNAME": "nobody"},
        is_read_only=True,
        cores=frozenset({0}),
        flags=("-I",),
    ),
}


def called(
    project: Path, place: Place, cwd: Path, *arguments: str
) -> "subprocess.CompletedProcess[bytes]":
    """Run the program as a process of a place."""

    def prepare() -> None:
        os.umask(place.umask)
        if place.cores:
            os.sched_setaffinity(0, place.cores & os.sched_getaffinity(0) or {0})
        if place.is_read_only:
            _LIBC.prctl(_DROP_FROM_BOUND, _DAC_OVERRIDE, 0, 0, 0)

    code = _CALL.format(root=str(ROOT), before="sys.exit(main())")
    if place.before:
        code = f"{place.before}\n{code}"
    return subprocess.run(
        [sys.executable, *place.flags, "-c", code, "--chdir", str(project), *arguments],
        cwd=cwd,
        env=dict(place.environment),
        capture_output=True,
        preexec_fn=prepare,
    )


def planned(project: Path, place: Place, cwd: Path) -> dict[str, bytes]:
    """Return the plan in every form, and what was said beside it."""
    into = ("--json-into", f"{cwd}/a.plan.json", "--markdown", f"{cwd}/a.md")
    made = called(project, place, cwd, "plan", "--explain", "--show-unchanged", *into)
    assert made.returncode == 0, made.stderr.decode()
    return {
        "text": made.stdout,
        "json": (cwd / "a.plan.json").read_bytes(),
        "markdown": (cwd / "a.md").read_bytes(),
        "talk": made.stderr,
    }


def set_writable(folder: Path, *, is_writable: bool) -> None:
    """Take away or give back the right to write into all folders and files below."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o200 if is_writable else mode & ~0o222)


def _never_applied(_promoted: Path, target: Path) -> None:
    Bench.make(target)


def _applied(promoted: Path, target: Path) -> None:
    copied(promoted, target)


def _edited(promoted: Path, target: Path) -> None:
    bench = copied(promoted, target)
    bench.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    bench.write_rows("rows", range(66))


@pytest.mark.case("UNT-05", "UNT-06", "TIM-06")
@pytest.mark.parametrize("made", [_never_applied, _applied, _edited])
def test_a_plan_has_the_same_bytes_everywhere(
    made: Callable[[Path, Path], None], promoted: Path, tmp_path: Path
) -> None:
    plans: dict[str, dict[str, bytes]] = {}
    for name, place in {"here": HERE, **PLACES}.items():
        project, cwd = tmp_path / name / place.folder, tmp_path / name / "desk"
        cwd.mkdir(parents=True)
        made(promoted, project)
        shutil.rmtree(project / ".brewslm" / "cache", ignore_errors=True)
        set_writable(project, is_writable=not place.is_read_only)
        plans[name] = planned(project, place, cwd)
        set_writable(project, is_writable=True)
        said = plans[name].pop("talk").decode()
        assert said == "" or place.is_read_only
        assert ("note[cache_unwritable]" in said) == place.is_read_only
    here = plans.pop("here")
    for name, plan in plans.items():
        assert plan == here, name
    for place_bytes in here.values():
        assert str(tmp_path).encode() not in place_bytes


@pytest.mark.case("PTH-08")
def test_a_copy_elsewhere_is_the_same_project(promoted: Path, tmp_path: Path) -> None:
    bench = copied(promoted, tmp_path / "elsewhere" / "desk")
    stranger = Place({**HOME, "USER": "stranger", "LOGNAME": "stranger", "HOME": str(tmp_path)})
    made = called(bench.root, stranger, tmp_path, "plan", "--detailed-exitcode", "--refresh=full")
    assert made.returncode == 0, made.stdout.decode()
    was_at = str(promoted).encode()
    paths = [path for path in bench.root.rglob("*") if path.is_file()]
    assert [path for path in paths if was_at in path.read_bytes()] == []
    assert [path for path in paths if path.is_symlink() and path.readlink().is_absolute()] == []
