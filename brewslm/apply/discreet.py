"""A worker whose messages, results and errors pass through a filter before anybody sees them."""

from collections.abc import Callable
from typing import Any

from brewslm.apply.interruption import Stop
from brewslm.apply.worker import Message, Worker
from brewslm.contracts import Job, Result
from brewslm.errors import WorkerError


class DiscreetWorker:
    """Lets another worker do the jobs and filters every text that comes back."""

    def __init__(self, worker: Worker, redact: Callable[[str], str]) -> None:
        """redact: returns a text without what must not be kept."""
        self._worker = worker
        self._redact = redact

    def run(self, job: Job, on_message: Callable[[Message], None], stop: Stop) -> Result:
        """Do a job; what it says and yields is filtered."""

        def pass_on(message: Message) -> None:
            on_message(self._filtered(message))

        try:
            result = self._worker.run(job, pass_on, stop)
        except WorkerError as error:
            raise WorkerError(
                self._redact(error.message),
                code=error.code,
                found=self._redact(error.found),
                expected=self._redact(error.expected),
                remedy=self._redact(error.remedy),
            ) from None
        return result.model_copy(update={"values": self._filtered(result.values)})

    def kill(self) -> None:
        """End the worker at once."""
        self._worker.kill()

    def close(self) -> None:
        """End the worker in order."""
        self._worker.close()

    def _filtered(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._redact(value)
        if isinstance(value, dict):
            return {self._filtered(key): self._filtered(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._filtered(item) for item in value]
        return value
