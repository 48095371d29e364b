"""Trying many things at a time, each with a launcher of its own."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from tests.faults.calls import Launcher

T = TypeVar("T")
R = TypeVar("R")


def swept(
    trial: Callable[[T, Launcher], R], cases: Sequence[T], launchers: "SimpleQueue[Launcher]"
) -> list[R]:
    """Return what each case yields; as many run at a time as there are launchers."""

    def one(case: T) -> R:
        launcher = launchers.get()
        try:
            return trial(case, launcher)
        finally:
            launchers.put(launcher)

    with ThreadPoolExecutor(launchers.qsize()) as pool:
        return list(pool.map(one, cases))
