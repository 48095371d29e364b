"""After one failed sync of the state nothing more is recorded until it was opened again."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from brewslm import durability
from brewslm.durability import Step
from brewslm.errors import ExitCode, StateError
from tests.apply.bench import Bench
from tests.faults.invariants import violations
from tests.state.states import NOW, lease


class FailingSync:
    """Lets the sync of one commit of the state fail; counts the commits after it."""

    def __init__(self, at: int) -> None:
        """at: number of the commit."""
        self.at = at
        self.commits = 0

    def __call__(self, step: Step, _what: str, is_taken: bool) -> None:
        """Take an announcement."""
        if step is Step.COMMIT and not is_taken:
            self.commits += 1
            if self.commits == self.at:
                failed = sqlite3.OperationalError("disk I/O error")
                failed.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
                raise failed


def _commits(bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    copy = Bench(Path(shutil.copytree(bench.root, folder / "counted", symlinks=True)))
    counted = FailingSync(0)
    with monkeypatch.context() as patched:
        patched.setattr(durability, "watcher", counted)
        assert copy.apply().exit_code is ExitCode.DONE
    return counted.commits


@pytest.mark.case("DSK-01")
def test_nothing_is_recorded_after_a_failed_sync(
    applied: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied.edit("2.0e-3", "1.0e-3")
    commits = _commits(applied, tmp_path, monkeypatch)
    for at in range(2, commits + 1, 3):
        copy = Bench(Path(shutil.copytree(applied.root, tmp_path / str(at), symlinks=True)))
        failing = FailingSync(at)
        with monkeypatch.context() as patched:
            patched.setattr(durability, "watcher", failing)
            with pytest.raises(StateError) as caught:
                copy.apply()
        assert caught.value.code in ("store_suspect", "state_write_failed")
        assert failing.commits == at, "nothing was committed afterwards"
        assert violations(copy.root) == []
        _release(copy)
        assert copy.apply().exit_code is ExitCode.DONE
        assert violations(copy.root) == []
        assert not copy.built().plan.has_changes


def test_failed_renewal_keeps_the_session_from_writing_and_reading(
    applied: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = applied.store().acquire(lease(), NOW)
    with monkeypatch.context() as patched:
        patched.setattr(durability, "watcher", FailingSync(1))
        with pytest.raises(StateError) as caught:
            session.renew("2030-01-01T00:00:00Z", "2030-01-01T00:01:00Z")
    assert caught.value.code == "store_suspect"
    assert caught.value.remedy == "check the disk, then: brewslm apply"
    for use in (session.meta, session.resources, session.holding().__enter__, session.release):
        with pytest.raises(StateError) as caught:
            use()
        assert caught.value.code == "store_suspect"


def test_log_of_a_run_that_died_is_in_the_file_before_the_next_one_writes(
    applied: Bench,
) -> None:
    log = applied.home / "state.db-wal"
    connection = sqlite3.connect(applied.home / "state.db", isolation_level=None)
    reader = sqlite3.connect(f"file:{applied.home / 'state.db'}?mode=ro", uri=True)
    with closing(connection), closing(reader):
        connection.execute("UPDATE meta SET serial = serial + 1")
        copy = shutil.copytree(applied.root, applied.root.with_name("died"), symlinks=True)
    assert (copy / ".brewslm" / log.name).stat().st_size > 0
    with Bench(Path(copy)).lease() as session:
        kept = sqlite3.connect(f"file:{copy}/.brewslm/state.db?mode=ro&immutable=1", uri=True)
        with closing(kept):
            assert kept.execute("SELECT serial FROM meta").fetchone()[0] == session.meta().serial


def _release(bench: Bench) -> None:
    """End the lease of the run that ended; its process is the one of this test."""
    with closing(bench.store().read()) as state:
        held = state.lease()
    if held is not None:
        bench.store().force_unlock(held.lease_id)
