"""Projects to plan: never applied, and applied with a promoted candidate."""

from pathlib import Path

import pytest

from tests.apply.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a project that was never applied."""
    return Bench.make(tmp_path / "project")


@pytest.fixture
def applied(bench: Bench) -> Bench:
    """Return a project whose candidate was promoted."""
    assert bench.apply().exit_code == 0
    return bench
