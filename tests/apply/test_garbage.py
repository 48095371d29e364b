"""What nothing leads to may go; whatever is still needed never does."""

import json
import time
from contextlib import closing

import pytest

from brewslm.apply.garbage import Garbage, GarbageOptions, delete, discard, find_garbage
from brewslm.artifacts.local import LocalStore
from brewslm.contracts import Output
from brewslm.errors import ExitCode, RefusedError
from brewslm.state.records import RevisionRecord
from tests.apply.bench import Bench

LATER_S = 30 * 86_400.0


def _store(bench: Bench) -> LocalStore:
    return LocalStore(bench.home / "store")


def _found(bench: Bench, keep_revisions: int = 10, after_s: float = LATER_S) -> Garbage:
    options = GarbageOptions(time.time() + after_s, keep_revisions=keep_revisions)
    with closing(bench.store().read()) as state:
        return find_garbage(state, _store(bench), bench.root, bench.home, options)


def _collect(bench: Bench, keep_revisions: int = 10) -> Garbage:
    garbage = _found(bench, keep_revisions)
    with bench.lease() as session:
        discard(garbage, _store(bench), session)
        delete(garbage, _store(bench), bench.home, session)
    return garbage


def _revisions(bench: Bench) -> list[RevisionRecord]:
    with closing(bench.store().read()) as state:
        return state.revisions()


def _train(bench: Bench, before: str, after: str) -> None:
    bench.edit(before, after)
    assert bench.apply().exit_code is ExitCode.DONE


def test_everything_of_one_apply_is_in_use(applied: Bench) -> None:
    garbage = _found(applied)
    assert (garbage.objects, garbage.models, garbage.young) == ((), (), 0)
    assert garbage.kept == len(_store(applied).stored())


def test_loose_bytes_go_once_they_are_old_enough(applied: Bench) -> None:
    loose = _store(applied).put_bytes(b"nobody needs this")
    assert _found(applied, after_s=0).young == 1
    assert [item.digest for item in _collect(applied).objects] == [loose.digest]
    assert not _store(applied).is_present(loose)
    assert not applied.built(refresh="full").plan.has_changes


def test_bytes_of_kept_revisions_stay_and_can_be_reused(applied: Bench) -> None:
    _train(applied, "2.0e-3", "1.0e-3")
    assert _collect(applied).objects == ()
    applied.edit("1.0e-3", "2.0e-3")
    applied.apply()
    assert applied.jobs == []


def test_pointer_and_its_predecessor_stay_when_revisions_go(applied: Bench) -> None:
    _train(applied, "2.0e-3", "1.0e-3")
    _train(applied, "1.0e-3", "3.0e-3")
    with closing(applied.store().read()) as state:
        promotions = state.deployments()
    garbage = _collect(applied, keep_revisions=1)
    assert garbage.objects
    assert len(garbage.models) == 1
    candidates = [Output(item.digest, 0, is_folder=True) for item in promotions]
    for kept in candidates[:2]:
        _store(applied).verify(kept)
    assert candidates[2].digest not in {item.digest for item in _store(applied).stored()}
    assert not applied.built(refresh="full").plan.has_changes


def test_protected_project_keeps_all_its_history(applied: Bench) -> None:
    applied.edit("  model:", "  workflow: {protect: true}\n  model:")
    _train(applied, "2.0e-3", "1.0e-3")
    _train(applied, "1.0e-3", "3.0e-3")
    assert _found(applied, keep_revisions=1).objects == ()


def test_saved_plan_and_rescued_state_keep_what_they_name(applied: Bench) -> None:
    first = _store(applied).put_bytes(b"named by a plan")
    second = _store(applied).put_bytes(b"named by a rescued state")
    (applied.root / "a.plan.json").write_text(json.dumps({"reuse": first.digest}))
    (applied.home / "errored-9.json").write_text(json.dumps([second.digest]))
    assert _found(applied).objects == ()


def test_quarantined_candidate_stays_with_its_evidence(applied: Bench) -> None:
    applied.edit("2.0e-3", "1.0e-3")
    applied.skill = lambda index: index % 3 == 0
    assert applied.apply().exit_code is ExitCode.GATE_NOT_PASSED
    _collect(applied, keep_revisions=1)
    for address in ("training_plan", "eval_pack"):
        for output in applied.records()[address].outputs.values():
            _store(applied).verify(output)
    plan = applied.built(refresh="full").plan
    assert (plan.has_changes, plan.drift) == (False, ())


@pytest.mark.case("CRA-09")
def test_killed_collection_is_taken_back_by_the_next_apply(applied: Bench) -> None:
    loose = _store(applied).put_bytes(b"nobody needs this")
    with applied.lease() as session:
        discard(_found(applied), _store(applied), session)
    assert not _store(applied).is_present(loose)
    applied.apply()
    assert _store(applied).is_present(loose)


def test_revision_names_the_kept_bytes_of_every_resource(applied: Bench) -> None:
    outputs = _revisions(applied)[0].outputs
    records = applied.records()
    assert outputs["training_plan"]["lora_adapter"] == (
        records["training_plan"].outputs["lora_adapter"].to_json()
    )
    assert "data_source.rows" not in outputs, "rows belong to the user"


@pytest.mark.parametrize("after_s", [0.0, LATER_S])
def test_finding_moves_nothing(applied: Bench, after_s: float) -> None:
    _store(applied).put_bytes(b"nobody needs this")
    before = _store(applied).stored()
    _found(applied, after_s=after_s)
    assert _store(applied).stored() == before


class SharedFolder(LocalStore):
    """A store that other states may lead to; one of them comes when something goes."""

    is_shared = True
    comes = ""

    def trash(self, digest: str) -> None:
        super().trash(digest)
        if self.comes:
            self.mark_lineage(self.comes)


def _collect_from(bench: Bench, store: LocalStore) -> None:
    with bench.lease() as session:
        garbage = find_garbage(
            session, store, bench.root, bench.home, GarbageOptions(time.time() + LATER_S)
        )
        discard(garbage, store, session)
        delete(garbage, store, bench.home, session)


def test_shared_bytes_go_where_no_other_lineage_is_marked(applied: Bench) -> None:
    store = SharedFolder(applied.home / "store")
    loose = store.put_bytes(b"nobody needs this")
    _collect_from(applied, store)
    assert not store.is_present(loose)
    with closing(applied.store().read()) as state:
        assert store.lineages() == [state.meta().lineage]


@pytest.mark.parametrize("comes", ["", "another"], ids=["was there", "comes meanwhile"])
def test_bytes_that_another_lineage_may_need_stay(applied: Bench, comes: str) -> None:
    store = SharedFolder(applied.home / "store")
    loose = store.put_bytes(b"another project needs this")
    if not comes:
        store.mark_lineage("another")
    store.comes = comes
    with pytest.raises(RefusedError) as caught:
        _collect_from(applied, store)
    assert (caught.value.code, caught.value.found) == ("delete_refused", "lineage another")
    assert "prefix" in caught.value.remedy
    store.verify(loose)
    store.comes = ""
    store.empty_trash()
    store.verify(loose)


def test_store_of_one_project_is_not_marked(applied: Bench) -> None:
    assert _store(applied).lineages() == []
