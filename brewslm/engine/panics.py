"""Tokenizers that give up half-way: their library panics past everything that catches errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from brewslm.errors import RefusedError, WorkerError
from brewslm.rows.confined_tokens import refused

_PANIC = "PanicException"
"""The name of its type, which is below BaseException and cannot be imported."""


@contextmanager
def refusing_panics() -> Iterator[None]:
    """Turn a panic into the refusal of the base model.

    Raises: WorkerError with base_refused.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != _PANIC:
            raise
        raise worker_refusal(refused(f"{_PANIC}: {error}")) from error


def worker_refusal(error: RefusedError) -> WorkerError:
    """Return a refusal as trouble of the worker."""
    return WorkerError(
        error.message,
        code=error.code,
        found=error.found,
        expected=error.expected,
        remedy=error.remedy,
    )
