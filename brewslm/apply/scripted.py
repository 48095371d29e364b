"""A worker for tests: answers each job from a function, or dies on cue."""

from collections.abc import Callable
from pathlib import Path

from brewslm.apply.interruption import Stop
from brewslm.apply.worker import Message
from brewslm.contracts import Job, Result
from brewslm.errors import WorkerError
from brewslm.redactor import Redactor

_STEP = 5
_CHECKPOINT = f"checkpoints/checkpoint-{_STEP}"

Answer = Callable[[Job, Path], Result]


class ScriptedWorker:
    """Does jobs by calling `answer` with the job and its folder, in this process.

    `jobs` holds every job that was asked for, in order. `deaths` maps the index of a job to the
    reason code that it dies with instead of answering; with `leaves_checkpoint` it keeps one
    before. `messages` maps the index of a job to what it sends before it ends.
    """

    def __init__(
        self,
        answer: Answer,
        deaths: dict[int, str] | None = None,
        *,
        leaves_checkpoint: bool = False,
        messages: dict[int, list[Message]] | None = None,
    ) -> None:
        """answer: writes the outputs below the folder and returns the result."""
        self._answer = answer
        self._deaths = deaths or {}
        self._leaves_checkpoint = leaves_checkpoint
        self._messages = messages or {}
        self.jobs: list[Job] = []
        self.is_closed = False

    def run(self, job: Job, on_message: Callable[[Message], None], stop: Stop) -> Result:
        """Answer a job, or die with the scripted reason code."""
        index = len(self.jobs)
        self.jobs.append(job)
        if stop.is_requested:
            raise WorkerError("stopped", code="interrupted", remedy="brewslm apply")
        for message in self._messages.get(index, ()):
            on_message(message)
        if index in self._deaths:
            if self._leaves_checkpoint:
                _write_checkpoint(Path(job.folder))
                on_message({"type": "checkpoint", "step": _STEP, "path": _CHECKPOINT})
            raise WorkerError("died on cue", code=self._deaths[index], remedy="brewslm apply")
        on_message({"type": "progress", "unit": "steps", "done": 1, "total": 1, "metrics": {}})
        return self._answer(job, Path(job.folder))

    def redact_log(self, _redactor: Redactor) -> None:
        """Nothing is logged."""

    def kill(self) -> None:
        """Nothing to kill."""

    def close(self) -> None:
        """Remember that the worker was closed."""
        self.is_closed = True


def _write_checkpoint(folder: Path) -> None:
    checkpoint = folder / _CHECKPOINT
    checkpoint.mkdir(parents=True, exist_ok=True)
    (checkpoint / "state.json").write_text("{}")
