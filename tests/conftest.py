"""What several rooms' tests start from: a whole project, applied once and copied for each test."""

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apply.bench import Bench
from tests.servers import postgresql_binaries, postgresql_server


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


@pytest.fixture(scope="session")
def postgresql_socket() -> Iterator[Path]:
    """Lend the socket folder of a server that is gone after the tests."""
    binaries = postgresql_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server binaries are installed here")
    with postgresql_server(binaries) as folder:
        yield folder


@pytest.fixture
def postgresql_url(postgresql_socket: Path) -> str:
    """Return the URL of a state that was never made."""
    schema = f"state_{secrets.token_hex(6)}"
    pytest.importorskip("psycopg", reason="the driver of PostgreSQL is not installed here")
    return f"postgresql://brewslm@/postgres?host={postgresql_socket}&schema={schema}"
