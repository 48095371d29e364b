"""What a run that lost its lease says of the work it recorded before, and who may still stop it."""

import os
import signal
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from brewslm.apply.executor import ApplyFacts
from brewslm.apply.interruption import Stop, stopping_on_signals
from brewslm.apply.journal import Journal
from brewslm.cli.leasing import hold_lease, unheard
from brewslm.cli.session import Session
from brewslm.errors import StalePlanError, StateError
from brewslm.events import ActionErrorEvent, Event
from brewslm.plan.placed import short_name
from brewslm.plan.selection import Selection
from tests.apply.bench import Bench, model_in
from tests.state.states import NOW, dead_lease, deployment, ended, operation

FACTS = ApplyFacts(apply_id="r1", actor="ana@desk", git_commit="")
Losing = Callable[[str], None]


@pytest.fixture
def losing(applied: Bench, monkeypatch: pytest.MonkeyPatch) -> Losing:
    """Return what lets somebody end the lease right after a step of the journal."""

    def after(step: str) -> None:
        carry_out = getattr(Journal, step)

        def end_the_lease(journal: Journal, *what: Any, **named: Any) -> None:
            carry_out(journal, *what, **named)
            with closing(applied.store().read()) as reader:
                held = reader.lease()
            assert held is not None
            applied.store().force_unlock(held.lease_id)

        monkeypatch.setattr(Journal, step, end_the_lease)

    return after


@pytest.mark.case("CON-06")
def test_recorded_delete_is_applied_although_the_lease_is_lost_then(
    applied: Bench, losing: Losing
) -> None:
    applied.edit("  deployment: {target_profile_id: cpu_local}\n", "")
    losing("end_delete")
    outcome = applied.apply()
    assert outcome.lost is not None
    assert outcome.applied == ["deployment"]
    assert "deployment" not in outcome.pending
    assert "deployment" not in applied.records()


@pytest.mark.case("CON-06")
def test_recorded_failure_is_failed_although_the_lease_is_lost_then(
    applied: Bench, losing: Losing
) -> None:
    applied.edit("2.0e-3", "1.0e-3")
    applied.deaths = {0: "training_nonfinite_loss"}
    losing("fail")
    built = applied.built()
    outcome = applied.apply(built)
    assert outcome.lost is not None
    assert outcome.failed == ["training_plan"]
    rest = [item for item in built.plan.actions if item.address != "training_plan"]
    assert outcome.pending == [item.address for item in rest if item.is_work] != []
    assert sorted(outcome.unchanged) == sorted(item.address for item in rest if not item.is_work)


def test_what_was_unchanged_is_unchanged_although_the_lease_is_lost(
    applied: Bench, losing: Losing
) -> None:
    applied.edit("sorts complaints", "sorts them")
    built = applied.built()
    losing("end")
    outcome = applied.apply(built)
    assert outcome.lost is not None
    assert (outcome.applied, outcome.pending) == (["project"], [])
    rest = sorted(item.address for item in built.plan.actions if item.address != "project")
    assert sorted(outcome.unchanged) == rest


@pytest.mark.case("DEP-02")
def test_link_of_a_holder_that_died_before_it_moved_is_put_right_by_a_stale_apply(
    applied: Bench,
) -> None:
    built, digest = applied.built(), model_in(applied.home, "another model")
    with closing(applied.store().acquire(dead_lease(), NOW)) as died:
        begun = operation(fence=died.fence)
        died.begin(begun)
        died.end(ended(begun), deployment=deployment("champion", digest))
        with pytest.raises(StalePlanError):
            applied.apply(built)
    assert applied.promoted() == short_name(digest)


def test_first_signal_after_the_lease_was_lost_is_the_first() -> None:
    stop, seconds = Stop(), list[str]()
    with stopping_on_signals(stop, lambda: seconds.append("killed")):
        stop.lose_lease()
        assert stop.is_requested
        os.kill(os.getpid(), signal.SIGINT)
    assert (stop.count, stop.signal_name, seconds) == (1, "SIGINT", [])


@pytest.mark.parametrize("is_lost", [False, True])
def test_trouble_with_giving_back_hides_no_lost_lease(
    applied: Bench, monkeypatch: pytest.MonkeyPatch, is_lost: bool
) -> None:
    stop = Stop()

    def hold() -> str:
        with hold_lease(Session(applied.root), FACTS, unheard, stop, 0.0) as state:
            release = state.release

            def refused() -> None:
                release()
                raise StateError("gone", code="state_write_failed", remedy="wait")

            monkeypatch.setattr(state, "release", refused)
            if is_lost:
                stop.lose_lease()
        return "the outcome"

    if is_lost:
        assert hold() == "the outcome"
    else:
        with pytest.raises(StateError, match="gone"):
            hold()


@pytest.mark.case("CON-06")
def test_run_that_is_asked_to_stop_once_its_lease_is_lost_says_so(
    applied: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It failed and told of it; nothing is left to write that could tell it of the lease."""
    applied.edit("2.0e-3", "1.0e-3")
    applied.deaths = {0: "training_nonfinite_loss"}
    stop, heard = Stop(), applied.events.append

    def hear(event: Event) -> None:
        heard(event)
        if isinstance(event, ActionErrorEvent):
            with closing(applied.store().read()) as reader:
                held = reader.lease()
            assert held is not None
            applied.store().force_unlock(held.lease_id)
            stop.request("SIGINT")

    monkeypatch.setattr(applied, "_tell", hear)
    built = applied.built(selection=Selection(targets=("training_plan",)))
    outcome = applied.apply(built, stop)
    assert outcome.failed == ["training_plan"]
    assert outcome.lost is not None
