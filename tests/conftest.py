"""What several rooms' tests start from: a whole project, applied once and copied for each test."""

import shutil
from pathlib import Path

import pytest

from tests.apply.bench import Bench


@pytest.fixture(scope="session")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a project whose candidate was promoted; for copies alone."""
    bench = Bench.make(tmp_path_factory.mktemp("promoted") / "project")
    assert bench.apply().exit_code == 0
    return bench.root


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a project that was never applied."""
    return Bench.make(tmp_path / "project")


@pytest.fixture
def applied(promoted: Path, tmp_path: Path) -> Bench:
    """Return a project whose candidate was promoted."""
    return copied(promoted, tmp_path / "applied")


def copied(project: Path, target: Path) -> Bench:
    """Return a copy of a project with all that it remembers."""
    shutil.copytree(project, target, symlinks=True)
    return Bench(target)
