"""A disk that fills up, breaks or turns read-only at any write ends a run in words; when it is
repaired, the next run finishes the work.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.apply.bench import Bench
from tests.cli.repository import begin
from tests.faults.calls import Launcher
from tests.faults.grounds import Ground, made_ground
from tests.faults.invariants import final, violations
from tests.faults.sweeping import swept

pytestmark = pytest.mark.slow

_CODES = {
    "ENOSPC": {"disk_full"},
    "EIO": {"store_suspect", "state_write_failed"},
    "EROFS": {"permission_denied"},
}
_ANYWHERE = {"state_write_failed", "cache_unwritable"}
"""Of a record that found another place, and of a cache, which nothing depends on."""
_STRIDE = {"ENOSPC": 13, "EIO": 25, "EROFS": 25}
"""Of an apply one in so many writes fails, beside every commit."""
_MOST = 10
"""Writes that are taken of a shorter command."""


@dataclass(frozen=True)
class Failure:
    """At which write a disk fails, and whether the next ones work again."""

    error: str
    at: int
    is_once: bool


def _trial(ground: Ground, failure: Failure, launcher: Launcher) -> list[str]:
    """Let the disk fail in a fresh copy, repair it, apply to the end, return what was wrong."""
    copy = ground.project.with_name(f"{failure.error}.{failure.at}.{failure.is_once}")
    shutil.copytree(ground.project, copy, symlinks=True)
    trouble = {"kind": failure.error, "at": failure.at, "is_once": failure.is_once}
    ending = launcher.call(copy, *ground.command, trouble=trouble)
    found = [] if ending.is_clean() else [f"traceback: {ending.said[-500:]}"]
    told = set(re.findall(r"\[([a-z_]+)\]", ending.said))
    if not told & (_CODES[failure.error] | _ANYWHERE):
        found.append(f"exit {ending.code} without a code: {ending.said[-500:]}")
    found += [f"failed: {item}" for item in violations(copy)]
    for record in copy.glob(".brewslm/errored-*.json"):
        refused = launcher.call(copy, *ground.command)
        if (refused.code, "errored_state_present" in refused.err) != (6, True):
            found.append(f"let in while a record waits: {refused.said[-300:]}")
        pushed = launcher.call(copy, "state", "push", str(record))
        if pushed.code != 0:
            found.append(f"not pushed: {pushed.said[-300:]}")
    ending, come_to = ground.finished(copy, launcher)
    if come_to["code"] != ground.wanted["code"] or not ending.is_clean():
        found.append(f"not repaired: {ending.said[-500:]}")
    found += [f"repaired: {item}" for item in violations(copy)]
    if not found:
        found += [name for name, wanted in ground.wanted.items() if come_to[name] != wanted]
    shutil.rmtree(copy)
    return [f"{failure}: {item}" for item in found]


@pytest.mark.case("DSK-01", "DSK-04", "CRA-11")
@pytest.mark.parametrize("name", ["fresh", "rollback", "gc", "state push"])
@pytest.mark.parametrize("error", list(_CODES))
def test_failing_disk_ends_in_a_code_and_a_repaired_one_in_the_work_done(
    error: str,
    name: str,
    folder: Path,
    launchers: "SimpleQueue[Launcher]",
    tell: Callable[[str], None],
) -> None:
    ground = swept(partial(made_ground, folder=folder / error), [name], launchers)[0]
    writes = _writes(ground.points)
    stride = _STRIDE[error] if name == "fresh" else 1 + len(writes) // _MOST
    failures = [
        Failure(error, at, is_once)
        for is_once in (False, True)
        for at in range(int(is_once and name == "fresh"), len(writes), stride)
    ]
    commits = [
        Failure(error, at, is_once=True)
        for at, point in enumerate(writes)
        if point.startswith("before commit")
    ]
    failures = list(dict.fromkeys([*failures, *commits]))
    found = [
        item for items in swept(partial(_trial, ground), failures, launchers) for item in items
    ]
    tell(
        f"failing disk, {name}, {error}: {len(writes)} writes, {len(failures)} failures, "
        f"{len(found)} violations"
    )
    assert not found, "\n".join(found)


def _writes(points: list[str]) -> list[str]:
    """Return the points before a step that can fail, in order."""
    return [
        point
        for point in points
        if point.startswith("before") and not point.startswith("before remove")
    ]


@contextmanager
def _read_only(place: Path) -> Iterator[None]:
    """Take the right to write from a file, or from a folder and all below it."""
    folders = [path for path in (place, *place.rglob("*")) if path.is_dir()] or [place]
    before = [(path, path.stat().st_mode) for path in folders]
    for path, mode in before:
        path.chmod(mode & ~0o222)
    try:
        yield
    finally:
        for path, mode in before:
            path.chmod(mode)


@pytest.mark.case("DSK-02")
@pytest.mark.parametrize("place", ["", "store", "runs", "exports", "models", "state.db"])
def test_read_only_place_is_named_and_an_apply_finishes_when_it_is_writable(
    place: str,
    folder: Path,
    launchers: "SimpleQueue[Launcher]",
) -> None:
    launcher = launchers.get()
    launchers.put(launcher)
    bench = Bench.make(folder / f"read-only-{place}" / "project")
    assert launcher.apply(bench.root, is_bound=True).code == 0
    before = final(bench.root)
    bench.edit("2.0e-3", "1.0e-3")
    with _read_only(bench.home / place):
        ending = launcher.apply(bench.root, is_bound=True)
    assert ending.code == 1
    assert "[permission_denied]" in ending.said
    assert "do:" in ending.said
    assert ending.is_clean()
    assert violations(bench.root) == []
    assert final(bench.root)["link"] == before["link"]
    ending = launcher.apply(bench.root, is_bound=True)
    assert ending.code == 0, ending.said
    assert violations(bench.root) == []
    assert final(bench.root)["link"] != before["link"]


@pytest.mark.case("DSK-05")
def test_plan_is_made_where_nothing_can_be_written(
    folder: Path, launchers: "SimpleQueue[Launcher]"
) -> None:
    launcher = launchers.get()
    launchers.put(launcher)
    bench = Bench.make(folder / "nothing-writable" / "project")
    begin(bench.root)
    writable = launcher.call(bench.root, "plan")
    shutil.rmtree(bench.home)
    with _read_only(bench.root):
        ending = launcher.call(bench.root, "plan", is_bound=True)
    assert (ending.code, ending.out) == (0, writable.out)
    assert "note[cache_unwritable]" in ending.err
    assert not bench.home.exists()


@pytest.mark.case("PTH-11")
@pytest.mark.parametrize("command", ["validate", "plan", "apply --auto-approve", "fmt"])
def test_manifest_that_may_not_be_read_is_named_and_nothing_is_made(
    command: str, tmp_path: Path, launcher: Launcher
) -> None:
    bench = Bench.make(tmp_path / "project")
    manifest = bench.root / "brewslm.yaml"
    before = sorted(bench.root.rglob("*"))
    manifest.chmod(0)
    ending = launcher.call(bench.root, *command.split(), is_bound=True)
    assert ending.code == 1
    assert "error[unreadable]" in ending.err
    assert "brewslm.yaml" in ending.err
    assert "do:" in ending.err
    assert ending.is_clean()
    assert sorted(bench.root.rglob("*")) == before
