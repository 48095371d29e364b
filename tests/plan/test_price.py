"""What a plan says work will cost: from past runs where there are any, else from the device."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from brewslm.plan.action import Action, Estimate, Price
from brewslm.plan.base_model import BUILTIN, read_base_model
from brewslm.plan.device import WORKER_START_S, Device
from brewslm.plan.digest_cache import DigestCache
from brewslm.plan.plan import Plan
from brewslm.plan.price import Basis, evaluation_price, total, training_price
from brewslm.stages.eval_pack import EvalPackSpec, GenerationSpec
from brewslm.stages.training_config import TrainingConfig
from tests.apply.bench import ANSWER_S, EXPORT_S, SETUP_S, TOKENS_A_S, Bench

EXAMPLE = Path(__file__).parents[2] / "examples" / "support-triage"
NEW_RATE = ("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")


def _action(plan: Plan, address: str) -> Action:
    return next(item for item in plan.actions if item.address == address)


def _wall(plan: Plan, address: str) -> Estimate:
    return _action(plan, address).estimate.wall_s


def _value(estimate: Estimate) -> float:
    assert estimate.value is not None
    return estimate.value


def _estimates(plan: Plan) -> list[Estimate]:
    prices = [plan.estimate, *(item.estimate for item in plan.actions)]
    return [
        estimate
        for price in prices
        for estimate in (price.wall_s, price.memory_bytes, price.disk_bytes, price.download_bytes)
    ]


@pytest.mark.parametrize(
    ("address", "measured_s"),
    [("training_plan", 40.0), ("eval_pack", 5.0), ("export.adapter", 1.2)],
)
def test_first_estimate_is_within_a_factor_of_two_of_the_measured_run(
    tmp_path: Path, address: str, measured_s: float
) -> None:
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns(".brewslm"))
    wall = _wall(Bench(project).built(device=Device(cores=2)).plan, address)
    assert measured_s / 2 <= _value(wall) <= 2 * measured_s
    assert wall.low is not None
    assert wall.high is not None
    assert wall.low <= measured_s <= wall.high


def test_first_estimates_rest_on_no_run(bench: Bench) -> None:
    plan = bench.built().plan
    for address in ("training_plan", "eval_pack", "export.adapter"):
        wall = _wall(plan, address)
        assert wall.label == "estimated"
        assert "past run" not in wall.basis


def test_training_is_estimated_from_the_past_run_and_scales_with_rows(applied: Bench) -> None:
    applied.edit(*NEW_RATE)
    once = _wall(applied.built().plan, "training_plan")
    assert (once.label, once.basis) == ("estimated", "1 past run")
    applied.write_rows("rows", range(120))
    twice = _wall(applied.built().plan, "training_plan")
    assert twice.basis == "1 past run"
    fixed_s = WORKER_START_S + SETUP_S
    assert _value(twice) - fixed_s == pytest.approx(2 * (_value(once) - fixed_s), rel=0.1)


def test_training_is_as_fast_as_it_was(applied: Bench) -> None:
    applied.edit(*NEW_RATE)
    applied.edit("num_epochs: 2", "num_epochs: 4")
    doubled = _value(_wall(applied.built().plan, "training_plan"))
    applied.edit("num_epochs: 4", "num_epochs: 2")
    once = _value(_wall(applied.built().plan, "training_plan"))
    manifest = applied.records()["dataset"].values["manifest"]
    tokens = manifest["lengths"]["splits"]["train"]["tokens"]
    rows = manifest["splits"]["train"]
    assert 2 * rows * tokens["min"] <= (doubled - once) * TOKENS_A_S <= 2 * rows * tokens["max"]


def test_evaluation_scales_with_the_rows_that_have_no_answer_yet(applied: Bench) -> None:
    applied.edit(*NEW_RATE)
    candidate_alone = _wall(applied.built().plan, "eval_pack")
    assert candidate_alone.basis == "1 past run"
    assert _value(candidate_alone) == pytest.approx(30 * ANSWER_S)
    applied.write_rows("gold", range(200, 245))
    both = _wall(applied.built().plan, "eval_pack")
    assert _value(both) == pytest.approx(2 * 45 * ANSWER_S)


def test_export_takes_what_it_took(applied: Bench) -> None:
    applied.edit(*NEW_RATE)
    wall = _wall(applied.built().plan, "export.safetensors")
    assert (wall.basis, wall.value) == ("1 past run", EXPORT_S)


def test_several_runs_are_counted(applied: Bench) -> None:
    applied.edit(*NEW_RATE)
    applied.apply()
    applied.edit("1.0e-3", "5.0e-4")
    assert _wall(applied.built().plan, "training_plan").basis == "2 past runs"


def test_runs_of_another_quantization_say_nothing_about_time(applied: Bench) -> None:
    applied.edit("dtype: float32", "dtype: float32\n      quantization: nf4")
    assert _wall(applied.built().plan, "training_plan").basis == "tokens and parameters"


def test_another_batch_size_has_another_peak_and_the_same_speed(applied: Bench) -> None:
    applied.edit("num_epochs: 2", "num_epochs: 2\n      batch_size: 16")
    price = _action(applied.built().plan, "training_plan").estimate
    assert price.wall_s.basis == "1 past run"
    assert price.memory_bytes.basis == "the model's config"


def test_worker_start_is_paid_by_the_first_action_that_needs_one(applied: Bench) -> None:
    applied.edit("  eval_pack:\n", "  eval_pack:\n    generation: {max_new_tokens: 9}\n")
    alone = _wall(applied.built().plan, "eval_pack")
    assert _value(alone) == pytest.approx(WORKER_START_S + 2 * 30 * ANSWER_S)


def test_nothing_to_answer_costs_nothing(applied: Bench) -> None:
    applied.edit("threshold: 0.8", "threshold: 0.9")
    wall = _wall(applied.built().plan, "eval_pack")
    assert (wall.label, wall.value) == ("exact", 0)


def test_what_is_known_stays_exact(bench: Bench) -> None:
    plan = bench.built().plan
    for address in ("project", "model", "data_source.rows", "dataset", "deployment"):
        wall = _wall(plan, address)
        assert (wall.label, wall.low, wall.value, wall.high) == ("exact", 0, 0, 0)
    prepared = next((bench.home / "cache" / "prepared").iterdir())
    size_bytes = sum(path.stat().st_size for path in prepared.rglob("*") if path.is_file())
    disk = _action(plan, "dataset").estimate.disk_bytes
    assert (disk.label, disk.value) == ("exact", size_bytes)


def test_reuse_is_free(applied: Bench) -> None:
    applied.edit(*NEW_RATE)
    applied.apply()
    applied.edit(*reversed(NEW_RATE))
    action = _action(applied.built().plan, "training_plan")
    assert action.reuse is not None
    assert {action.estimate.wall_s.value, action.estimate.disk_bytes.value} == {0}


def test_the_peak_of_a_plan_is_that_of_its_heaviest_action(bench: Bench) -> None:
    plan = bench.built().plan
    peaks = [item.estimate.memory_bytes for item in plan.actions]
    total = plan.estimate.memory_bytes
    assert total.value == max(item.value or 0 for item in peaks)
    assert total.high == max(item.high or 0 for item in peaks)


def test_every_range_contains_its_point(applied: Bench) -> None:
    plans = [applied.built().plan]
    applied.edit(*NEW_RATE)
    plans.append(applied.built().plan)
    applied.write_rows("gold", range(200, 245))
    plans.append(applied.built().plan)
    for estimate in (item for plan in plans for item in _estimates(plan)):
        if estimate.label == "unknown":
            assert (estimate.value, estimate.low, estimate.high) == (None, None, None)
            continue
        assert estimate.value is not None
        assert estimate.low is not None
        assert estimate.high is not None
        assert 0 <= estimate.low <= estimate.value <= estimate.high


@given(
    flops=st.floats(1, 1e18),
    hidden_size=st.integers(1, 16384),
    cores=st.integers(1, 256),
    more=st.integers(0, 256),
)
def test_more_cores_are_never_slower(flops: float, hidden_size: int, cores: int, more: int) -> None:
    slower, faster = Device(cores), Device(cores + more)
    assert 0 < faster.compute_s(flops, hidden_size) <= slower.compute_s(flops, hidden_size)


def test_a_base_that_is_not_here_has_no_price_and_says_why(bench: Bench) -> None:
    revision = "0123456789abcdef0123456789abcdef01234567"
    bench.edit("base_model: builtin:nano", f"base_model: ana/small, revision: {revision}")
    plan = bench.built().plan
    assert [item["code"] for item in plan.findings if item["severity"] == "error"] == [
        "MODEL_NOT_CACHED"
    ]
    wall = _wall(plan, "training_plan")
    assert (wall.label, wall.value, wall.low, wall.high) == ("unknown", None, None, None)
    assert wall.basis == "the base model's files are not here"
    assert plan.estimate.wall_s.label == "unknown"


def test_rows_that_can_not_be_read_leave_the_price_unknown(bench: Bench) -> None:
    (bench.root / "data" / "rows.jsonl").unlink()
    wall = _wall(bench.built().plan, "training_plan")
    assert (wall.label, wall.basis) == ("unknown", "not every row could be read")


@pytest.fixture
def basis(bench: Bench) -> Basis:
    """What the first price of the project rests on."""
    built = bench.built()
    assert built.prepared_folder is not None
    prepared = json.loads((built.prepared_folder / "manifest.json").read_bytes())
    base = read_base_model(BUILTIN / "nano", "builtin:nano", DigestCache(0), bench.root)
    return Basis(base, prepared, Device(cores=2), (), 0.0)


def _training_s(basis: Basis, **settings: Any) -> float:
    return _value(training_price(TrainingConfig(**settings), basis).wall_s)


def _answering_s(basis: Basis, rows: int) -> float:
    spec = EvalPackSpec(generation=GenerationSpec(batch_size=8))
    parts = {"predictions.candidate.gold_test": rows}
    return _value(evaluation_price(spec, parts, basis, is_scored=False).wall_s)


def test_start_of_a_worker_is_in_every_first_price(basis: Basis) -> None:
    started = replace(basis, start_s=7.0)
    assert _training_s(started) == pytest.approx(_training_s(basis) + 7)
    assert _answering_s(started, 9) == pytest.approx(_answering_s(basis, 9) + 7)


def test_activations_that_are_computed_twice_take_longer(basis: Basis) -> None:
    plain, twice = (_training_s(basis, gradient_checkpointing=each) for each in (False, True))
    assert 1.05 * plain < twice <= 1.25 * plain


def test_last_batch_of_answers_takes_its_passes_however_few_its_rows(basis: Basis) -> None:
    one, more, two = (_answering_s(basis, rows) for rows in (8, 9, 16))
    assert more - one > two - more


def test_sum_with_an_estimate_is_an_estimate() -> None:
    exact, guessed = Estimate.exact(2), Estimate.estimated(3, 2, 4, "a guess")
    added = total([Price(disk_bytes=exact), Price(disk_bytes=guessed)]).disk_bytes
    assert (added.label, added.value, added.low, added.high) == ("estimated", 5, 4, 6)
    assert total([Price(disk_bytes=exact)] * 2).disk_bytes.label == "exact"
