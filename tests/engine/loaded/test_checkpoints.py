"""Checkpoints on a disk: the old one stays until the new one is durable and recorded, a full disk
has its own code, and what a device draws by chance goes on.
"""

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from brewslm.contracts import Job
from brewslm.engine import run as training
from brewslm.engine.write_faults import find_write_fault, write_error
from brewslm.errors import WorkerError
from brewslm.fingerprint import digest_folder
from tests.engine.loaded.conftest import Listener

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

MakeJob = Callable[..., Job]
SHORT: dict[str, Any] = {
    "max_steps": 4,
    "save_steps": 2,
    "eval_strategy": "no",
    "save_total_limit": 1,
}
POINTS = ("write", "1", "8", "14", "20", "21", "22", "23", "24", "25", "26", "record")


@pytest.mark.parametrize(("limit", "superseded"), [(1, ["2", "4"]), (2, ["2"]), (3, [])])
def test_a_trainer_names_what_it_no_longer_needs_and_removes_nothing(
    training_job: MakeJob, limit: int, superseded: list[str]
) -> None:
    job = training_job(**SHORT | {"max_steps": 6, "save_total_limit": limit})
    listener = Listener()
    training.run(job, listener)
    checkpoints = Path(job.folder) / "checkpoints"
    assert sorted(path.name for path in checkpoints.iterdir()) == [
        f"checkpoint-{step}" for step in (2, 4, 6)
    ]
    named = sorted(set(listener.superseded))
    assert named == [f"checkpoints/checkpoint-{step}" for step in superseded]


def test_a_kill_anywhere_leaves_a_recorded_checkpoint_that_is_whole(
    training_job: MakeJob, tmp_path: Path
) -> None:
    job = tmp_path / "job.json"
    job.write_text(training_job(**SHORT).model_dump_json())
    folder = tmp_path / "killed"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.loaded.recording", job, folder, *POINTS],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    ends = json.loads(done.stdout)
    killed = [point for point, end in ends.items() if end == -9]
    assert {"write", "1", "record"} <= set(killed)
    assert len(killed) >= len(POINTS) - 4  # the last numbers may lie after the second checkpoint
    for point in POINTS:
        lines = (folder / point / "journal.jsonl").read_text().splitlines()
        entries = [json.loads(line) for line in lines]
        newest = entries[-1]
        assert newest["step"] == (2 if point in killed else 4), point
        assert digest_folder(folder / point / newest["path"]) == newest["digest"], point
    resumed = training_job("resumed", str(folder / "write" / "checkpoints/checkpoint-2"), **SHORT)
    straight = training_job("straight", **SHORT)
    for each in (resumed, straight):
        training.run(each, Listener())
    adapters = [digest_folder(Path(each.folder) / "lora_adapter") for each in (resumed, straight)]
    assert adapters[0] == adapters[1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Lend a file system of 6 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root mounts a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_ends_training_with_its_code_and_the_last_checkpoint(
    training_job: MakeJob, small_disk: Path
) -> None:
    job = training_job(**SHORT | {"max_steps": 8, "save_total_limit": 100})
    job = job.model_copy(update={"folder": str(small_disk)})
    listener = Listener()
    with pytest.raises(WorkerError) as raised:
        training.run(job, listener)
    assert raised.value.code == "disk_full", raised.value
    assert "free disk space" in raised.value.remedy
    assert listener.checkpoints
    kept = {path.name for path in (small_disk / "checkpoints").iterdir()}
    assert kept == {Path(path).name for _, path in listener.checkpoints}
    (small_disk / "room").write_bytes(bytes(1 << 16))  # what a state has to write has room


def test_a_file_that_may_not_grow_is_a_full_disk(training_job: MakeJob) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(WorkerError) as raised:
            training.run(training_job(**SHORT), Listener())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert raised.value.code == "disk_full"


def test_a_failed_sync_records_no_checkpoint(
    training_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    real = os.fsync

    def failing(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    listener = Listener()
    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(WorkerError) as raised:
        training.run(training_job(**SHORT), listener)
    assert raised.value.code == "store_suspect"
    assert listener.checkpoints == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "x"), "disk_full"),
        (OSError(errno.EDQUOT, "x"), "disk_full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "disk_full"),
        (RuntimeError("I/O error: Disk quota exceeded (os error 122)"), "disk_full"),
        (RuntimeError("PytorchStreamWriter failed writing file data/0"), "store_suspect"),
        (OSError(errno.ENOENT, "x"), None),
        (RuntimeError("os error 2"), None),
        (ValueError("x"), None),
    ],
)
def test_what_a_library_says_of_the_disk_is_understood(
    error: Exception, code: str | None, tmp_path: Path
) -> None:
    wrapped = RuntimeError("while saving")
    wrapped.__cause__ = error
    for each in (error, wrapped):
        fault = find_write_fault(each, tmp_path)
        assert (write_error(fault).code if fault else None) == code


def test_torch_s_own_writer_is_understood_on_a_full_disk(small_disk: Path) -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.save({"x": torch.zeros(4 << 20)}, small_disk / "x.pt")
    fault = find_write_fault(raised.value, small_disk)
    assert fault is not None
    assert write_error(fault).code == "disk_full"
