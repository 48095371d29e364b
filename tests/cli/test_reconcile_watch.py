"""`brewslm reconcile --watch`: real processes that follow a real hub, are stopped, killed, and met
by each other.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.apply.bench import Bench
from tests.cli.hub import Hub, codes, reports, stand
from tests.cli.repository import git
from tests.faults.calls import Call, Launcher
from tests.faults.invariants import violations

pytestmark = pytest.mark.slow

_DEADLINE_S = 60.0
Watched = Callable[..., Call]
_WATCH = ("reconcile", "--remote", "origin", "--watch", "--interval", "1s", "--max-backoff", "1s")


@pytest.fixture
def hub(tmp_path: Path, launcher: Launcher) -> Hub:
    """Return a hub whose clone was never reconciled."""
    return Hub.make(tmp_path / "all", launcher)


@pytest.fixture
def watched(hub: Hub) -> Iterator[Watched]:
    """Lend what begins loops; one that a test did not end is killed."""
    begun: list[Call] = []

    def begin(*arguments: str, **wanted: Any) -> Call:
        begun.append(hub.launcher.begin(hub.agent.root, *_WATCH, "--json", *arguments, **wanted))
        return begun[-1]

    yield begin
    for call in begun:
        with suppress(ProcessLookupError):
            call.signal(signal.SIGKILL)


def _lines(call: Call) -> list[dict[str, Any]]:
    text = call.out.read_text() if call.out.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def _await(condition: Callable[[], object]) -> None:
    begun_s = time.monotonic()
    while not condition():
        assert time.monotonic() - begun_s < _DEADLINE_S
        time.sleep(0.02)


def _await_report(call: Call, wanted: str, revision: str = "", further: int = 1) -> None:
    """Wait for as many reports of a commit that stand so."""
    _await(
        lambda: (
            sum(
                stand(item) == wanted and item["sync"]["revision"].startswith(revision)
                for item in _lines(call)
            )
            >= further
        )
    )


def _begun(call: Call, revision: str) -> int:
    """Return how many applies of a commit a loop reported to begin."""
    return sum(
        (item["operation"] or {}).get("phase") == "Running"
        and item["operation"]["revision"] == revision
        for item in _lines(call)
    )


def test_loop_applies_a_push_leaves_a_failing_one_takes_the_mend_and_ends(
    hub: Hub, watched: Watched
) -> None:
    loop = watched()
    _await_report(loop, "Synced/Healthy")
    champion = hub.agent.promoted()
    failing = hub.push_failing("unskilled", "1.0e-3")
    _await_report(loop, "OutOfSync/Degraded", failing, further=4)
    assert _begun(loop, failing) == 1
    assert hub.agent.promoted() == champion
    assert hub.trainings() == 2
    (hub.desk.root / "unskilled").unlink()
    mend = hub.push(("1.0e-3", "3.0e-3"))
    _await_report(loop, "Synced/Healthy", mend)
    assert hub.agent.promoted() != champion
    loop.signal(signal.SIGTERM)
    ended = loop.ended()
    assert (ended.code, ended.is_clean()) == (0, True), ended.said
    assert stand(hub.status()) == "Synced/Healthy"
    assert hub.trainings() == 3
    assert violations(hub.agent.root) == []


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_sleeping_loop_ends_at_once(
    watched: Watched, number: signal.Signals, exit_code: int
) -> None:
    call = watched("--interval", "1h")
    _await_report(call, "Synced/Healthy")
    call.signal(number)
    assert call.ended().code == exit_code


def test_signal_amid_an_apply_lets_it_stop_in_order_and_a_restart_goes_on(
    hub: Hub, watched: Watched
) -> None:
    loop = watched(wait_s=2)
    _await(lambda: hub.agent.store().exists() and hub.trainings())
    loop.signal(signal.SIGTERM)
    ended = loop.ended()
    assert (ended.code, codes(reports(ended)[-1])) == (130, ["interrupted"])
    assert violations(hub.agent.root) == []
    assert stand(hub.report()) == "Synced/Healthy"


def test_killed_loop_goes_on_after_a_restart(hub: Hub, watched: Watched) -> None:
    loop = watched(wait_s=30)
    _await(lambda: hub.agent.store().exists() and _checkpoints(hub.agent))
    loop.signal(signal.SIGKILL)
    loop.ended()
    assert hub.status()["operation"]["phase"] == "Running"
    again = hub.reconcile("--json")
    begun, ended = reports(again)
    assert begun["operation"]["attempts"] == 2
    assert stand(ended) == "Synced/Healthy"
    assert violations(hub.agent.root) == []


def test_commit_that_kills_the_process_again_and_again_is_left(hub: Hub, watched: Watched) -> None:
    for _ in range(3):
        loop = watched(wait_s=30)
        _await(partial(_begun, loop, _head(hub)))
        loop.signal(signal.SIGKILL)
        loop.ended()
    left = hub.reconcile("--json")
    assert (left.code, codes(reports(left)[-1])) == (1, ["died_repeatedly", "not_retried"])
    assert stand(hub.report("--retry")) == "Synced/Healthy"


def _head(hub: Hub) -> str:
    return git(hub.desk.root, "rev-parse", "HEAD")


def _is_synced(loops: Sequence[Call], revision: str) -> bool:
    return any(
        stand(item) == "Synced/Healthy" and item["sync"]["revision"] == revision
        for loop in loops
        for item in _lines(loop)
    )


def _checkpoints(bench: Bench) -> list[Path]:
    return list((bench.home / "runs").glob("**/checkpoint-5/state.json"))


def test_loop_ends_when_its_clone_is_gone(hub: Hub, watched: Watched) -> None:
    loop = watched()
    _await_report(loop, "Synced/Healthy")
    hub.agent.root.rename(hub.folder / "elsewhere")
    ended = loop.ended()
    assert (ended.code, "error[no_clone]" in ended.err) == (1, True)
    assert not hub.agent.root.exists(), "no empty folder was made in its place"


def test_two_loops_in_one_clone_do_the_work_once(hub: Hub, watched: Watched) -> None:
    first, second = watched(wait_s=1), watched(wait_s=1)
    for before, after in (("2.0e-3", "3.0e-3"), ("3.0e-3", "4.0e-3")):
        pushed = hub.push((before, after))
        _await(partial(_is_synced, (first, second), pushed))
    for loop in (first, second):
        loop.signal(signal.SIGTERM)
        assert loop.ended().is_clean()
    met = [code for loop in (first, second) for item in _lines(loop) for code in codes(item)]
    assert set(met) <= {"reconcile_running"}
    assert violations(hub.agent.root) == []
    with closing(hub.agent.store().read()) as state:
        assert len(state.operations(kind="training_plan")) == len(state.revisions())


def test_loop_backs_off_while_somebody_else_holds_the_lease(hub: Hub, watched: Watched) -> None:
    busy = hub.launcher.begin(hub.agent.root, "apply", "--auto-approve", wait_s=3)
    _await(lambda: hub.agent.store().exists() and _checkpoints(hub.agent))
    loop = watched()
    _await(lambda: any("state_locked" in codes(item) for item in _lines(loop)))
    waiting = next(item for item in _lines(loop) if "state_locked" in codes(item))
    assert (waiting["sync"]["status"], waiting["next_retry_at"] is not None) == ("OutOfSync", True)
    assert busy.ended().code == 0
    _await_report(loop, "Synced/Healthy")
    loop.signal(signal.SIGTERM)
    assert loop.ended().code == 0
    assert hub.trainings() == 1
    assert violations(hub.agent.root) == []


def test_loop_outlives_a_hub_that_is_gone_for_a_while(hub: Hub, watched: Watched) -> None:
    loop = watched()
    _await_report(loop, "Synced/Healthy")
    (hub.folder / "hub.git").rename(hub.folder / "gone.git")
    _await(lambda: any("fetch_failed" in codes(item) for item in _lines(loop)))
    (hub.folder / "gone.git").rename(hub.folder / "hub.git")
    pushed = hub.push(("2.0e-3", "1.0e-3"))
    _await_report(loop, "Synced/Healthy", pushed)
    loop.signal(signal.SIGTERM)
    assert loop.ended().code == 0
