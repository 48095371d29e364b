"""A remembered plan is the one that would be computed, whatever was edited since."""

import json
import os
import shutil
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brewslm.cli.plan import command
from brewslm.cli.session import Session
from tests.apply.bench import Bench
from tests.cli.repository import begin, commit

_LATER_NS = 10_000_000_000
_MARK = "remembered\n"


def _plan(root: Path, *flags: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    """Plan some seconds later, when the project's files have settled."""
    session = Session(
        root=root,
        environment={"PATH": os.environ["PATH"], **(environment or {})},
        now_ns=lambda: time.time_ns() + _LATER_NS,
        out=(out := StringIO()),
        err=StringIO(),
    )
    code = command.main(list(flags), obj=session, standalone_mode=False)
    return code, out.getvalue()


def _kept(root: Path) -> list[Path]:
    return sorted((root / ".brewslm" / "cache").glob("plan-*.json"))


def _mark(root: Path) -> None:
    """Give every kept answer another text, by which it is known."""
    for path in _kept(root):
        document = json.loads(path.read_bytes())
        document["answer"]["text"] = _MARK
        path.write_text(json.dumps(document))


def _computed(root: Path, *flags: str) -> tuple[int, str]:
    for path in _kept(root):
        path.unlink()
    return _plan(root, *flags)


@pytest.mark.parametrize("flags", [(), ("--json",), ("--explain",), ("--detailed-exitcode",)])
def test_unchanged_project_is_answered_from_memory(applied: Bench, flags: tuple[str, ...]) -> None:
    first = _plan(applied.root, *flags)
    assert _plan(applied.root, *flags) == first
    _mark(applied.root)
    assert _plan(applied.root, *flags) == (first[0], _MARK)


def test_other_flags_are_another_question(applied: Bench) -> None:
    _plan(applied.root)
    _mark(applied.root)
    for flags in (("--json",), ("--refresh", "full"), ("--refresh", "none"), ("--explain",)):
        assert _plan(applied.root, *flags)[1] != _MARK, flags
    assert _plan(applied.root)[1] == _MARK


def test_young_files_are_not_trusted(applied: Bench, run: Callable[..., object]) -> None:
    (applied.root / "brewslm.yaml").touch()
    run("plan")
    assert not _kept(applied.root)


@pytest.mark.parametrize("flags", [("--refresh", "full"), ("--out", "a.plan.json")])
def test_a_closer_look_is_never_remembered(applied: Bench, flags: tuple[str, ...]) -> None:
    _plan(applied.root, *flags)
    assert not _kept(applied.root)


def test_pending_plan_is_computed_each_time(applied: Bench) -> None:
    applied.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    assert "will be updated" in _plan(applied.root)[1]
    assert not _kept(applied.root)


def test_variable_that_was_looked_up_counts(applied: Bench) -> None:
    _plan(applied.root)
    _mark(applied.root)
    assert _plan(applied.root, environment={"EDITOR": "vi"})[1] == _MARK
    named = {"BREWSLM_RESCUE_DIR": str(applied.root / "rescued")}
    assert _plan(applied.root, environment=named)[1] != _MARK


def test_commit_counts(applied: Bench) -> None:
    begin(applied.root)
    _plan(applied.root)
    _mark(applied.root)
    assert _plan(applied.root)[1] == _MARK
    (applied.root / "notes.txt").write_text("a")
    commit(applied.root)
    assert _plan(applied.root)[1] != _MARK


def _grow(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"\n")


def _alter(path: Path) -> None:
    """Change bytes and put size and time of change back."""
    found = path.stat()
    data = bytearray(path.read_bytes() or b"-")
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def _remove(path: Path) -> None:
    path.unlink()


def _rename(path: Path) -> None:
    path.rename(path.with_name("renamed"))


def _add(path: Path) -> None:
    path.with_name("added.txt").write_text("added")


def _link(path: Path) -> None:
    target = path.with_name(".target")
    path.rename(target)
    path.symlink_to(target.name)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


_EDITS = (_grow, _alter, _remove, _rename, _add, _link, _empty)


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_remembered_plan_equals_a_computed_one_after_every_edit(
    applied: Bench, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("edited") / "project"
    shutil.copytree(applied.root, root, symlinks=True)
    _plan(root)
    assert _kept(root)
    files = sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if (path.is_file() or path.is_symlink())
        and not path.is_relative_to(root / ".brewslm/cache")
    )
    name = data.draw(st.sampled_from([item for item in files if "state.db" not in item]))
    edit = data.draw(st.sampled_from(_EDITS))
    path = root / name
    if path.is_symlink() and edit not in (_remove, _rename, _add):
        edit = _remove
    edit(path)
    answers = [_outcome(_plan, root), _outcome(_computed, root)]
    assert answers[0] == answers[1], f"{edit.__name__} {name}"


def _outcome(call: Callable[[Path], tuple[int, str]], root: Path) -> tuple[int, str] | str:
    try:
        return call(root)
    except Exception as error:  # noqa: BLE001  the same error is the same answer
        return f"{type(error).__name__}: {error}"


def test_state_that_moved_on_is_seen(applied: Bench, run: Callable[..., object]) -> None:
    _plan(applied.root)
    _mark(applied.root)
    run("state", "rm", "export.adapter")
    assert _plan(applied.root)[1] != _MARK
