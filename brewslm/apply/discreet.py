"""A worker whose messages, results and errors are redacted before they are shown or recorded."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from brewslm.apply.interruption import Stop
from brewslm.apply.worker import Message, Worker
from brewslm.contracts import Job, Result
from brewslm.errors import WorkerError
from brewslm.events import Event, Listener
from brewslm.redactor import Redactor


def redacting(tell: Listener, redactor: Redactor) -> Listener:
    """Return a listener that passes events on without the values of secrets."""

    def tell_redacted(event: Event) -> None:
        fields = {name: getattr(event, name) for name in type(event).model_fields}
        clean = redactor.document(fields)
        changed = {name: clean[name] for name in fields if clean[name] != _plain(fields[name])}
        tell(event.model_copy(update=changed) if changed else event)

    return tell_redacted


class DiscreetWorker:
    """Lets another worker do the jobs and redacts every text that comes back."""

    def __init__(self, worker: Worker, redactor: Redactor) -> None:
        """redactor: knows the values of the project's secrets."""
        self._worker = worker
        self._redactor = redactor
        self._talk = redactor.texts()
        worker.redact_log(redactor)

    def run(self, job: Job, on_message: Callable[[Message], None], stop: Stop) -> Result:
        """Do a job; what it says and yields is redacted.

        Raises: WorkerError, also for a result whose names hold the value of a secret: under other
        names it would be another result.
        """

        def pass_on(message: Message) -> None:
            on_message(self._redacted(message))

        try:
            result = self._worker.run(job, pass_on, stop)
        except WorkerError as error:
            texts = [error.message, error.found, error.expected, error.remedy]
            message, found, expected, remedy = self._redactor.document(texts)
            raise WorkerError(
                message, code=error.code, found=found, expected=expected, remedy=remedy
            ) from None
        names = [*_keys_of(result.values), *_keys_of(result.outputs), *result.outputs.values()]
        if self._redactor.document(names) != names:
            raise WorkerError(
                "the worker returned a result with the value of a secret in its names",
                code="worker_protocol_error",
                found="a secret in the name of a value or an output",
                expected="names that may be recorded",
                remedy="remove the secret from the rows or labels that the name comes from, then: "
                "brewslm apply",
            )
        return result.model_copy(update={"values": self._redactor.document(result.values)})

    def redact_log(self, redactor: Redactor) -> None:
        """Redact the other worker's log by another redactor."""
        self._worker.redact_log(redactor)

    def kill(self) -> None:
        """End the worker at once."""
        self._worker.kill()

    def close(self) -> None:
        """End the worker in order."""
        self._worker.close()

    def _redacted(self, message: Message) -> Message:
        clean = dict(self._redactor.document(message))
        if isinstance(message.get("text"), str):
            clean["text"] = self._talk.next(message["text"])
        return clean


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, with lists for tuples."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _keys_of(value: Any) -> Iterator[str]:
    """Yield the keys in a JSON value, at any depth."""
    if isinstance(value, Mapping):
        yield from map(str, value)
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _keys_of(item)
