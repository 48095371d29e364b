"""Starts calls of the program as processes of their own, quickly: everything is loaded once and
each call is a fork.

Requests are lines of JSON on standard input, answers lines on standard output. Run as
`python -m tests.faults.launcher`; the only place where a fault enters a process.
"""

import ctypes
import errno
import gc
import json
import os
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from brewslm import durability
from brewslm.apply.interruption import Stop
from brewslm.apply.scripted import ScriptedWorker
from brewslm.apply.worker import Message
from brewslm.cli import applying, leasing
from brewslm.cli.main import COMMANDS, main
from brewslm.contracts import Job, Result
from brewslm.durability import Step
from brewslm.errors import WorkerError
from brewslm.state import lease
from tests.apply.bench import Bench

_CAPABILITY_VERSION = 0x20080522
_PASSING_CAPABILITIES = 1 << 1 | 1 << 2
"""To write, and to read and search, whatever the permissions say."""
_CHECKPOINT = "checkpoints/checkpoint-5"
_SQLITE_CODES = {
    "ENOSPC": (sqlite3.SQLITE_FULL, "database or disk is full"),
    "EIO": (sqlite3.SQLITE_IOERR_FSYNC, "disk I/O error"),
    "EROFS": (sqlite3.SQLITE_READONLY, "attempt to write a readonly database"),
}


class TrainingWorker(ScriptedWorker):
    """The bench's worker; training leaves a checkpoint and may take a while.

    Files of the project make a commit one that fails: with `untrainable` its training dies, with
    `unskilled` its candidate gets every other row wrong.
    """

    def __init__(self, project: Path, wait_s: float) -> None:
        """wait_s: how long training takes."""
        is_unskilled = (project / "unskilled").exists()
        bench = Bench(project, skill=lambda index: not is_unskilled or index % 2 == 0)
        super().__init__(bench.answer)
        self._is_untrainable = (project / "untrainable").exists()
        self._wait_s = wait_s

    def run(self, job: Job, on_message: Callable[[Message], None], stop: Stop) -> Result:
        """Keep a checkpoint before the job is done, if it trains."""
        if job.address == "training_plan":
            folder = Path(job.folder) / _CHECKPOINT
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "state.json").write_text("{}")
            on_message({"type": "checkpoint", "step": 5, "path": _CHECKPOINT})
            time.sleep(self._wait_s)
            if self._is_untrainable:
                raise WorkerError("died on cue", code="training_runtime_error", remedy="none")
        return super().run(job, on_message, stop)


@dataclass
class Trouble:
    """Counts announcements and does something at one of them.

    kind: count, kill, stop, or the name of an error. An error is met by every step from `at` on, as
    on a disk that stays full, or with `is_once` by that step alone; removing never fails.
    """

    kind: str
    at: int
    log: Path | None = None
    is_once: bool = False
    seen: int = 0

    def __call__(self, step: Step, what: str, is_taken: bool) -> None:
        """Take an announcement."""
        if self.log is not None:
            with self.log.open("a") as stream:
                stream.write(f"{'after' if is_taken else 'before'} {step}: {Path(what).name}\n")
        if self.kind in ("count", "kill", "stop"):
            self.seen += 1
            if self.seen - 1 == self.at and self.kind != "count":
                os.kill(os.getpid(), signal.SIGKILL if self.kind == "kill" else signal.SIGSTOP)
        elif not is_taken and step is not Step.REMOVE:
            self.seen += 1
            if self.seen - 1 == self.at or (self.seen - 1 > self.at and not self.is_once):
                self._fail(step, what)

    def _fail(self, step: Step, what: str) -> NoReturn:
        if step is Step.COMMIT:
            code, text = _SQLITE_CODES[self.kind]
            refused = sqlite3.OperationalError(text)
            refused.sqlite_errorcode = code
            raise refused
        number = getattr(errno, self.kind)
        raise OSError(number, os.strerror(number), what)


def _obey_permissions() -> None:
    """Give up the right of root to read and write where permissions forbid it; others never had
    it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets):
        raise OSError(ctypes.get_errno(), "capget")
    for index in range(3):  # effective, permitted, inheritable
        sets[index] &= ~_PASSING_CAPABILITIES
    if libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")


def _call(request: dict[str, Any]) -> NoReturn:
    """Be the program for one call; never returns."""
    project = Path(request["project"])
    for name, number in (("out", 1), ("err", 2)):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.dup2(os.open(request[name], flags, 0o666), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if request.get("is_bound"):
        _obey_permissions()
    os.environ.update(request.get("environment", {}))
    _use(project, request)
    code = main(["--chdir", str(project), *request["arguments"]])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _use(project: Path, request: dict[str, Any]) -> None:
    wait_s = float(request.get("wait_s", 0))

    def scripted(*_: object) -> TrainingWorker:
        return TrainingWorker(project, wait_s)

    setattr(applying, "ProcessWorker", scripted)  # noqa: B010
    if request.get("lifetime_s"):
        for module in (lease, leasing):
            setattr(module, "LIFETIME_S", float(request["lifetime_s"]))  # noqa: B010
    if request.get("trouble"):
        trouble = dict(request["trouble"])
        log = trouble.pop("log", None)
        durability.watcher = Trouble(**trouble, log=Path(log) if log else None)


def _warm_up() -> None:
    """Load what a call loads late."""
    for place, _ in COMMANDS.values():
        import_module(place.partition(":")[0])
    with tempfile.TemporaryDirectory() as folder:
        Bench.make(Path(folder) / "project").apply()


def serve() -> None:
    """Answer requests until standard input ends."""
    _warm_up()
    gc.collect()
    gc.freeze()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        request = json.loads(line)
        if "await" in request:
            _, status = os.waitpid(request["await"], 0)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = os.fork()
            if answer == 0:
                _call(request)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
