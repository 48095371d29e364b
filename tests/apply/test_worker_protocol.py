"""A worker that breaks its protocol fails the job, in bounded memory and never as a success."""

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from brewslm.apply.interruption import Stop
from brewslm.apply.worker import ProcessWorker
from brewslm.contracts import Job
from brewslm.errors import WorkerError
from brewslm.redactor import Redactor

pytestmark = pytest.mark.case("CRA-10")

_SAYS = """
import json, sys
print("the last words of a library", file=sys.stderr, flush=True)
out = sys.stdout.buffer
def tell(**message):
    out.write(json.dumps(message).encode() + b"\\n")
    out.flush()
def job():
    return json.loads(sys.stdin.buffer.readline())["job"]["job_id"]
"""
_MEMORY_BYTES = 64 << 20


@pytest.fixture
def worker_that(tmp_path: Path) -> Iterator[Callable[[str], ProcessWorker]]:
    """Return a maker of workers whose program is the given text."""
    made: list[ProcessWorker] = []

    def make(program: str) -> ProcessWorker:
        folder = tmp_path / "brewslm" / "engine"
        folder.mkdir(parents=True)
        for package in (folder.parent, folder):
            (package / "__init__.py").touch()
        (folder / "worker.py").write_text(_SAYS + program)
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        made.append(ProcessWorker(tmp_path / "worker.log", environment))
        return made[0]

    yield make
    for worker in made:
        worker.close()


def _job(name: str = "j1") -> Job:
    return Job(
        job_id=name, door="brewslm.engine.score:run", address="eval_pack", spec={}, folder=""
    )


@pytest.mark.parametrize(
    ("program", "found"),
    [
        ('job(); out.write(b\'{"type": "res\')', "no JSON"),
        ("job()\nwhile True: out.write(b'x' * 65536)", "a line over 1 MiB"),
        ('tell(type="farewell", job_id=job())', '"farewell"'),
        ("job()", "an end without a result"),
        ('tell(type="result", job_id=job(), result={"outputs": 7})', "another shape"),
        ('tell(type="result", job_id=job())', "another shape"),
        ("job(); out.write(b'[]\\n')", "a line without a type"),
        ('tell(type="checkpoint", job_id=job(), path="a")', "without step"),
        ('tell(type="warning", job_id=job(), reason_code=7, text="a")', "without reason_code"),
    ],
)
def test_broken_protocol_is_an_error_with_the_end_of_the_log(
    worker_that: Callable[[str], ProcessWorker], program: str, found: str
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(WorkerError) as caught:
        worker_that(program).run(_job(), lambda _message: None, Stop())
    assert caught.value.code == "worker_protocol_error"
    assert found in caught.value.found
    assert "the last words of a library" in caught.value.found
    grown_bytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    assert grown_bytes < _MEMORY_BYTES


def test_second_result_of_a_job_counts_for_no_job(
    worker_that: Callable[[str], ProcessWorker],
) -> None:
    answer = 'tell(type="result", job_id=name, result={"values": {"n": 1}})\n'
    worker = worker_that(f"name = job()\n{answer}{answer}job()\nwhile True: pass")
    assert worker.run(_job("first"), lambda _message: None, Stop()).values == {"n": 1}
    with pytest.raises(WorkerError) as caught:
        worker.run(_job("second"), lambda _message: None, Stop())
    assert caught.value.code == "worker_protocol_error"
    assert "two results of one job" in caught.value.found


@pytest.mark.case("SEC-01")
def test_what_a_library_prints_is_logged_without_secrets(
    worker_that: Callable[[str], ProcessWorker], tmp_path: Path
) -> None:
    secret = "c4n4ry-t0k3n-0123456789"  # noqa: S105  of nobody
    program = """
import os, time
said = "first line\\n", "token {begin}", "{rest} refused\\n", "%63%34{tail}\\n"
for piece in said:
    os.write(2, piece.encode())
    time.sleep(0.05)
name = job()
for _ in range(3000):
    os.write(2, b"a line that says nothing about {all}\\n")
tell(type="result", job_id=name, result={"outputs": {}, "values": {}})
"""
    parts = {"{begin}": secret[:7], "{rest}": secret[7:], "{tail}": secret[2:], "{all}": secret}
    for name, part in parts.items():
        program = program.replace(name, part)
    worker = worker_that(program)
    worker.redact_log(Redactor({"KEY": [secret]}))
    worker.run(_job(), lambda _message: None, Stop())
    worker.close()
    log = (tmp_path / "worker.log").read_text()
    assert log.startswith(
        "the last words of a library\nfirst line\ntoken [secret://KEY] refused\n[secret://KEY]\n"
    )
    assert log.count("a line that says nothing about [secret://KEY]\n") == 3000
    assert secret not in log
    assert (tmp_path / "worker.log").stat().st_mode & 0o077 == 0
