"""Where the sweeps run."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Return a folder in memory where the system has one: syncs cost nothing there."""
    memory = Path("/dev/shm")  # noqa: S108  only its existence is asked for
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        yield Path(name)
