"""Promotions and rollbacks at once: whoever planned on the pointer as it was moves it, or nobody
else's move is undone.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from brewslm.apply.clock import SystemClock
from brewslm.apply.desk import Place
from brewslm.apply.executor import ApplyFacts
from brewslm.apply.outcome import Outcome
from brewslm.apply.rollback import roll_back
from brewslm.contracts import Output
from brewslm.errors import BrewError, ExitCode
from brewslm.fingerprint import digest_folder
from brewslm.plan.build import Built
from brewslm.plan.digest_cache import DigestCache
from brewslm.plan.placed import short_name
from brewslm.plan.rollback import Rollback, check_target, plan_rollback
from brewslm.plan.rollback_base import Surroundings
from brewslm.plan.selection import Selection
from brewslm.state.lease import LIFETIME_S, wanted_lease
from brewslm.state.records import DeploymentRecord, RevisionRecord
from brewslm.state.store import StateStore
from tests.apply.bench import Bench
from tests.faults.calls import Ending, Launcher
from tests.faults.invariants import violations
from tests.faults.turns import Turns, TurnStore

pytestmark = [pytest.mark.slow, pytest.mark.case("DEP-02")]

_ORDERS = 1000
_ROUNDS = 12
_FACTS = ApplyFacts(apply_id="r1", actor="ana@desk", git_commit="")
_BESIDES = {"plan_stale": 4, "state_locked": 5, "deployment_conflict": 1, "lease_lost": 1}
"""How an actor may end that did not move the pointer, and its exit code."""


@dataclass
class Actor(Bench):
    """A project as one of several actors sees it, who take turns at its state."""

    turns: Turns | None = None
    is_impatient: bool = False

    def store(self) -> StateStore:
        """Return the state, whose operations wait for this actor's turn."""
        assert self.turns is not None
        store: StateStore = TurnStore(super().store(), self.turns, is_impatient=self.is_impatient)
        return store

    def promote(self, built: Built) -> Outcome:
        """Carry out a plan that promotes."""
        outcome = self.apply(built)
        if outcome.lost is not None:
            raise outcome.lost
        return outcome

    def roll_back(self, rollback: Rollback | None) -> RevisionRecord:
        """Carry out a rollback, planned here and now where none was planned before."""
        if rollback is None:
            with closing(Bench.store(self).read()) as state:
                rollback = plan_rollback(state, self.artifacts(), None, _around(self))
        assert rollback is not None
        clock = SystemClock()
        wanted = wanted_lease("ana@desk", "rollback", clock.now(), clock.after(LIFETIME_S), {})
        session = self.store().acquire(wanted, clock.now())
        try:
            return roll_back(rollback, Place(self.home, self.artifacts()), session, _FACTS, clock)
        finally:
            session.release()


@dataclass(frozen=True)
class Crossroads:
    """A project with two promotions, and what was planned on them."""

    bench: Bench
    kept: Path
    first: Built
    second: Built
    rollback: Rollback

    def back(self) -> None:
        """Put the project back to where everything was planned."""
        for name in ("state.db", "state.db-wal", "state.db-shm"):
            (self.bench.home / name).unlink(missing_ok=True)
        for name in ("promoted", "runs", "models"):
            shutil.rmtree(self.bench.home / name, ignore_errors=True)
        shutil.copytree(self.kept, self.bench.home, symlinks=True, dirs_exist_ok=True)


@pytest.fixture(scope="module")
def crossroads(folder: Path) -> Crossroads:
    bench = Bench.make(folder / "crossroads" / "project")
    rates = ("2.0e-3", "1.0e-3", "5.0e-4", "4.0e-4")
    all_but_deployment = Selection(excludes=("deployment",))
    assert bench.apply().exit_code is ExitCode.DONE
    bench.edit(rates[0], rates[1])
    assert bench.apply().exit_code is ExitCode.DONE
    for before, after in (rates[1:3], rates[2:4]):
        bench.edit(before, after)
        built = bench.built(selection=all_but_deployment)
        assert bench.apply(built).exit_code is ExitCode.DONE
    second = bench.built()
    bench.edit(rates[3], rates[2])
    first = bench.built()
    with closing(bench.store().read()) as state:
        rollback = plan_rollback(state, bench.artifacts(), None, _around(bench))
    assert rollback is not None
    kept = folder / "crossroads" / "kept"
    ignore = shutil.ignore_patterns("store", "cache", "exports", "backups")
    shutil.copytree(bench.home, kept, symlinks=True, ignore=ignore)
    return Crossroads(bench, kept, first, second, rollback)


def _around(bench: Bench) -> Surroundings:
    return Surroundings(bench.root, {}, DigestCache(0))


def _promotions(bench: Bench) -> list[DeploymentRecord]:
    with closing(bench.store().read()) as state:
        return state.deployments()


def _wrong(bench: Bench, before: int, gave: list[object], *, most: int) -> list[str]:
    """Return what is wrong after actors ended that may have moved the pointer so often."""
    promotions = _promotions(bench)
    moved = len(promotions) - before
    wrong = violations(bench.root)
    errors = [item for item in gave if isinstance(item, BrewError)]
    for error in errors:
        if _BESIDES.get(error.code) != error.exit_code:
            wrong.append(f"{error.code} ({error.exit_code}): {error.found}")
    unfinished = [item for item in gave if isinstance(item, Outcome) and item.exit_code]
    wrong += [f"an apply ended with {item.exit_code}" for item in unfinished]
    # whoever lost the lease may have recorded enough before to outdate the other one's plan
    least = 0 if "lease_lost" in {error.code for error in errors} else 1
    if not least <= moved <= most:
        wrong.append(f"the pointer moved {moved} times")
    if moved < len(gave) - len(errors):
        wrong.append(
            f"{len(gave) - len(errors)} say they moved the pointer, it moved {moved} times"
        )
    newest, *earlier = promotions
    if bench.promoted() != short_name(newest.digest):
        wrong.append(f"the link names {bench.promoted()}, the row {newest.digest}")
    if bench.records()["deployment"].outputs["promoted"].digest != newest.digest:
        wrong.append("record and promotion differ")
    predecessor = next(item for item in earlier if item.digest != newest.digest)
    for promotion in (newest, predecessor):
        check_target(bench.artifacts(), promotion)
        loaded = bench.root.with_name("loaded")
        bench.artifacts().materialise(Output(promotion.digest, 0, is_folder=True), loaded)
        if digest_folder(loaded) != promotion.digest:
            wrong.append(f"{promotion.digest} does not load")
        shutil.rmtree(loaded)
    return wrong


def test_two_that_move_the_pointer_in_any_order_move_it_one_after_the_other(
    crossroads: Crossroads, tell: Callable[[str], None]
) -> None:
    bench = crossroads.bench
    before = len(_promotions(bench))
    ends: Counter[str] = Counter()
    wrong: list[str] = []
    steps = 0
    for seed in range(_ORDERS):
        crossroads.back()
        turns = Turns(seed)
        one, other = (
            Actor(bench.root, turns=turns, is_impatient=bool(seed >> bit & 1)) for bit in (0, 1)
        )
        rivals = (
            partial(other.promote, crossroads.second),
            partial(other.roll_back, crossroads.rollback),
            partial(other.roll_back, None),
        )
        gave = turns.run([partial(one.promote, crossroads.first), rivals[seed % 3]])
        found = _wrong(bench, before, gave, most=2 if seed % 3 == 2 else 1)
        wrong += [f"order {seed}: {item}" for item in found]
        ends.update(item.code if isinstance(item, BrewError) else "moved" for item in gave)
        steps += turns.steps
    tell(
        f"{_ORDERS} orders of two that move the pointer, {steps} turns: {dict(ends)}, "
        f"{len(wrong)} violations"
    )
    assert not wrong, "\n".join(wrong[:20])
    assert set(ends) == {"moved", *_BESIDES}, "an end that no order led to"


def test_processes_that_move_the_pointer_at_once_move_it_one_after_the_other(
    crossroads: Crossroads, launcher: Launcher, tell: Callable[[str], None]
) -> None:
    bench = crossroads.bench
    crossroads.back()
    manifest = (bench.root / "brewslm.yaml").read_text()
    calls = [("rollback", "--auto-approve"), ("rollback", "1", "--auto-approve")]
    for name, rate in (("first", "5.0e-4"), ("second", "4.0e-4")):
        (bench.root / f"{name}.yaml").write_text(manifest.replace("5.0e-4", rate))
        words = ("--manifest", f"{name}.yaml")
        plan = str(bench.root / f"{name}.plan.json")
        assert launcher.call(bench.root, *words, "plan", "--out", plan).code == 0
        calls.append((*words, "apply", plan))
    before = len(_promotions(bench))
    ends: Counter[str] = Counter()
    for number in range(_ROUNDS):
        crossroads.back()
        begun = [launcher.begin(bench.root, *words) for words in (*calls[number % 2 :], *calls[:1])]
        endings = [call.ended() for call in begun]
        assert [item.said[-600:] for item in endings if not item.is_clean()] == []
        codes = [_code(item) for item in endings]
        moved = [item for item in endings if item.code == 0 and "Nothing was done" not in item.out]
        assert _wrong(bench, before, list(moved), most=len(moved)) == []
        ends.update(codes)
    tell(f"{_ROUNDS} rounds of processes that move the pointer: {dict(ends)}")


def _code(ending: Ending) -> str:
    """Return the code that a call ended with, checked against its exit code."""
    if ending.code == 0:
        return "done"
    code = next(name for name in _BESIDES if f"[{name}]" in ending.err)
    assert ending.code == _BESIDES[code], ending.err
    return code
