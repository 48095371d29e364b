"""What several rooms' tests start from: a whole project, applied once and copied for each test."""

import gc
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import Scheduling, WorkStealingScheduling

from tests.apply.bench import Bench
from tests.faults.calls import Launcher
from tests.servers import object_server, postgresql_binaries, postgresql_server

_THREADS = "OMP_NUM_THREADS"
MEMORY = Path("/dev/shm")  # noqa: S108  a file system, not a file
_TEMPORARY_ROOT = "PYTEST_DEBUG_TEMPROOT"
_ROOM_BYTES = 4 << 30
_NUMBER = re.compile(r"[A-Z]{3}-[0-9]{2}")
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
_TOLD = "told"
_CASES = pytest.StashKey[dict[str, list[str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--cases`."""
    parser.addoption(
        "--cases", action="store_true", help="list the numbered cases and the tests of each"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep the tests' folders in memory where there is room for them, and share the cores out.

    Tests sync tens of thousands of files, and wait for a disk most of their time otherwise.
    TMPDIR or --basetemp names another place. Each process that runs tests, and what it starts,
    takes as many threads as there are cores for it; more of them would only wait for each other.
    """
    if processes := config.getoption("numprocesses", None):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        os.environ.setdefault(_THREADS, str(max(1, cores // processes)))
    is_named = _TEMPORARY_ROOT in os.environ or "TMPDIR" in os.environ
    if not is_named and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= _ROOM_BYTES:
        os.environ[_TEMPORARY_ROOT] = str(MEMORY)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Give each process a run of neighbours, and the rest of a slower one to who is done first.

    What the tests of a module share is made once so; by default neighbours alternate.
    """
    is_default = config.getoption("dist") == "load"
    return WorkStealingScheduling(config, log) if is_default else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse misspelt numbers, and keep which tests stand for which case."""
    tests: dict[str, list[str]] = {}
    for item in items:
        numbers = [str(number) for mark in item.iter_markers("case") for number in mark.args]
        if wrong := [number for number in numbers if not _NUMBER.fullmatch(number)]:
            raise pytest.UsageError(f"{item.nodeid}: no case is called {', '.join(wrong)}")
        for number in numbers:
            tests.setdefault(number, []).append(item.nodeid)
    config.stash[_CASES] = tests


def pytest_collection_finish() -> None:
    """Spare every later collection of garbage what loading made; trainers ask for many."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what tests told, and the cases when asked to."""
    reports = [item for items in terminalreporter.stats.values() for item in items]
    told = [
        str(value)
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == _TOLD and report.when == "call"
    ]
    if told:
        terminalreporter.section("measured")
        for line in sorted(told):
            terminalreporter.line(line)
    if not config.getoption("--cases"):
        return
    tests = config.stash.get(_CASES, {})
    terminalreporter.section(f"{len(tests)} cases")
    for number, names in sorted(tests.items()):
        terminalreporter.line(
            f"{number}  {names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)}"
        )


@pytest.fixture(scope="session", autouse=True)
def cleared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Remove all folders after tests that all passed."""
    yield
    if not request.session.testsfailed:
        shutil.rmtree(tmp_path_factory.getbasetemp(), ignore_errors=True)


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Return what prints a line of results below all tests, whichever process ran them."""
    return partial(record_property, _TOLD)


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Let files and folders have whatever mode they are made with."""
    before = os.umask(0)
    yield
    os.umask(before)


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
def launcher() -> Iterator[Launcher]:
    """Lend what starts calls as processes; loading it takes seconds."""
    with Launcher() as launcher:
        yield launcher


@pytest.fixture(scope="session")
def launchers(launcher: Launcher) -> Iterator["SimpleQueue[Launcher]"]:
    """Lend as many launchers as processes may work at a time, all of them idle."""
    idle: SimpleQueue[Launcher] = SimpleQueue()
    with Launcher() as second:
        for each in (launcher, second):
            idle.put(each)
        yield idle


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


@pytest.fixture(scope="session")
def object_address() -> Iterator[str]:
    """Lend the address of an S3 that is gone after the tests."""
    for name in ("obstore", "moto"):
        pytest.importorskip(name, reason=f"{name} is not installed here")
    with object_server() as address:
        yield address


@pytest.fixture
def bucket_url(object_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URL of a folder of objects with nothing in it; the environment knows the way."""
    for name, value in {
        "AWS_ENDPOINT_URL": object_address,
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "c4n4ry-s3cr3t",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    return f"s3://brewslm/{secrets.token_hex(6)}"
