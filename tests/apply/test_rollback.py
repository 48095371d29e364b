"""A rollback moves the pointer to what passed before, and never to anything else."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from brewslm.apply.clock import Clock, SystemClock
from brewslm.apply.desk import Place
from brewslm.apply.executor import ApplyFacts
from brewslm.apply.rollback import release, roll_back
from brewslm.artifacts.local import LocalStore
from brewslm.errors import ApplyError, BrewError, ExitCode
from brewslm.plan.digest_cache import DigestCache
from brewslm.plan.rollback import Rollback, plan_rollback
from brewslm.plan.rollback_base import Surroundings
from brewslm.plan.selection import Selection
from brewslm.state.lease import LIFETIME_S, wanted_lease
from brewslm.state.records import DeploymentRecord, RevisionRecord
from tests.apply.bench import Bench
from tests.state.states import NOW, lease

FACTS = ApplyFacts(apply_id="r1", actor="ana@desk", git_commit="")


@pytest.fixture
def twice(applied: Bench) -> Bench:
    """Return a project that promoted two candidates, one after the other."""
    applied.edit("2.0e-3", "1.0e-3")
    assert applied.apply().exit_code is ExitCode.DONE
    return applied


def _planned(bench: Bench, revision: int | None = None) -> Rollback | None:
    with closing(bench.store().read()) as state:
        around = Surroundings(bench.root, {}, DigestCache(0))
        return plan_rollback(state, LocalStore(bench.home / "store"), revision, around)


def _roll_back(
    bench: Bench, rollback: Rollback | None, clock: Clock | None = None
) -> RevisionRecord:
    assert rollback is not None
    clock = clock or SystemClock()
    wanted = wanted_lease("ana@desk", "rollback", clock.now(), clock.after(LIFETIME_S), {})
    session = bench.store().acquire(wanted, clock.now())
    try:
        place = Place(bench.home, LocalStore(bench.home / "store"))
        return roll_back(rollback, place, session, FACTS, clock)
    finally:
        session.release()


class _Late(SystemClock):
    """A clock that is far ahead."""

    def now(self) -> str:
        """Return a time that no test reaches."""
        return "2100-01-01T00:00:00Z"


def _release(bench: Bench) -> bool:
    clock = SystemClock()
    wanted = wanted_lease("ana@desk", "rollback", clock.now(), clock.after(LIFETIME_S), {})
    session = bench.store().acquire(wanted, clock.now())
    try:
        return release(session, FACTS, clock) is not None
    finally:
        session.release()


def _promotions(bench: Bench) -> list[DeploymentRecord]:
    with closing(bench.store().read()) as state:
        return state.deployments()


def _object(bench: Bench, digest: str) -> Path:
    name = digest.removeprefix("sha256:")
    return bench.home / "store" / "objects" / name[:2] / name[2:]


def _reason(bench: Bench, address: str) -> str:
    return next(item.reason for item in bench.built().plan.actions if item.address == address)


def test_promotions_name_the_revision_that_made_them(twice: Bench) -> None:
    assert [item.revision for item in _promotions(twice)] == [2, 1]


def test_rollback_moves_the_pointer_and_records_a_revision(twice: Bench) -> None:
    newer, older = _promotions(twice)
    rollback = _planned(twice)
    assert rollback is not None
    (action,) = rollback.plan.actions
    assert (rollback.plan.mode, action.category) == ("rollback", "promote")
    revision = _roll_back(twice, rollback)
    assert revision.revision == 3
    assert twice.promoted() == older.digest.removeprefix("sha256:")[:16]
    again = _promotions(twice)[0]
    assert (again.digest, again.evidence_digest) == (older.digest, older.evidence_digest)
    assert again.details["rolled_back_from"] == newer.digest
    assert twice.records()["deployment"].outputs["promoted"].digest == older.digest


def test_record_of_a_rollback_is_that_of_the_earlier_promotion(applied: Bench) -> None:
    first, promotion = applied.records()["deployment"], _promotions(applied)[0]
    applied.edit("2.0e-3", "1.0e-3")
    applied.edit("cpu_local", "vllm_server")
    assert applied.apply().exit_code is ExitCode.DONE
    manifests = _revisions(applied)
    revision = _roll_back(applied, _planned(applied), _Late())
    record, again = applied.records()["deployment"], _promotions(applied)[0]
    held = {"held": [_promotions(applied)[1].digest]}
    assert record == replace(first, values=first.values | held, revision=3, serial=record.serial)
    left_out = ("sequence", "revision", "promoted_at", "details")
    for name in set(promotion.__struct_fields__) - {*left_out}:
        assert getattr(again, name) == getattr(promotion, name), name
    assert (again.sequence, again.revision) == (3, 3)
    assert again.promoted_at == _Late().now()
    assert again.details == promotion.details | {"rolled_back_from": held["held"][0]}
    assert (revision.manifest_digest, revision.effective_manifest) == manifests[1]
    assert revision.verdicts == {"verdict": "PASS", "evidence": promotion.evidence_digest}
    with closing(applied.store().read()) as state:
        (entry,) = state.operations(limit=1)
        assert (entry.fence, entry.facts) == (state.meta().fence, first.facts)


def _revisions(bench: Bench) -> dict[int, tuple[str, dict[str, Any]]]:
    """Return digest and content of the manifest of each revision."""
    with closing(bench.store().read()) as state:
        found = state.revisions()
    return {item.revision: (item.manifest_digest, item.effective_manifest) for item in found}


def test_every_candidate_that_was_rolled_back_from_is_held(twice: Bench) -> None:
    second, first = (item.digest for item in _promotions(twice))
    twice.edit("1.0e-3", "3.0e-3")
    assert twice.apply().exit_code is ExitCode.DONE
    third = _promotions(twice)[0].digest
    for revision, held in ((2, {third}), (1, {second, third}), (3, {first, second})):
        _roll_back(twice, _planned(twice, revision))
        assert twice.records()["deployment"].values["held"] == sorted(held)


@pytest.mark.case("DEP-05")
def test_deployment_is_held_until_another_candidate_is_wanted(twice: Bench) -> None:
    _roll_back(twice, _planned(twice))
    promoted = twice.promoted()
    assert _reason(twice, "deployment") == "held_by_rollback"
    plan = twice.built().plan
    assert not plan.has_changes
    assert "HELD_BY_ROLLBACK" in [item.code for item in plan.finding_values]
    twice.apply()
    assert twice.promoted() == promoted
    twice.edit("1.0e-3", "3.0e-3")
    twice.apply()
    assert twice.promoted() != promoted
    assert _reason(twice, "deployment") == "unchanged"


@pytest.mark.case("DEP-05")
def test_reverting_the_change_is_all_noop_after_a_rollback(twice: Bench) -> None:
    _roll_back(twice, _planned(twice))
    twice.edit("1.0e-3", "2.0e-3")
    twice.apply()
    assert twice.jobs == []
    assert _reason(twice, "deployment") == "unchanged"


def test_hold_survives_a_new_decision_on_the_same_candidate(twice: Bench) -> None:
    _roll_back(twice, _planned(twice))
    promoted = twice.promoted()
    _object(twice, twice.records()["eval_pack"].outputs["verdict"].digest).unlink()
    assert _reason(twice, "eval_pack") == "artifact_missing"
    assert _reason(twice, "deployment") == "held_by_rollback"
    twice.apply()
    assert twice.promoted() == promoted


def test_hold_survives_training_that_comes_out_the_same(twice: Bench) -> None:
    _roll_back(twice, _planned(twice))
    promoted = twice.promoted()
    candidate = twice.records()["training_plan"].outputs["lora_adapter"]
    _object(twice, candidate.digest).unlink()
    assert _reason(twice, "deployment") == "input_pending"
    twice.apply()
    assert twice.doors() == ["train"]
    assert twice.promoted() == promoted


@pytest.mark.case("DEP-05")
def test_release_lets_the_next_apply_promote_again(twice: Bench) -> None:
    newer = twice.promoted()
    _roll_back(twice, _planned(twice))
    assert _release(twice)
    assert not _release(twice)
    twice.apply()
    assert twice.promoted() == newer


def test_rollback_to_a_revision_and_back(twice: Bench) -> None:
    newer = twice.promoted()
    assert _planned(twice, 2) is None, "that is what is promoted"
    _roll_back(twice, _planned(twice, 1))
    _roll_back(twice, _planned(twice, 2))
    assert twice.promoted() == newer
    assert not twice.built().plan.has_changes


def _refused(bench: Bench, revision: int | None = None) -> str:
    with pytest.raises(BrewError) as caught:
        _planned(bench, revision)
    return caught.value.code


@pytest.mark.case("DEP-06")
def test_nothing_was_promoted_before(applied: Bench) -> None:
    assert _refused(applied) == "deployment_rollback_no_predecessor"


@pytest.mark.case("DEP-06")
def test_twice_in_a_row_goes_back_and_forth(twice: Bench) -> None:
    newer, older = _promotions(twice)
    for wanted in (older, newer, older):
        _roll_back(twice, _planned(twice))
        assert _promotions(twice)[0].digest == wanted.digest


@pytest.mark.case("DEP-06")
def test_partial_revision_that_promoted_nothing_is_refused(twice: Bench) -> None:
    twice.edit("sorts complaints", "sorts them")
    selection = Selection(targets=("project",))
    assert twice.apply(twice.built(selection=selection)).exit_code is ExitCode.DONE
    assert _refused(twice, 3) == "deployment_target_invalid"


def test_unknown_revision(applied: Bench) -> None:
    assert _refused(applied, 7) == "unknown_revision"


@pytest.mark.parametrize("what", ["digest", "evidence_digest"])
def test_missing_or_damaged_bytes_are_refused(twice: Bench, what: str) -> None:
    older = _promotions(twice)[1]
    path = _object(twice, getattr(older, what))
    path.chmod(0o600)
    path.write_bytes(b"{}")
    promoted = twice.promoted()
    assert _refused(twice) == "deployment_target_invalid"
    path.unlink()
    assert _refused(twice) == "deployment_target_invalid"
    assert twice.promoted() == promoted


def test_pointer_that_moved_meanwhile_is_a_conflict(twice: Bench) -> None:
    rollback = _planned(twice)
    _roll_back(twice, rollback)
    promoted = twice.promoted()
    with pytest.raises(ApplyError) as caught:
        _roll_back(twice, rollback)
    assert caught.value.code == "deployment_conflict"
    assert twice.promoted() == promoted


def test_state_that_moved_meanwhile_is_a_conflict(twice: Bench) -> None:
    rollback, promoted = _planned(twice), twice.promoted()
    twice.edit("sorts complaints", "sorts them")
    assert twice.apply().exit_code is ExitCode.DONE
    twice.store().acquire(lease(), NOW)  # by a run that died
    link = twice.home / "promoted" / "champion"
    link.unlink()
    with pytest.raises(ApplyError) as caught:
        _roll_back(twice, rollback)
    assert caught.value.code == "deployment_conflict"
    assert twice.promoted() == promoted, "who takes over makes the link follow"


def test_edited_folder_of_the_target_is_laid_out_again(twice: Bench) -> None:
    older = _promotions(twice)[1]
    content = twice.home / "models" / older.digest.removeprefix("sha256:")[:16] / "content"
    before = content.read_text()
    content.chmod(0o600)
    content.write_text("other weights")
    _roll_back(twice, _planned(twice))
    assert content.read_text() == before
    assert twice.built().plan.drift == ()
