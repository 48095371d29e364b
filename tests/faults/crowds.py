"""Many applies of one project at once, and what must hold of it afterwards."""

import itertools
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from queue import SimpleQueue
from typing import Any

import pytest

from tests.apply.bench import Bench
from tests.faults.calls import Launcher
from tests.faults.invariants import violations
from tests.faults.sweeping import swept

_ALONE: Mapping[str, str] = {}


def work_done_once(
    bench: Bench, launcher: Launcher, amount: int, environment: Mapping[str, str] = _ALONE
) -> Counter[int]:
    """Start as many applies together, check that one after the other held the lease and that the
    work was done once; return the exit codes.
    """
    arguments = ("apply", "--auto-approve", "--lock-timeout", "10m")
    calls = [launcher.begin(bench.root, *arguments, environment=environment) for _ in range(amount)]
    endings = [call.ended() for call in calls]
    codes = Counter(ending.code for ending in endings)
    assert [ending.said[-600:] for ending in endings if not ending.is_clean()] == []
    assert codes[0] >= 1
    assert set(codes) <= {0, 4}, [item.said for item in endings if item.code not in (0, 4)]
    assert violations(bench.root) == []
    with closing(bench.store().read()) as state:
        assert state.meta().fence == amount
        runs = [event.run_id for event in reversed(state.run_events())]
        trained = state.operations(kind="training_plan")
        assert len(state.revisions()) == 1
    assert len(trained) == 1
    grouped = [run for run, _ in itertools.groupby(runs)]
    assert len(grouped) == len(set(grouped)), "events of two applies interleave"
    return codes


def every_update_recorded(
    bench: Bench,
    launchers: "SimpleQueue[Launcher]",
    amount: int,
    environment: Mapping[str, str] = _ALONE,
) -> None:
    """Apply as many manifests, each until nothing gets into its way, and check that every one has
    its revision and every serial was given once.
    """
    manifest = (bench.root / "brewslm.yaml").read_text()
    for number in range(amount):
        text = manifest.replace("2.0e-3", f"{number + 1}.0e-4")
        (bench.root / f"m{number}.yaml").write_text(text)

    def applied(number: int, launcher: Launcher) -> None:
        arguments = ("--manifest", f"m{number}.yaml", "apply", "--auto-approve")
        while (ending := launcher.call(bench.root, *arguments, environment=environment)).code:
            assert ending.code in (4, 5), ending.said

    swept(applied, range(amount), launchers)
    assert violations(bench.root) == []
    with closing(bench.store().read()) as state:
        revisions = list(reversed(state.revisions()))
        serial = state.meta().serial
    rates = [_rate(revision.effective_manifest) for revision in revisions]
    assert sorted(rates) == [pytest.approx((number + 1) * 1e-4) for number in range(amount)]
    assert [item.revision for item in revisions] == list(range(1, amount + 1))
    ends = [(len(item.actions), item.serial) for item in revisions]
    steps = [after - before for (_, before), (_, after) in itertools.pairwise(ends)]
    assert steps == [count for count, _ in ends[1:]], "a serial is missing or was given twice"
    assert ends[-1][1] == serial


def _rate(document: Any) -> float:
    (rate,) = re.findall(r"'learning_rate': ([0-9.e-]+)", str(document))
    return float(rate)
