"""Several applies of one project at once: one at a time does the work, and whoever lost the lease
writes nothing.
"""

import itertools
import json
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from brewslm.state.documents import to_document
from brewslm.state.records import LeaseRecord
from tests.apply.bench import MANIFEST, Bench
from tests.faults.calls import Call, Launcher
from tests.faults.grounds import Ground, made_ground
from tests.faults.invariants import final, violations
from tests.faults.sweeping import swept

pytestmark = pytest.mark.slow

_AT_ONCE = 50
_UPDATES = 12
_LIFETIME_S = 0.5
_DEADLINE_S = 30.0
_STOPS = 36
_IDLE = ("runs/", "models/")
"""Where a woken process may leave what nothing names; the next run or gc takes it away."""
_LOST = ((1, True, False), (4, False, True))
"""How a woken process ends: exit code, and whether it says lease_lost or plan_stale."""


def _await(condition: Callable[[], object]) -> None:
    begun_s = time.monotonic()
    while not condition():
        assert time.monotonic() - begun_s < _DEADLINE_S
        time.sleep(0.01)


def _lease(bench: Bench) -> LeaseRecord | None:
    if not bench.store().exists():
        return None
    with closing(bench.store().read()) as state:
        return state.lease()


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
    _await(lambda: _lease(bench))
    held = _lease(bench)
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
    _await(lambda: following.out.exists() and following.out.read_text())
    writing = launcher.begin(bench.root, "apply", "--auto-approve", wait_s=1)
    _await(lambda: _lease(bench))
    seen = set()
    while _lease(bench):
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
    _await(lambda: len(following.out.read_text().splitlines()) == len(told))
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
    bench = Bench.make(folder / "fifty" / "project")
    arguments = ("apply", "--auto-approve", "--lock-timeout", "10m")
    calls = [launcher.begin(bench.root, *arguments) for _ in range(_AT_ONCE)]
    endings = [call.ended() for call in calls]
    codes = Counter(ending.code for ending in endings)
    assert [ending.said[-600:] for ending in endings if not ending.is_clean()] == []
    assert codes[0] >= 1
    assert set(codes) <= {0, 4}, [item.said for item in endings if item.code not in (0, 4)]
    assert violations(bench.root) == []
    with closing(bench.store().read()) as state:
        assert state.meta().fence == _AT_ONCE
        runs = [event.run_id for event in reversed(state.run_events())]
        trained = state.operations(kind="training_plan")
    assert len(trained) == 1
    assert len(_serials(bench)) == 1
    grouped = [run for run, _ in itertools.groupby(runs)]
    assert len(grouped) == len(set(grouped)), "events of two applies interleave"
    tell(f"{_AT_ONCE} applies at once: exit codes {dict(codes)}")


@pytest.mark.case("CON-01")
def test_no_update_of_concurrent_applies_is_lost(
    folder: Path, launchers: "SimpleQueue[Launcher]"
) -> None:
    bench = Bench.make(folder / "updates" / "project")
    for number in range(_UPDATES):
        text = MANIFEST.replace("2.0e-3", f"{number + 1}.0e-4")
        (bench.root / f"m{number}.yaml").write_text(text)

    def applied(number: int, launcher: Launcher) -> int:
        """Apply one manifest until nothing gets into its way; return how often that took."""
        arguments = ("--manifest", f"m{number}.yaml", "apply", "--auto-approve")
        for attempt in itertools.count(1):
            ending = launcher.call(bench.root, *arguments)
            if ending.code == 0:
                return attempt
            assert ending.code in (4, 5), ending.said
        raise AssertionError

    swept(applied, range(_UPDATES), launchers)
    assert violations(bench.root) == []
    with closing(bench.store().read()) as state:
        revisions = list(reversed(state.revisions()))
        serial = state.meta().serial
    rates = [_rate(revision.effective_manifest) for revision in revisions]
    assert sorted(rates) == [pytest.approx((number + 1) * 1e-4) for number in range(_UPDATES)]
    assert [item.revision for item in revisions] == list(range(1, _UPDATES + 1))
    ends = [(len(item.actions), item.serial) for item in revisions]
    steps = [after - before for (_, before), (_, after) in itertools.pairwise(ends)]
    assert steps == [count for count, _ in ends[1:]], "a serial is missing or was given twice"
    assert ends[-1][1] == serial


def _rate(document: Any) -> float:
    (rate,) = re.findall(r"'learning_rate': ([0-9.e-]+)", str(document))
    return float(rate)


def _is_stopped(call: Call) -> bool:
    text = Path(f"/proc/{call.pid}/stat").read_text()
    return text.rpartition(")")[2].split()[0] in "TZ"


def _stopped_and_woken(ground: Ground, point: int, launcher: Launcher) -> tuple[str, list[str]]:
    """Stop a holder at a point, take over, wake it; return how it went and what was wrong."""
    bench = Bench(ground.project.with_name(f"stop.{point}"))
    shutil.copytree(ground.project, bench.root, symlinks=True)
    trouble = {"kind": "stop", "at": point}
    first = launcher.begin(
        bench.root, "apply", "--auto-approve", trouble=trouble, lifetime_s=_LIFETIME_S
    )
    _await(partial(_is_stopped, first))
    time.sleep(_LIFETIME_S)
    bench.edit("2.0e-3", "1.0e-3")
    second = launcher.apply(bench.root, lifetime_s=_LIFETIME_S)
    found = []
    if second.code != 0:
        first.signal(signal.SIGCONT)
        woken = first.ended()
        if "[state_write_failed]" not in second.err or woken.code != 0:
            found.append(f"kept out: {second.said[-300:]}; woken: {woken.said[-300:]}")
        kind = "kept out"
    else:
        before = _everything(bench)
        first.signal(signal.SIGCONT)
        woken = first.ended()
        told = ("[lease_lost]" in woken.err, "[plan_stale]" in woken.err)
        if (woken.code, *told) not in _LOST or not woken.is_clean():
            found.append(f"woken: {woken.code} {woken.said[-300:]}")
        after = _everything(bench)
        found += [f"{name} changed" for name in before if before[name] != after[name]]
        kind = "taken over"
    found += violations(bench.root)
    shutil.rmtree(bench.root)
    return kind, [f"{point} {ground.points[point]}: {item}" for item in found]


def _everything(bench: Bench) -> dict[str, Any]:
    """Return what a project came to and all that its state holds."""
    with closing(bench.store().read()) as state:
        whole = {
            "meta": state.meta(),
            "operations": [to_document(item) for item in state.operations()],
            "events": [to_document(item) for item in state.run_events()],
            "deployments": [to_document(item) for item in state.deployments()],
        }
    come_to = final(bench.root)
    counting = [name for name in come_to["files"] if not name.startswith(_IDLE)]
    return {**come_to, "files": counting, **whole}


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
    went = swept(partial(_stopped_and_woken, ground), [*points, *links], launchers)
    found = [item for _, items in went for item in items]
    counts = dict(Counter(kind for kind, _ in went))
    tell(f"stopped holders: {counts}, {len(found)} violations")
    assert not found, "\n".join(found)
