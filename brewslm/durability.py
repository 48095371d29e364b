"""The steps that make a change durable; each is announced before and after it is taken.

Nobody listens in the shipped program. Whoever wants to know what a crash or a failing disk does at
one of them sets `watcher`: it may end the process there, or raise the error of a failing step.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path


class Step(StrEnum):
    """What kind of durable step it is."""

    FOLDER = "make folder"
    WRITE = "write file"
    SYNC = "sync file"
    SYNC_FOLDER = "sync folder"
    MOVE = "move into place"
    LINK = "make link"
    REMOVE = "remove"
    COMMIT = "commit"


Watcher = Callable[[Step, str, bool], None]
"""Called with the step, what it is done to, and whether it has been taken already."""

watcher: Watcher | None = None

_UNWATCHED = nullcontext()


def durable(step: Step, what: Path) -> AbstractContextManager[None]:
    """Enclose one step; costs nothing to speak of while nobody watches."""
    return _UNWATCHED if watcher is None else _watched(watcher, step, str(what))


@contextmanager
def _watched(watch: Watcher, step: Step, what: str) -> Iterator[None]:
    watch(step, what, False)
    yield
    watch(step, what, True)
