"""The worker's program keeps its protocol, whatever a door does or prints."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brewslm.apply.interruption import Stop
from brewslm.apply.worker import ProcessWorker, worker_environment
from brewslm.contracts import Job
from brewslm.errors import WorkerError


def _job(door: str, folder: Path, **options: Any) -> Job:
    return Job(
        job_id="j1", door=door, address="eval_pack", spec={}, options=options, folder=str(folder)
    )


@pytest.fixture
def worker(tmp_path: Path) -> Any:
    """Lend a worker process."""
    made = ProcessWorker(tmp_path / "worker.log", dict(os.environ))
    yield made
    made.close()


def _endless_job(folder: Path) -> Job:
    """Return a job that waits for rows from a pipe that nobody writes to."""
    os.mkfifo(folder / "gold_test.jsonl")
    job = _job("brewslm.engine.score:run", folder, sets={"gold_test": None})
    return job.model_copy(update={"inputs": {"prepared": str(folder)}})


def _on_ready(number: signal.Signals) -> Callable[[dict[str, Any]], None]:
    """Return a listener that signals a worker as soon as it has started."""

    def listen(message: dict[str, Any]) -> None:
        if message["type"] == "ready":
            os.kill(message["pid"], number)

    return listen


def test_unknown_door_is_an_error_and_the_worker_lives_on(
    worker: ProcessWorker, tmp_path: Path
) -> None:
    for _ in range(2):
        with pytest.raises(WorkerError) as caught:
            worker.run(_job("os:system", tmp_path), lambda _message: None, Stop())
        assert caught.value.code == "worker_protocol_error"


def test_door_that_fails_says_why_in_one_line(worker: ProcessWorker, tmp_path: Path) -> None:
    job = _job("brewslm.engine.score:run", tmp_path)
    with pytest.raises(WorkerError) as caught:
        worker.run(job, lambda _message: None, Stop())
    assert caught.value.code == "eval_runtime_error"
    assert "KeyError" in caught.value.message
    assert "Traceback" in (tmp_path / "worker.log").read_text()


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("training_plan", "training_runtime_error"),
        ("eval_pack", "eval_runtime_error"),
        ("export.adapter", "export_run_failed"),
    ],
)
def test_plain_exception_is_named_by_what_the_job_is_for(
    worker: ProcessWorker, tmp_path: Path, address: str, code: str
) -> None:
    job = _job("brewslm.engine.score:run", tmp_path).model_copy(update={"address": address})
    with pytest.raises(WorkerError) as caught:
        worker.run(job, lambda _message: None, Stop())
    assert caught.value.code == code


@pytest.mark.case("CRA-07")
def test_killed_worker_is_told_with_its_signal_and_the_next_job_gets_a_new_one(
    worker: ProcessWorker, tmp_path: Path
) -> None:
    with pytest.raises(WorkerError) as caught:
        worker.run(_endless_job(tmp_path), _on_ready(signal.SIGKILL), Stop())
    assert caught.value.code == "worker_killed"
    assert "SIGKILL" in caught.value.message
    with pytest.raises(WorkerError) as caught:
        worker.run(_job("os:system", tmp_path), lambda _message: None, Stop())
    assert caught.value.code == "worker_protocol_error"


@pytest.mark.parametrize(
    ("address", "code"), [("training_plan", "training_stalled"), ("eval_pack", "worker_killed")]
)
def test_worker_that_says_nothing_for_the_set_time_is_ended(
    tmp_path: Path, address: str, code: str
) -> None:
    pids: list[int] = []
    worker = ProcessWorker(tmp_path / "worker.log", dict(os.environ), stall_s=1.0)
    job = _endless_job(tmp_path).model_copy(update={"address": address})
    try:
        with pytest.raises(WorkerError) as caught:
            worker.run(job, lambda message: pids.append(message["pid"]), Stop())
    finally:
        worker.close()
    assert caught.value.code == code
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_terminal_signals_leave_the_worker_to_its_parent() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "brewslm.engine.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert json.loads(process.stdout.readline())["type"] == "ready"
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(timeout=10) == 0
    process.stdout.close()


def test_worker_sees_no_secret() -> None:
    passed = worker_environment({"PATH": "/bin", "HF_TOKEN": "x", "AWS_SECRET_ACCESS_KEY": "y"})
    assert "HF_TOKEN" not in passed
    assert "AWS_SECRET_ACCESS_KEY" not in passed
    assert passed["HF_HUB_OFFLINE"] == "1"
    assert passed["OMP_WAIT_POLICY"] == "PASSIVE"


_PARENT = """
import os, sys
from pathlib import Path
from brewslm.apply.interruption import Stop
from brewslm.apply.worker import ProcessWorker
from brewslm.contracts import Job

def tell(message):
    print(message["pid"], flush=True)

worker = ProcessWorker(Path(sys.argv[2]), dict(os.environ))
worker.run(Job.model_validate_json(sys.argv[1]), tell, Stop())
"""


@pytest.mark.slow
@pytest.mark.case("CRA-07")
def test_worker_amid_a_job_ends_soon_after_its_parent_was_killed(tmp_path: Path) -> None:
    job = _endless_job(tmp_path).model_dump_json()
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, job, str(tmp_path / "worker.log")], stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        worker = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
    deadline_s = time.monotonic() + 10
    while _is_running(worker):
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


def _is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.case("CRA-07")
def test_frozen_worker_is_ended_after_the_set_time(tmp_path: Path) -> None:
    pids: list[int] = []

    def freeze(message: dict[str, Any]) -> None:
        pids.append(message["pid"])
        os.kill(message["pid"], signal.SIGSTOP)

    worker = ProcessWorker(tmp_path / "worker.log", dict(os.environ), stall_s=0.2)
    try:
        with pytest.raises(WorkerError) as caught:
            worker.run(_endless_job(tmp_path), freeze, Stop())
    finally:
        worker.close()
    assert caught.value.code == "worker_killed"
    assert not any(map(_is_running, pids))
