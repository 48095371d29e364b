"""What killed runs left is removed by the next apply, never what is kept or can be resumed."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import brewslm
from brewslm.artifacts.local import LocalStore
from brewslm.errors import ExitCode
from brewslm.fingerprint import digest_folder
from tests.apply.bench import Bench

LEFTOVERS = (
    "store/incoming/0123456789abcdef",
    "store/objects/ab/.cdef.0123456789abcdef.tmp",
    "store/produced/.ab.json.0123456789abcdef.tmp",
    "models/.0123456789abcdef.01234567.tmp/adapter.safetensors",
    "exports/.adapter.01234567.tmp/model",
    "exports/.adapter.0123456789abcdef.old/model",
    "promoted/.champion.01234567.tmp",
    "runs/0123456789abcdef0123456789abcdef/checkpoints/checkpoint-5/optimizer.pt",
)
OF_OTHERS = (
    "runs/worker.log",
    "exports/notes.tmp",
    "exports/adapter/.hidden",
    "cache/.prepared.0123456789abcdef.tmp",
    "promoted/.champion.01234567.found",
)

_KILLED_AT_FSYNC = """
import os, pathlib, signal
from brewslm.artifacts.local import LocalStore
os.fsync = lambda _descriptor: os.kill(os.getpid(), signal.SIGKILL)
LocalStore(pathlib.Path("store")).put_file(pathlib.Path("source"))
"""


def _plant(home: Path, names: tuple[str, ...]) -> None:
    for name in names:
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")


def _here() -> dict[str, str]:
    """Return an environment whose Python finds this source tree from anywhere."""
    return {**os.environ, "PYTHONPATH": str(Path(brewslm.__path__[0]).parent)}


def _digests(bench: Bench) -> dict[str, str]:
    return {name: digest_folder(bench.home / name) for name in ("store", "models", "exports")}


def test_leftovers_go_and_everything_else_stays(applied: Bench) -> None:
    _plant(applied.home, OF_OTHERS)
    before = _digests(applied)
    _plant(applied.home, LEFTOVERS)
    assert applied.apply().exit_code is ExitCode.DONE
    assert [name for name in LEFTOVERS if (applied.home / name).exists()] == []
    assert [name for name in OF_OTHERS if not (applied.home / name).exists()] == []
    assert _digests(applied) == before
    assert list((applied.home / "runs").iterdir()) == [applied.home / "runs" / "worker.log"]
    assert applied.promoted() is not None
    with closing(applied.store().read()) as reader:
        (event,) = reader.run_events(reason_code="journal_recovered")
    assert event.summary.endswith("removed: 8")
    applied.apply()
    with closing(applied.store().read()) as reader:
        assert reader.run_events(reason_code="journal_recovered") == [event]


def test_folder_that_an_open_entry_goes_on_from_is_kept(bench: Bench) -> None:
    bench.deaths, bench.leaves_checkpoint = {0: "worker_killed"}, True
    bench.apply()
    (folder,) = [path for path in (bench.home / "runs").iterdir() if path.is_dir()]
    bench.edit("2.0e-3", "1.0e-3")
    bench.deaths = {}
    bench.apply()
    assert (folder / "checkpoints" / "checkpoint-5").is_dir()
    bench.edit("1.0e-3", "2.0e-3")
    bench.apply()
    assert bench.jobs[0].options["resume_from"].endswith("checkpoints/checkpoint-5")
    assert not folder.exists()


def test_inputs_of_a_run_that_is_resumed_are_materialized_again(bench: Bench) -> None:
    bench.deaths, bench.leaves_checkpoint = {0: "worker_killed"}, True
    bench.apply()
    (rows,) = (bench.home / "runs").glob("*/inputs/prepared/train.jsonl")
    rows.chmod(0o600)
    rows.write_text("")
    bench.deaths = {}
    assert bench.apply().exit_code is ExitCode.DONE
    assert bench.jobs[0].options["resume_from"]
    values = bench.records()["training_plan"].values
    assert values["seen_tokens"] > 0, "it trained on the recorded rows"


def test_folder_of_a_run_that_cannot_be_resumed_goes(bench: Bench) -> None:
    bench.deaths, bench.leaves_checkpoint = {0: "training_nonfinite_loss"}, True
    bench.apply()
    (folder,) = (bench.home / "runs").iterdir()
    bench.deaths = {}
    bench.apply()
    assert not folder.exists()


def test_export_that_was_moved_aside_for_nothing_comes_back(applied: Bench) -> None:
    folder = applied.home / "exports" / "adapter"
    content = (folder / "model").read_bytes()
    folder.rename(folder.with_name(".adapter.0123456789abcdef.old"))
    applied.apply()
    assert (folder / "model").read_bytes() == content


def test_links_are_not_followed(applied: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("mine")
    (applied.home / "runs" / "linked").symlink_to(outside)
    (applied.home / "exports" / ".x.01234567.tmp").symlink_to(outside)
    applied.apply()
    assert (outside / "file").read_text() == "mine"
    assert not (applied.home / "exports" / ".x.01234567.tmp").is_symlink()


def test_copy_that_a_kill_cut_short_is_swept(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"new")
    store = LocalStore(tmp_path / "store")
    (tmp_path / "kept").write_bytes(b"kept")
    kept = store.put_file(tmp_path / "kept")
    command = [sys.executable, "-c", _KILLED_AT_FSYNC]
    killed = subprocess.run(command, cwd=tmp_path, env=_here(), check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "store" / "incoming").iterdir())) == 1
    assert store.sweep() == 1
    assert list((tmp_path / "store" / "incoming").iterdir()) == []
    store.verify(kept)
