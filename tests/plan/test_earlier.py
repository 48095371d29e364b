"""A plan finds work that was done before: outputs, checkpoints, the nearest earlier run."""

from typing import Any

from brewslm.apply.clock import SystemClock
from brewslm.plan.action import Action
from brewslm.state.lease import LIFETIME_S, wanted_lease
from brewslm.state.records import OperationRecord
from tests.apply.bench import Bench


def _action(bench: Bench, address: str) -> Action:
    return next(item for item in bench.built().plan.actions if item.address == address)


def _interrupt_training(bench: Bench, fingerprint: str, steps: tuple[int, ...]) -> None:
    """Leave a training behind that wrote checkpoints and never ended."""
    clock = SystemClock()
    store = bench.store()
    if not store.exists():
        store.create("0aa2b4c6-0000-4000-8000-000000000001")
    wanted = wanted_lease("ana@desk", "apply", clock.now(), clock.after(LIFETIME_S), {})
    session = store.acquire(wanted, clock.now())
    session.begin(
        OperationRecord(
            operation_id="o1",
            apply_id="a1",
            address="training_plan",
            kind="training_plan",
            operation="create",
            fingerprint=fingerprint,
            fence=session.fence,
            folder="runs/o1",
            begun_at=clock.now(),
        )
    )
    for step in steps:
        checkpoint: dict[str, Any] = {
            "step": step,
            "path": f"checkpoint-{step}",
            "digest": f"sha256:{step}",
            "size_bytes": 1,
        }
        session.add_checkpoint("o1", checkpoint)
    session.release()


def test_the_newest_checkpoint_of_the_same_training_is_gone_on_from(bench: Bench) -> None:
    fingerprint = _action(bench, "training_plan").fingerprint
    assert fingerprint is not None
    _interrupt_training(bench, fingerprint, (4, 12, 8))
    action = _action(bench, "training_plan")
    assert action.reason == "resume"
    assert action.resume is not None
    assert (action.resume.step, action.resume.checkpoint) == (12, "sha256:12")
    assert action.resume.operation_id == "o1"


def test_another_training_is_not_gone_on_with(bench: Bench) -> None:
    fingerprint = _action(bench, "training_plan").fingerprint
    assert fingerprint is not None
    _interrupt_training(bench, fingerprint, (4,))
    bench.edit("num_epochs: 2", "num_epochs: 3")
    action = _action(bench, "training_plan")
    assert (action.resume, action.reason) == (None, "not_recorded")


def test_a_training_without_checkpoint_begins_anew(bench: Bench) -> None:
    fingerprint = _action(bench, "training_plan").fingerprint
    assert fingerprint is not None
    _interrupt_training(bench, fingerprint, ())
    assert _action(bench, "training_plan").resume is None


def test_an_edit_that_was_tried_before_reuses_all_of_it(applied: Bench) -> None:
    applied.edit("num_epochs: 2", "num_epochs: 3")
    applied.apply()
    outputs = applied.records()["training_plan"].outputs
    applied.edit("num_epochs: 3", "num_epochs: 2")
    applied.apply()
    applied.edit("num_epochs: 2", "num_epochs: 3")
    plan = applied.built().plan
    action = next(item for item in plan.actions if item.address == "training_plan")
    assert action.reuse is not None
    assert action.nearest is None
    assert {item["name"]: item["digest"] for item in action.reuse.outputs} == {
        name: output.digest for name, output in outputs.items()
    }
    waits = [item.address for item in plan.actions if item.is_work and item.after_unknown]
    assert waits == []


def test_reuse_needs_the_bytes(applied: Bench) -> None:
    applied.edit("num_epochs: 2", "num_epochs: 3")
    lost = applied.records()["training_plan"].outputs["lora_adapter"].digest
    applied.apply()
    applied.edit("num_epochs: 3", "num_epochs: 2")
    digits = lost.removeprefix("sha256:")
    (applied.home / "store" / "objects" / digits[:2] / digits[2:]).unlink()
    action = _action(applied, "training_plan")
    assert action.reuse is None
    assert set(action.after_unknown["outputs"]) == {"lora_adapter", "run"}


def test_the_nearest_run_is_the_one_that_differs_least(applied: Bench) -> None:
    applied.edit("num_epochs: 2", "num_epochs: 3")
    applied.apply()
    applied.edit("2.0e-3", "1.0e-3")
    nearest = _action(applied, "training_plan").nearest
    assert nearest is not None
    assert nearest["differs"] == ["config.learning_rate"]
    assert nearest["revision"] == 2


def test_the_nearest_run_may_be_one_that_is_recorded_no_more(applied: Bench) -> None:
    first = applied.records()["training_plan"].fingerprint
    applied.edit("num_epochs: 2", "num_epochs: 3")
    applied.edit("2.0e-3", "1.0e-3")
    applied.apply()
    applied.edit("num_epochs: 3", "num_epochs: 2")
    applied.edit("1.0e-3", "2.0e-3\n      lora_r: 8")
    nearest = _action(applied, "training_plan").nearest
    assert nearest is not None
    assert (nearest["fingerprint"], nearest["revision"]) == (first, None)
    assert nearest["differs"] == ["config.lora_r"]


def test_a_first_run_has_nothing_near(bench: Bench) -> None:
    assert _action(bench, "training_plan").nearest is None
