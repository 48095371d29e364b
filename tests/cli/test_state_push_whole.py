"""A pulled state goes back where it follows on the one that is there; else it has to be forced."""

import io
import json
import shutil
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from brewslm.state.portable import open_pulled, pull
from brewslm.state.store import StateReader
from tests.apply.bench import Bench
from tests.cli.conftest import Run


class _Terminal(io.StringIO):
    """A terminal on which one line is typed."""

    def isatty(self) -> bool:
        """Somebody sits there."""
        return True


@pytest.fixture
def older(applied: Bench, run: Run) -> Path:
    """Return the pulled state of a project that went on since."""
    run("state", "pull", "--out", "older.json").says(0)
    applied.edit("2.0e-3", "1.0e-3")
    assert applied.apply().exit_code == 0
    return applied.root / "older.json"


def _lasting(state: StateReader) -> dict[str, Any]:
    document = json.loads(json.dumps(pull(state)))
    return {name: document[name] for name in document if name not in ("fence", "digest")}


def _state_of(bench: Bench) -> dict[str, Any]:
    with closing(bench.store().read()) as state:
        return _lasting(state)


def _fence_of(bench: Bench) -> int:
    with closing(bench.store().read()) as state:
        return state.meta().fence


def test_pull_then_push_changes_nothing(applied: Bench, run: Run) -> None:
    run("state", "pull", "--out", "same.json")
    before = _state_of(applied)
    answer = run("state", "push", "same.json")
    assert (answer.code, answer.out) == (0, "Nothing was done: that is the state.\n")
    assert _state_of(applied) == before
    assert not (applied.home / "backups").exists()


def test_older_state_is_refused_and_nothing_is_written(
    applied: Bench, run: Run, older: Path
) -> None:
    before = _state_of(applied)
    serial = json.loads(older.read_text())["serial"]
    run("state", "push", older).says(1, "plan_stale", f"serial {serial}", "--force")
    assert _state_of(applied) == before


def test_same_serial_with_other_content_is_refused(
    applied: Bench, run: Run, tmp_path: Path
) -> None:
    fork = Bench(shutil.copytree(applied.root, tmp_path / "fork", symlinks=True))
    for bench, rate in ((applied, "1.0e-3"), (fork, "5.0e-4")):
        bench.edit("2.0e-3", rate)
        assert bench.apply().exit_code == 0
    run("--chdir", fork.root, "state", "pull", "--out", tmp_path / "fork.json")
    run("state", "push", tmp_path / "fork.json").says(1, "plan_stale", "with other content")


@pytest.mark.usefixtures("applied")
def test_other_lineage_is_refused(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    run("--chdir", other, "init").says(0)
    run("--chdir", other, "state", "pull", "--out", tmp_path / "other.json").says(0)
    run("state", "push", tmp_path / "other.json").says(1, "plan_stale", "lineage")


def test_damaged_document_is_refused(applied: Bench, run: Run) -> None:
    document = run("state", "pull").document
    (applied.root / "bad.json").write_text(json.dumps(document | {"serial": 999}))
    run("state", "push", "bad.json").says(1, "state_corrupt")
    (applied.root / "new.json").write_text(json.dumps(document | {"schema_version": 99}))
    run("state", "push", "new.json").says(1, "state_too_new")


def test_newer_state_is_taken_and_the_one_before_is_kept(
    applied: Bench, run: Run, tmp_path: Path
) -> None:
    run("state", "pull", "--out", tmp_path / "before.json")
    ahead = Bench(shutil.copytree(applied.root, tmp_path / "ahead", symlinks=True))
    ahead.edit("2.0e-3", "1.0e-3")
    assert ahead.apply().exit_code == 0
    run("--chdir", ahead.root, "state", "pull", "--out", tmp_path / "ahead.json")
    shutil.copytree(ahead.home / "store", applied.home / "store", dirs_exist_ok=True)
    applied.edit("2.0e-3", "1.0e-3")
    assert run("state", "push", tmp_path / "ahead.json").code == 0
    assert _state_of(applied) == _state_of(ahead)
    (kept,) = (applied.home / "backups").iterdir()
    before = open_pulled((tmp_path / "before.json").read_bytes())
    assert _lasting(open_pulled(kept.read_bytes())) == _lasting(before)
    assert run("apply", "--auto-approve").code == 0
    assert applied.promoted() == ahead.promoted()
    assert "state push" in run("events").out


def test_state_goes_into_a_project_that_has_none(applied: Bench, run: Run, tmp_path: Path) -> None:
    run("state", "pull", "--out", tmp_path / "state.json")
    fresh = Bench.make(tmp_path / "fresh")
    shutil.copytree(applied.home / "store", fresh.home / "store")
    assert run("--chdir", fresh.root, "state", "push", tmp_path / "state.json").code == 0
    assert _state_of(fresh) == _state_of(applied)
    assert _fence_of(fresh) >= _fence_of(applied)
    assert fresh.apply().exit_code == 0
    assert fresh.doors() == []
    assert fresh.promoted() == applied.promoted()


def test_forced_push_asks_for_the_lineage(
    applied: Bench, run: Run, older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("state", "push", "--force", older).says(1, "approval_missing")
    meta = _state_of(applied)
    monkeypatch.setattr(sys, "stdin", _Terminal("yes\n"))
    run("state", "push", "--force", older).says(1, "Nothing was done.")
    assert _state_of(applied) == meta
    monkeypatch.setattr(sys, "stdin", _Terminal(f"{meta['lineage']}\n"))
    run("state", "push", "--force", older).says(0)
    after = _state_of(applied)
    assert after["serial"] == meta["serial"] + 1, "a serial never falls"
    assert after["resources"] == json.loads(older.read_text())["resources"]
    with closing(applied.store().read()) as state:
        assert state.revisions(limit=1)[0].serial == after["serial"]
    applied.edit("1.0e-3", "2.0e-3")
    assert applied.apply().exit_code == 0
    assert applied.doors() == []
    assert not applied.built().plan.has_changes


@pytest.mark.parametrize(
    "words",
    [
        ("state", "rm", "export.adapter"),
        ("state", "mv", "data_source.rows", "data_source.parcels"),
    ],
)
def test_edit_keeps_the_state_before_and_is_a_revision(
    applied: Bench, run: Run, words: tuple[str, ...]
) -> None:
    run("state", "pull", "--out", "before.json")
    before = open_pulled((applied.root / "before.json").read_bytes())
    run(*words, "--dry-run").says(0)
    assert not (applied.home / "backups").exists()
    run(*words).says(0)
    (kept,) = (applied.home / "backups").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert _lasting(open_pulled(kept.read_bytes())) == _lasting(before)
    with closing(applied.store().read()) as state:
        newest = state.revisions(limit=1)[0]
        assert newest.serial == state.meta().serial
        assert newest.actions[0]["reason"] == f"state_{words[1]}"
        serial = newest.serial
    assert words[-1] in run("history").out
    if words[1] == "mv":
        applied.edit("name: rows,", "name: parcels,")
        assert applied.apply().exit_code == 0
        with closing(applied.store().read()) as state:
            assert state.revisions(limit=1)[0].serial == serial
