"""Several applies of one project at once: one at a time does the work, and whoever lost the lease
writes nothing.
"""

import json
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

import pytest

from brewslm.state.documents import to_document
from tests.apply.bench import Bench
from tests.faults.calls import Launcher
from tests.faults.crowds import every_update_recorded, work_done_once
from tests.faults.grounds import made_ground
from tests.faults.invariants import violations
from tests.faults.sweeping import swept
from tests.faults.takeovers import Takeover, lease_of, until

pytestmark = pytest.mark.slow

_AT_ONCE = 50
_UPDATES = 12
_STOPS = 36


def _serials(bench: Bench) -> list[tuple[int, int]]:
    """Return number and serial of each revision, oldest first."""
    with closing(bench.store().read()) as state:
        return [(item.revision, item.serial) for item in reversed(state.revisions())]


@pytest.mark.case("CON-01")
def test_second_apply_is_told_who_holds_the_lease_and_how_to_get_out(
    folder: Path, launcher: Launcher
) -> None:
    bench = Bench.make(folder / "held" / "project")
    first = launcher.begin(bench.root, "apply", "--auto-approve", wait_s=2)
    until(lambda: lease_of(bench))
    held = lease_of(bench)
    assert held is not None
    second = launcher.apply(bench.root)
    assert second.code == 5
    for text in ("state_locked", held.holder, held.lease_id, f"pid {first.pid}"):
        assert text in second.err
    assert f"since {held.acquired_at}" in second.err
    assert f"until {held.expires_at}" in second.err
    assert f"brewslm force-unlock {held.lease_id}" in second.err
    assert "--lock-timeout" in second.err
    assert first.ended().code == 0
    assert violations(bench.root) == []


@pytest.mark.case("CON-05")
def test_readers_beside_an_apply_see_whole_states_and_are_in_nobodys_way(
    folder: Path, launcher: Launcher
) -> None:
    bench = Bench.make(folder / "read" / "project")
    assert launcher.apply(bench.root).code == 0
    before = _serials(bench)
    bench.edit("2.0e-3", "1.0e-3")
    following = launcher.begin(bench.root, "events", "--follow", "--json")
    until(lambda: following.out.exists() and following.out.read_text())
    writing = launcher.begin(bench.root, "apply", "--auto-approve", wait_s=1)
    until(lambda: lease_of(bench))
    seen = set()
    while lease_of(bench):
        for words in (("plan", "--json"), ("show", "--json"), ("events", "--json")):
            ending = launcher.call(bench.root, *words)
            assert (ending.code, ending.is_clean()) == (0, True), ending.said
        with closing(bench.store().read()) as state:
            ended = len(state.operations()) - len(state.operations(only_open=True))
            seen.add((state.meta().serial, ended))
    assert writing.ended().code == 0
    assert len({serial for serial, _ in seen}) == len(seen), "one serial had two contents"
    assert len(_serials(bench)) == len(before) + 1
    with closing(bench.store().read()) as state:
        assert state.meta().fence == 2, "a reader took the lease"
        told = [to_document(item) for item in reversed(state.run_events())]
    until(lambda: len(following.out.read_text().splitlines()) == len(told))
    following.signal(signal.SIGINT)
    ending = following.ended()
    assert (ending.code, ending.err) == (130, "")
    assert [json.loads(line) for line in ending.out.splitlines()] == told
    assert violations(bench.root) == []


@pytest.mark.case("PLN-06")
def test_two_copies_of_a_plan_at_once_do_the_work_once(folder: Path, launcher: Launcher) -> None:
    bench = Bench.make(folder / "copies" / "project")
    assert launcher.apply(bench.root).code == 0
    bench.edit("2.0e-3", "1.0e-3")
    copies = [bench.root / f"{name}.plan.json" for name in "ab"]
    assert launcher.call(bench.root, "plan", "--out", str(copies[0])).code == 0
    shutil.copyfile(*copies)
    calls = [launcher.begin(bench.root, "apply", str(path), wait_s=1) for path in copies]
    endings = [call.ended() for call in calls]
    assert [item.said[-600:] for item in endings if not item.is_clean()] == []
    codes = sorted(ending.code for ending in endings)
    assert codes in ([0, 4], [0, 5])
    with closing(bench.store().read()) as state:
        assert len(state.operations(kind="training_plan")) == 2
    assert len(_serials(bench)) == 2
    assert violations(bench.root) == []


@pytest.mark.case("CON-04")
def test_fifty_applies_at_once_do_the_work_once(
    folder: Path, launcher: Launcher, tell: Callable[[str], None]
) -> None:
    codes = work_done_once(Bench.make(folder / "fifty" / "project"), launcher, _AT_ONCE)
    tell(f"{_AT_ONCE} applies at once: exit codes {dict(codes)}")


@pytest.mark.case("CON-01")
def test_no_update_of_concurrent_applies_is_lost(
    folder: Path, launchers: "SimpleQueue[Launcher]"
) -> None:
    every_update_recorded(Bench.make(folder / "updates" / "project"), launchers, _UPDATES)


@pytest.mark.case("CON-02")
def test_holder_that_is_stopped_and_woken_after_a_takeover_writes_nothing(
    folder: Path, launchers: "SimpleQueue[Launcher]", tell: Callable[[str], None]
) -> None:
    launcher = launchers.get()
    ground = made_ground("fresh", launcher, folder / "stopped")
    launchers.put(launcher)
    commits = [index for index, name in enumerate(ground.points) if name == "after commit: state"]
    under_lease = range(commits[0], commits[-3])
    points = under_lease[:: len(under_lease) // _STOPS]
    links = [index for index in under_lease if "link: champion" in ground.points[index]]

    def trial(point: int, launcher: Launcher) -> tuple[str, list[str]]:
        project = ground.project.with_name(f"stop.{point}")
        shutil.copytree(ground.project, project, symlinks=True)
        takeover = Takeover(project, project, {"kind": "stop", "at": point})
        went = takeover.tried(launcher)
        shutil.rmtree(project)
        return went.kind, [f"{point} {ground.points[point]}: {item}" for item in went.wrong]

    went = swept(trial, [*points, *links], launchers)
    found = [item for _, items in went for item in items]
    counts = dict(Counter(kind for kind, _ in went))
    tell(f"stopped holders: {counts}, {len(found)} violations")
    assert not found, "\n".join(found)
