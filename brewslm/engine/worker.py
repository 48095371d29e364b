"""The worker's own program: reads jobs as JSON lines, opens their doors, answers as JSON lines.

Standard output belongs to the protocol alone: what libraries print goes to standard error. The
process ends when its input closes, in order within a few seconds or else at once, so it never
outlives the apply that started it. Signals that a
terminal sends to the whole group are left to the parent, which asks for a stop in words.
"""

import importlib
import json
import os
import platform
import queue
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from pydantic import ValidationError

from brewslm.contracts import Door, Job, Result
from brewslm.engine.out_of_memory import first_line, is_out_of_memory
from brewslm.engine.write_faults import find_write_fault, write_error
from brewslm.errors import BrewError, WorkerError

_GRACE_S = 5.0
"""How long a job may take to end once nobody waits for its result."""


class _Fault(NamedTuple):
    """How trouble is named that a door did not name itself."""

    code: str
    memory_code: str
    memory_remedy: str


_TRAINING = _Fault(
    "training_runtime_error",
    "training_oom",
    "lower batch_size and raise gradient_accumulation_steps by the same factor",
)
_FAULTS = {
    "training_plan": _TRAINING,
    "eval_pack": _Fault(
        "eval_runtime_error", "eval_runtime_error", "lower eval_pack.generation.batch_size"
    ),
    "export": _Fault("export_run_failed", "export_run_failed", "free memory on this host"),
}
"""By kind of the resource that a job is for."""


class Line:
    """A JSON-lines writer that several threads may use."""

    def __init__(self, stream: IO[bytes]) -> None:
        """stream: the original standard output."""
        self._stream = stream
        self._lock = threading.Lock()

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one message and make sure that it has left the process."""
        data = json.dumps(message, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with self._lock:
            self._stream.write(data)
            self._stream.flush()


class JobReporter:
    """What a door tells while it works, sent as messages of its job."""

    def __init__(self, line: Line, job_id: str, stop: threading.Event) -> None:
        """stop: set when the parent asked to stop."""
        self._line = line
        self._job_id = job_id
        self._stop = stop

    def progress(
        self,
        unit: str,
        done: int,
        total: int | None,
        metrics: Mapping[str, float | None] | None = None,
    ) -> None:
        """Tell that `done` of `total` units are finished."""
        message = {"type": "progress", "unit": unit, "done": done, "total": total}
        self._send(message | {"metrics": dict(metrics or {})})

    def log(self, text: str) -> None:
        """Tell a line for people who debug."""
        self._send({"type": "log", "text": text})

    def checkpoint(self, step: int, path: str, superseded: Sequence[str] = ()) -> None:
        """Report that a checkpoint folder is complete and durable, and which it supersedes."""
        message = {"type": "checkpoint", "step": step, "path": path}
        self._send(message | {"superseded": list(superseded)})

    def warn(self, reason_code: str, text: str, facts: Mapping[str, Any]) -> None:
        """Tell about trouble that the work goes on after."""
        message = {"type": "warning", "reason_code": reason_code, "text": text}
        self._send(message | {"facts": dict(facts)})

    def is_stop_requested(self) -> bool:
        """Return whether the parent asked to stop."""
        return self._stop.is_set()

    def _send(self, message: dict[str, Any]) -> None:
        self._line.send(message | {"job_id": self._job_id})


def serve(incoming: IO[bytes], line: Line) -> None:
    """Do jobs until the input closes."""
    jobs: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    stop = threading.Event()
    threading.Thread(target=_listen, args=(incoming, jobs, stop), daemon=True).start()
    line.send({"type": "ready", "pid": os.getpid(), "environment": _environment()})
    while (document := jobs.get()) is not None:
        line.send(_answer(document, line, stop))


def _listen(
    incoming: IO[bytes], jobs: "queue.SimpleQueue[dict[str, Any] | None]", stop: threading.Event
) -> None:
    for data in incoming:
        message = json.loads(data)
        if message["type"] == "stop":
            stop.set()
        elif message["type"] == "job":
            jobs.put(message["job"])
    jobs.put(None)
    stop.set()
    time.sleep(_GRACE_S)
    os._exit(1)


def _answer(document: dict[str, Any], line: Line, stop: threading.Event) -> dict[str, Any]:
    """Do one job; whatever goes wrong becomes an error message with a reason code."""
    job_id = str(document.get("job_id", ""))
    fault = _FAULTS.get(str(document.get("address", "")).partition(".")[0], _TRAINING)
    try:
        job = Job.model_validate(document)
        result = _timed(_door(job.door), job, JobReporter(line, job_id, stop))
        return {"type": "result", "job_id": job_id, "result": result.model_dump(mode="json")}
    except BrewError as error:
        told = f"{error.message} (found: {error.found})" if error.found else error.message
        return _error(job_id, error.code, told, error.remedy)
    except ImportError as error:
        return _missing(job_id, error)
    except ValidationError as error:
        return _error(job_id, "worker_protocol_error", str(error), "report this as a defect")
    except Exception as error:  # noqa: BLE001  the boundary of a job: everything becomes a message
        refused = find_write_fault(error, Path(str(document.get("folder", ""))))
        if refused is not None and write_error(refused).code == "disk_full":
            full = write_error(refused)
            return _error(job_id, full.code, full.message, full.remedy)
        if is_out_of_memory(error):
            return _out_of_memory(job_id, fault, first_line(error) or "the host's is used up")
        sys.excepthook(type(error), error, error.__traceback__)
        return _error(
            job_id,
            fault.code,
            f"{type(error).__name__}: {first_line(error)}",
            "read .brewslm/runs/worker.log, then: brewslm apply",
        )


def _timed(door: Door, job: Job, report: JobReporter) -> Result:
    """Return what a door yields, with the seconds that it took."""
    begun_s = time.monotonic()
    result = door(job, report)
    return result.model_copy(update={"work_s": round(time.monotonic() - begun_s, 3)})


def _door(name: str) -> Door:
    module, _, function = name.partition(":")
    if not module.startswith("brewslm.engine."):
        raise WorkerError(
            f"{name} is no door of the engine",
            code="worker_protocol_error",
            remedy="report this as a defect",
        )
    return cast("Door", getattr(importlib.import_module(module), function))


def _missing(job_id: str, error: ImportError) -> dict[str, Any]:
    name = (error.name or "a library").partition(".")[0]
    return _error(
        job_id,
        "missing_extra",
        f"{name} is not installed in this environment",
        'pip install "brewslm[train]"',
    )


def _out_of_memory(job_id: str, fault: "_Fault", text: str) -> dict[str, Any]:
    return _error(job_id, fault.memory_code, f"memory ran out: {text}", fault.memory_remedy)


def _error(job_id: str, code: str, message: str, remedy: str) -> dict[str, Any]:
    return {
        "type": "error",
        "job_id": job_id,
        "reason_code": code,
        "message": message,
        "remedy": remedy,
    }


def _environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "executable": sys.executable,
    }


def main() -> None:
    """Take over standard output for the protocol and serve.

    Libraries write files with the mode that they like; the umask makes them the owner's alone.
    """
    os.umask(0o077)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, Line(outgoing))


if __name__ == "__main__":
    main()
