"""A record that the state could not take blocks other writers until it is pushed."""

from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from brewslm.errors import StateError
from brewslm.state.lease import LIFETIME_S, wanted_lease
from brewslm.state.records import OperationRecord, OperationStatus
from brewslm.state.rescue import Unwritten, rescued
from tests.apply.bench import Bench
from tests.cli.conftest import Run

_CAUSE = StateError("no room", code="disk_full", found="full", remedy="free disk space")


@pytest.fixture
def unwritten(applied: Bench) -> Unwritten:
    """Return the end of an action that has begun in the state."""
    clock = applied.clock
    asked = wanted_lease("ana@desk", "apply", clock.now(), clock.after(LIFETIME_S), {})
    with closing(applied.store().acquire(asked, clock.now())) as session:
        begun = OperationRecord(
            operation_id="op-1",
            apply_id="apply-1",
            address="training_plan",
            kind="training_plan",
            operation="update",
            fingerprint="",
            fence=session.fence,
            folder="",
            begun_at=clock.now(),
        )
        session.begin(begun)
        meta = session.meta()
        record = replace(session.resources()["training_plan"], values={"steps": 11})
    ended = replace(begun, status=OperationStatus.ENDED, ended_at=clock.now())
    return Unwritten(meta.lineage, meta.serial, begun.fence, ended, (record,))


def _kept(applied: Bench, unwritten: Unwritten) -> Path:
    rescued(unwritten, [applied.home], _CAUSE)
    return applied.home / f"errored-{unwritten.serial}.json"


@pytest.mark.case("CRA-11")
def test_apply_is_refused_and_plan_goes_on(applied: Bench, run: Run, unwritten: Unwritten) -> None:
    path = _kept(applied, unwritten)
    run("apply", "--auto-approve").says(
        6, "error[errored_state_present]", f"brewslm state push {path}"
    )
    run("plan").says(0, f"note[errored_state_present]: apply waits for brewslm state push {path}")


@pytest.mark.case("CRA-11")
def test_pushed_record_is_in_the_state_and_the_next_apply_is_let_in(
    applied: Bench, run: Run, unwritten: Unwritten
) -> None:
    path = _kept(applied, unwritten)
    pushed = run("state", "push", path)
    pushed.says(0)
    assert pushed.out == f"training_plan is recorded, serial {unwritten.serial + 1}.\n"
    assert applied.records()["training_plan"].values == {"steps": 11}
    assert not path.exists()
    assert path.with_name(f"{path.name}.pushed").is_file()
    run("apply", "--auto-approve").says(0)
    with closing(applied.store().read()) as state:
        newest = state.revisions(limit=1)[0]
        assert newest.serial == state.meta().serial


def test_record_that_is_older_than_the_state_is_refused(
    applied: Bench, run: Run, unwritten: Unwritten
) -> None:
    path = _kept(applied, replace(unwritten, serial=unwritten.serial - 1))
    run("state", "push", path).says(1, "cannot be put into this state")
    assert path.is_file()


def test_record_whose_bytes_are_gone_is_refused(
    applied: Bench, run: Run, unwritten: Unwritten
) -> None:
    lost = replace(unwritten.records[0].outputs["lora_adapter"], digest=f"sha256:{'0' * 64}")
    record = replace(unwritten.records[0], outputs={"lora_adapter": lost})
    path = _kept(applied, replace(unwritten, records=(record,)))
    run("state", "push", path).says(1, "artifact_missing")
    assert path.is_file()


def test_file_that_is_no_record_is_refused(applied: Bench, run: Run) -> None:
    (applied.root / "other.json").write_text("{}")
    run("state", "push", "other.json").says(1, "state_corrupt")
    run("state", "push", "nothing.json").says(1, "unreadable")
