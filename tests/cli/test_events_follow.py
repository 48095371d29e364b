"""`events --follow` as a process of its own: what it tells, and the ways it ends."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from brewslm.state.store import StateSession
from brewslm.state.stores.sqlite import SqliteStore
from tests.state.states import LINEAGE, NOW, lease, run_event

Following = subprocess.Popen[str]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with a manifest and no state yet."""
    (tmp_path / "brewslm.yaml").write_text("apiVersion: brewslm/v1\n")
    return tmp_path


@contextmanager
def following(project: Path, *words: str) -> Iterator[Following]:
    """Lend a process that follows; it is gone afterwards."""
    child = subprocess.Popen(
        [sys.executable, "-m", "brewslm", "--chdir", project, "events", "--follow", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


@contextmanager
def writing(project: Path) -> Iterator[StateSession]:
    """Hold the lease of a state, which is made if there is none."""
    store = SqliteStore(project / ".brewslm" / "state.db")
    if not store.exists():
        store.create(LINEAGE)
    with closing(store.acquire(lease(), NOW)) as session:
        yield session


def line(child: Following) -> str:
    assert child.stdout is not None
    return child.stdout.readline()


def told(child: Following) -> tuple[int, str]:
    """Return number and summary of the next event; it comes while the process goes on."""
    document = json.loads(line(child))
    assert child.poll() is None
    return document["sequence"], document["summary"]


@pytest.mark.slow
@pytest.mark.case("CON-05")
def test_events_come_one_line_each_in_their_order(project: Path) -> None:
    with writing(project) as session:
        for number in range(3):
            session.add_run_event(run_event(summary=f"early {number}"))
        with following(project, "--json", "--limit", "2") as child:
            assert [told(child), told(child)] == [(2, "early 1"), (3, "early 2")]
            for number in range(200):
                session.add_run_event(run_event(summary=f"late {number}"))
            assert [told(child) for _ in range(200)] == [(4 + n, f"late {n}") for n in range(200)]
            assert session.lease() is not None
            child.send_signal(signal.SIGINT)
            assert child.wait(10) == 130
            assert child.stderr is not None
            assert (child.stderr.read(), line(child)) == ("", "")


@pytest.mark.slow
def test_state_that_is_made_later_is_followed_too(project: Path) -> None:
    with following(project, "--severity", "warning") as child, writing(project) as session:
        session.add_run_event(run_event(summary="left out"))
        session.add_run_event(run_event(severity="warning", summary="asked for"))
        assert line(child).endswith("asked for\n")
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 130


@pytest.mark.slow
@pytest.mark.parametrize("close", ["quietly", "before a line"])
def test_closed_pipe_ends_it_quietly(project: Path, close: str) -> None:
    with writing(project) as session:
        session.add_run_event(run_event())
        with following(project, "--json") as child:
            assert told(child)[0] == 1
            assert child.stdout is not None
            child.stdout.close()
            if close == "before a line":
                session.add_run_event(run_event())
            assert child.wait(10) == 0
            assert child.stderr is not None
            assert child.stderr.read() == ""
