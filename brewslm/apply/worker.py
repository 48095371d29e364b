"""The child process that opens doors, seen from the parent.

One process serves a whole apply. It gets JSON lines on its standard input and answers on its
standard output; what libraries print goes to a log file. A process that dies, breaks the protocol
or says nothing useful becomes a WorkerError with a reason code.
"""

import codecs
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

from pydantic import ValidationError

from brewslm.apply.interruption import Stop
from brewslm.contracts import Job, Result
from brewslm.errors import WorkerError
from brewslm.redactor import Redactor

_MAX_LINE_BYTES = 1 << 20
_POLL_S = 0.2
_END_S = 10.0
_LOG_END_S = 2.0
"""How long the rest of the log is waited for; a child of the worker may keep it open."""
_LOG_PIECE_BYTES = 1 << 16
STALL_S = 1800.0
"""Silence after which a worker counts as stuck; work that goes on tells so every minute or two."""
_TAIL_BYTES = 4096
_TALK: dict[str, dict[str, type]] = {
    "ready": {},
    "progress": {"done": int},
    "checkpoint": {"step": int, "path": str},
    "warning": {"reason_code": str, "text": str},
    "log": {},
}
"""Types of the messages that a worker sends while a job goes on, and what each has to hold."""
_TYPE_CHARS = 40

_PASSED_ON = (
    "BREWSLM_DEVICE",
    "CUDA_DEVICE_ORDER",
    "CUDA_HOME",
    "CUDA_VISIBLE_DEVICES",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HIP_VISIBLE_DEVICES",
    "HOME",
    "HSA_OVERRIDE_GFX_VERSION",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "OMP_NUM_THREADS",
    "PATH",
    "PYTHONPATH",
    "PYTORCH_ENABLE_MPS_FALLBACK",
    "ROCR_VISIBLE_DEVICES",
    "TMPDIR",
    "TZ",
    "VIRTUAL_ENV",
    "XDG_CACHE_HOME",
)

Message = dict[str, Any]


class Worker(Protocol):
    """Something that does jobs."""

    def run(self, job: Job, on_message: Callable[[Message], None], stop: Stop) -> Result:
        """Do a job; progress, logs and checkpoints go to `on_message`.

        Raises: WorkerError; its code is `interrupted` when the job stopped because of `stop`.
        """
        ...

    def redact_log(self, redactor: Redactor) -> None:
        """Take the values of secrets out of what is logged from now on."""
        ...

    def kill(self) -> None:
        """End the worker at once."""
        ...

    def close(self) -> None:
        """End the worker in order; doing so twice is harmless."""
        ...


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables a worker gets: a short list, no secrets, offline, threads that wait
    passively.
    """
    passed = {name: environment[name] for name in _PASSED_ON if name in environment}
    return passed | {
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }


class ProcessWorker:
    """A worker in a child process, started with its first job."""

    def __init__(
        self, log_path: Path, environment: Mapping[str, str], stall_s: float = STALL_S
    ) -> None:
        """log_path: where what libraries print is kept; environment: the parent's, with the one
        device shown that the worker computes on.

        stall_s: seconds without a message after which a job is given up.
        """
        self._log_path = log_path
        self._environment = worker_environment(environment)
        self._redactor = Redactor({})
        self._stall_s = stall_s
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._reader: threading.Thread | None = None
        self._logger: threading.Thread | None = None
        self._answered: set[str] = set()

    def run(self, job: Job, on_message: Callable[[Message], None], stop: Stop) -> Result:
        """Do a job in the child process."""
        process = self._started()
        self._send(process, {"type": "job", "job": job.model_dump(mode="json")})
        has_asked_to_stop = False
        heard_s = time.monotonic()
        while True:
            if stop.is_requested and not has_asked_to_stop:
                self._send(process, {"type": "stop"})
                has_asked_to_stop = True
            try:
                line = self._lines.get(timeout=_POLL_S)
            except queue.Empty:
                if time.monotonic() - heard_s > self._stall_s:
                    self.kill()
                    raise self._stalled(job) from None
                continue
            heard_s = time.monotonic()
            if line is None:
                raise self._death(process)
            message = self._parsed(line)
            if message.get("job_id", job.job_id) != job.job_id:
                self._check_once(message)
                continue
            match message["type"]:
                case "result":
                    self._answered.add(job.job_id)
                    return self._result(message)
                case "error":
                    self._answered.add(job.job_id)
                    raise WorkerError(
                        str(message.get("message", "the worker reported an error")),
                        code=str(message.get("reason_code", "worker_protocol_error")),
                        remedy=str(message.get("remedy", f"read {self._log_path.name}")),
                    )
                case kind if kind in _TALK:
                    self._check_talk(message)
                    on_message(message)
                case kind:
                    self.kill()
                    raise self._protocol_error(f'a message of the type "{kind[:_TYPE_CHARS]}"')

    def redact_log(self, redactor: Redactor) -> None:
        """Take the values of secrets out of what a process that is started later prints."""
        self._redactor = redactor

    def kill(self) -> None:
        """End the child at once."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def close(self) -> None:
        """Close the child's input, which ends it; kill it when it does not end in time."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(timeout=_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader is not None:
            self._reader.join()
        if process.stdout:
            process.stdout.close()
        self._end_log()

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        self._lines = queue.SimpleQueue()
        try:
            self._log_path.touch(mode=0o600)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "brewslm.engine.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment,
            )
        except OSError as error:
            raise WorkerError(
                f"the worker process could not be started: {error.strerror}",
                code="worker_start_failed",
                remedy="free memory or process slots, then: brewslm apply",
            ) from error
        if self._process.stdout is None or self._process.stderr is None:
            raise ValueError("the worker has no standard output")
        self._logger = threading.Thread(
            target=_keep_log,
            args=(self._process.stderr, self._log_path, self._redactor),
            daemon=True,
        )
        self._logger.start()
        self._reader = threading.Thread(
            target=_read_lines, args=(self._process.stdout, self._lines), daemon=True
        )
        self._reader.start()
        return self._process

    def _send(self, process: "subprocess.Popen[bytes]", message: Message) -> None:
        if process.stdin is None:
            raise ValueError("the worker has no standard input")
        try:
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError as error:
            raise self._death(process) from error

    def _parsed(self, line: bytes) -> Message:
        if len(line) > _MAX_LINE_BYTES:
            self.kill()
            raise self._protocol_error("a line over 1 MiB")
        try:
            message = json.loads(line)
        except ValueError as error:
            self.kill()
            raise self._protocol_error("a line that is no JSON") from error
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            self.kill()
            raise self._protocol_error("a line without a type")
        return message

    def _check_once(self, message: Message) -> None:
        """Refuse a second answer to a job that was answered; anything else of it came too late."""
        if message["type"] in ("result", "error") and message["job_id"] in self._answered:
            self.kill()
            raise self._protocol_error("two results of one job")

    def _result(self, message: Message) -> Result:
        try:
            return Result.model_validate(message.get("result"))
        except ValidationError as error:
            raise self._protocol_error("a result of another shape") from error

    def _check_talk(self, message: Message) -> None:
        """Refuse a message that lacks what whoever hears it needs."""
        kind = str(message["type"])
        for name, held in _TALK[kind].items():
            if not isinstance(message.get(name), held):
                self.kill()
                raise self._protocol_error(f'a message of the type "{kind}" without {name}')

    def _protocol_error(self, found: str) -> WorkerError:
        return WorkerError(
            "the worker broke its protocol",
            code="worker_protocol_error",
            found="\n".join(filter(None, (found, self._log_tail()))),
            expected="one JSON object a line, at most 1 MiB, and one result a job",
            remedy=f"read {self._log_path.name} in the run folder, then: brewslm apply",
        )

    def _stalled(self, job: Job) -> WorkerError:
        is_training = job.address == "training_plan"
        return WorkerError(
            f"the worker said nothing for {self._stall_s:g} s and was ended",
            code="training_stalled" if is_training else "worker_killed",
            found=self._log_tail(),
            expected="progress",
            remedy=f"read {self._log_path.name}, then: brewslm apply goes on from what is kept",
        )

    def _death(self, process: "subprocess.Popen[bytes]") -> WorkerError:
        status = process.wait()
        if status == 0:
            return self._protocol_error("an end without a result")
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return WorkerError(
            f"the worker process ended without a result ({how})",
            code="worker_killed",
            found=self._log_tail() or how,
            expected="a result",
            remedy="brewslm apply goes on from the last checkpoint",
        )

    def _log_tail(self) -> str:
        """Return the last lines of the log; all of it is there once the process has ended."""
        self._end_log()
        return _tail(self._log_path)

    def _end_log(self) -> None:
        """Wait a little until what an ended process printed is in the log."""
        if self._logger is not None:
            self._logger.join(_LOG_END_S)


def _keep_log(stream: IO[bytes], path: Path, redactor: Redactor) -> None:
    """Append what comes from a stream to a file without the values of secrets, until it ends.

    What cannot be written is dropped: the process must never wait for its log.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(text: str) -> None:
        with contextlib.suppress(OSError), path.open("ab") as log:
            log.write(text.encode("utf-8", "backslashreplace"))

    redacted = redactor.stream(write)
    with stream:
        while piece := os.read(stream.fileno(), _LOG_PIECE_BYTES):
            redacted.feed(decoder.decode(piece))
    redacted.feed(decoder.decode(b"", final=True))
    redacted.end()


def _read_lines(stream: IO[bytes], lines: "queue.SimpleQueue[bytes | None]") -> None:
    while line := stream.readline(_MAX_LINE_BYTES + 1):
        lines.put(line)
        if len(line) > _MAX_LINE_BYTES:
            return
    lines.put(None)


def _tail(path: Path) -> str:
    try:
        data = path.read_bytes()[-_TAIL_BYTES:]
    except OSError:
        return ""
    return "\n".join(data.decode("utf-8", "replace").strip().splitlines()[-5:])
