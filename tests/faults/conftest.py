"""Where the sweeps run, and what runs the calls."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.faults.calls import Launcher


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Return a folder in memory where the system has one: syncs cost nothing there."""
    memory = Path("/dev/shm")  # noqa: S108  only its existence is asked for
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def launchers() -> Iterator["SimpleQueue[Launcher]"]:
    """Return as many launchers as processes may work at a time."""
    idle: SimpleQueue[Launcher] = SimpleQueue()
    with Launcher() as first, Launcher() as second:
        for launcher in (first, second):
            idle.put(launcher)
        yield idle


@pytest.fixture
def launcher(launchers: "SimpleQueue[Launcher]") -> Launcher:
    """Return one launcher, which stays among the idle ones: nothing else runs meanwhile."""
    launcher = launchers.get()
    launchers.put(launcher)
    return launcher
