"""A run that can't fit the device is refused, one that may not is told, and both say what helps."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.plan.base_model import BaseModel, read_base_model
from brewslm.plan.digest_cache import DigestCache
from brewslm.plan.memory import forecast, memory_terms, remedies
from brewslm.plan.plan import Plan
from brewslm.stages.training_config import TrainingConfig
from tests.apply.bench import Bench

GIB = 1 << 30
NANO = Path(__file__).parents[2] / "brewslm" / "builtin" / "nano"
ROWS = {
    "splits": {"train": 1000},
    "lengths": {"splits": {"train": {"tokens": {"max": 1024}}}},
}


def _findings(plan: Plan) -> list[Finding]:
    return [item for item in plan.finding_values if item.code == FindingCode.DOES_NOT_FIT]


@pytest.fixture
def wide(bench: Bench) -> Bench:
    """Return a project whose batch takes 1.2 to 2.2 GiB."""
    bench.write_rows("rows", range(200, 400))
    bench.edit("num_epochs: 2", "num_epochs: 2\n      batch_size: 128")
    return bench


@pytest.fixture
def large() -> BaseModel:
    """Return a base of seven billion parameters."""
    nano = read_base_model(NANO, "nano", DigestCache(0), NANO)
    return replace(nano, parameters=7 * 10**9, hidden_size=4096, layers=32, intermediate_size=11008)


def test_what_can_not_fit_is_refused_with_terms_and_remedies(wide: Bench) -> None:
    plan = wide.built(memory_bytes=GIB).plan
    (finding,) = _findings(plan)
    assert finding.severity is Severity.ERROR
    assert not plan.is_applyable
    assert finding.address == "training_plan"
    assert finding.place.line
    for term in ("weights", "LoRA", "activations", "logits", "framework"):
        assert term in finding.found
    assert finding.expected == "at most 1.0 GiB"
    assert "batch_size: 2 and gradient_accumulation_steps: 256" in finding.actionable_fix


def test_the_named_remedy_fits(wide: Bench) -> None:
    wide.edit("batch_size: 128", "batch_size: 2\n      gradient_accumulation_steps: 256")
    assert _findings(wide.built(memory_bytes=GIB + (100 << 20)).plan) == []


def test_what_may_not_fit_is_only_told(wide: Bench) -> None:
    plan = wide.built(memory_bytes=GIB * 17 // 10).plan
    (finding,) = _findings(plan)
    assert finding.severity is Severity.WARNING
    assert plan.is_applyable
    assert "batch_size: 64" in finding.actionable_fix
    assert "gradient_checkpointing: true" in finding.actionable_fix


def test_a_batch_is_never_larger_than_the_train_set(large: BaseModel) -> None:
    few = ROWS | {"splits": {"train": 4}}
    four, many = (TrainingConfig(batch_size=size, max_seq_length=512) for size in (4, 64))
    assert memory_terms(four, few, large) == memory_terms(many, few, large)


@pytest.mark.parametrize("memory_bytes", [None, 4 * GIB])
def test_what_fits_or_has_no_known_capacity_is_not_mentioned(
    wide: Bench, memory_bytes: int | None
) -> None:
    assert _findings(wide.built(memory_bytes=memory_bytes).plan) == []


def test_a_run_that_is_done_is_not_asked_to_fit(applied: Bench) -> None:
    plan = applied.built(memory_bytes=1 << 20).plan
    assert not plan.has_changes
    assert _findings(plan) == []


def test_a_measured_peak_wins_over_the_forecast(applied: Bench) -> None:
    applied.edit("2.0e-3", "1.0e-3")
    assert _findings(applied.built(memory_bytes=8 << 20).plan) == []


def test_a_large_base_is_helped_by_quantization(large: BaseModel) -> None:
    config = TrainingConfig(batch_size=1, max_seq_length=1024, dtype="float32")
    assert remedies(config, ROWS, large, 16 * GIB) == ["quantization: nf4"]
    assert remedies(config, ROWS, large, 2 * GIB) == []


def test_changes_that_do_not_help_alone_are_named_together(large: BaseModel) -> None:
    config = TrainingConfig(
        batch_size=32,
        gradient_accumulation_steps=1,
        max_seq_length=1024,
        dtype="float32",
        gradient_checkpointing=False,
    )
    (remedy,) = remedies(config, ROWS, large, 12 * GIB)
    changes = dict(part.split(": ") for part in remedy.split(" and "))
    assert changes.keys() >= {"batch_size", "gradient_checkpointing", "quantization"}
    assert int(changes["batch_size"]) * int(changes["gradient_accumulation_steps"]) == 32


def test_shorter_rows_need_less(large: BaseModel) -> None:
    long, short = (
        TrainingConfig(batch_size=4, max_seq_length=tokens, dtype="bfloat16")
        for tokens in (1024, 256)
    )
    assert (
        memory_terms(short, ROWS, large)["logits"] * 4 == memory_terms(long, ROWS, large)["logits"]
    )
    assert (forecast(short, ROWS, large).value or 0) < (forecast(long, ROWS, large).value or 0)


def test_half_precision_halves_the_weights(large: BaseModel) -> None:
    full, half = (
        memory_terms(TrainingConfig(dtype=dtype), ROWS, large)["weights"]
        for dtype in ("float32", "bfloat16")
    )
    assert full == 2 * half
