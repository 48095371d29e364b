"""A plan finds work that was done before: outputs, checkpoints, the nearest earlier run."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from brewslm.apply.clock import SystemClock
from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.errors import ExitCode
from brewslm.events import ActionLogEvent
from brewslm.fingerprint import digest_folder
from brewslm.plan.action import Action
from brewslm.plan.plan import Plan
from brewslm.state.lease import LIFETIME_S, wanted_lease
from brewslm.state.records import OperationRecord
from tests.apply.bench import Bench


def _action(bench: Bench, address: str) -> Action:
    return next(item for item in bench.built().plan.actions if item.address == address)


def _folder(bench: Bench, step: int) -> Path:
    return bench.home / "runs" / "o1" / f"checkpoint-{step}"


def _invalid(plan: Plan) -> list[Finding]:
    return [item for item in plan.finding_values if item.code == FindingCode.CHECKPOINT_INVALID]


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
        folder = _folder(bench, step)
        folder.mkdir(parents=True)
        (folder / "state.json").write_text(f'{{"step": {step}}}')
        checkpoint: dict[str, Any] = {
            "step": step,
            "path": f"checkpoint-{step}",
            "digest": digest_folder(folder),
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
    assert (action.resume.step, action.resume.checkpoint) == (12, digest_folder(_folder(bench, 12)))
    assert action.resume.operation_id == "o1"
    assert _invalid(bench.built().plan) == []


@pytest.mark.parametrize(
    ("damaged", "step", "told"),
    [
        ((12,), 8, "step 12 is missing or damaged; training continues from step 8"),
        ((12, 8), 4, "steps 12, 8 are missing or damaged; training continues from step 4"),
        ((8,), 12, ""),
        ((4, 8, 12), None, "training continues from the beginning"),
    ],
)
@pytest.mark.parametrize("damage", ["edited", "removed", "more"])
def test_a_damaged_checkpoint_is_neither_promised_nor_used(
    bench: Bench, damaged: tuple[int, ...], step: int | None, told: str, damage: str
) -> None:
    fingerprint = _action(bench, "training_plan").fingerprint
    assert fingerprint is not None
    _interrupt_training(bench, fingerprint, (4, 12, 8))
    for number in damaged:
        match damage:
            case "edited":
                (_folder(bench, number) / "state.json").write_text("{}")
            case "removed":
                shutil.rmtree(_folder(bench, number))
            case _:
                (_folder(bench, number) / "left.bin").write_bytes(b"")
    plan = bench.built().plan
    action = next(item for item in plan.actions if item.address == "training_plan")
    assert (action.resume.step if action.resume else None) == step
    found = _invalid(plan)
    assert [(item.severity, item.address) for item in found] == [
        (Severity.WARNING, "training_plan") for _ in range(bool(told))
    ]
    assert all(told in item.message for item in found)

    assert bench.apply(bench.built()).exit_code is ExitCode.DONE
    resumed = bench.jobs[0].options["resume_from"]
    assert resumed.endswith(f"checkpoint-{step}") if step else resumed == ""
    warnings = [item.text for item in bench.events if isinstance(item, ActionLogEvent)]
    assert len(warnings) == bool(told)
    assert all(told in text for text in warnings)
    with closing(bench.store().read()) as reader:
        events = reader.run_events(reason_code="training_checkpoint_invalid")
    assert [(item.severity, item.stage) for item in events] == [
        ("warning", "training") for _ in range(bool(told))
    ]


def test_a_plan_that_looks_at_nothing_trusts_the_journal(bench: Bench) -> None:
    fingerprint = _action(bench, "training_plan").fingerprint
    assert fingerprint is not None
    _interrupt_training(bench, fingerprint, (4,))
    shutil.rmtree(_folder(bench, 4))
    plan = bench.built(refresh="none").plan
    action = next(item for item in plan.actions if item.address == "training_plan")
    assert action.resume is not None
    assert (action.resume.step, _invalid(plan)) == (4, [])


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
