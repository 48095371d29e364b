"""Where a reconcile loop keeps what outlives it: one file in .brewslm, and a lock beside it."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from brewslm.errors import StateError, StateLockedError
from brewslm.files import write_atomic
from brewslm.sync import SyncMemory

_NAME = "reconcile.json"


class MemoryFile:
    """The memory of the loops of one clone; what could not be saved is still known here."""

    def __init__(self, home: Path, redact: Callable[[Any], Any] = lambda value: value) -> None:
        """home: the project's .brewslm, which need not exist to read; redact: takes the values of
        secrets out of what is remembered.
        """
        self._home = home
        self._redact = redact
        self._unsaved: SyncMemory | None = None

    def load(self) -> SyncMemory:
        """Return what is remembered, nothing where no loop ever ran.

        Raises: StateError with reconcile_memory_corrupt.
        """
        if self._unsaved is not None:
            return self._unsaved
        try:
            data = (self._home / _NAME).read_bytes()
        except FileNotFoundError:
            return SyncMemory()
        try:
            return SyncMemory.model_validate_json(data)
        except ValidationError as error:
            raise _corrupt(error) from error

    def save(self, memory: SyncMemory) -> None:
        """Make a memory durable.

        Raises: OSError of the step that failed.
        """
        self._unsaved = memory
        document = self._redact(memory.model_dump(mode="json"))
        write_atomic(self._home / _NAME, orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
        self._unsaved = None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other loops out of the clone; the system ends this with the process at the latest.

        Raises: StateLockedError with reconcile_running.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._home / "reconcile.lock", flags, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise _running() from error
            yield
        finally:
            os.close(descriptor)


def _running() -> StateLockedError:
    return StateLockedError(
        "another reconcile works in this clone",
        code="reconcile_running",
        found="a held .brewslm/reconcile.lock",
        expected="a clone of its own for each loop",
        remedy="wait for it, or give this one another clone",
    )


def _corrupt(error: ValidationError) -> StateError:
    first = error.errors()[0]
    return StateError(
        "what the loop remembers cannot be read",
        code="reconcile_memory_corrupt",
        found=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
        expected="a file that this release wrote",
        remedy=f"mv .brewslm/{_NAME} .brewslm/{_NAME}.bad; failed commits are then tried once more",
    )
