"""Folders whose tests load torch are read where such tests are wanted."""

from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_MARKS = {"loaded": ["slow"], "gpu": ["slow", "gpu"]}
"""By folder: the marks that its tests bear."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave a folder unread when all its tests are left out: its conftest loads torch already,
    which takes seconds.
    """
    marks = _MARKS.get(collection_path.relative_to(_HERE).parts[0])
    wanted = str(config.getoption("markexpr"))
    return True if marks and all(f"not {mark}" in wanted for mark in marks) else None
