"""Real training on the built-in base: what it leaves behind, how it goes on, when it stops."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from brewslm.contracts import Job
from brewslm.engine import run as training
from brewslm.errors import WorkerError
from brewslm.fingerprint import digest_file
from tests.engine.loaded.conftest import Listener

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

MakeJob = Callable[..., Job]


def _weights(job: Job) -> str:
    return digest_file(Path(job.folder) / "lora_adapter" / "adapter_model.safetensors")


def _record(job: Job, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((Path(job.folder) / "run" / name).read_bytes())
    return document


@pytest.fixture(scope="module")
def _finished() -> dict[str, Any]:
    return {}


def test_run_leaves_adapter_record_and_numbers(training_job: MakeJob) -> None:
    job = training_job()
    listener = Listener()
    result = training.run(job, listener)
    values = result.values
    assert values["steps"] == 10
    assert values["rows"] == 40
    assert values["eval_loss"] < values["baseline_eval_loss"] / 2
    assert values["logits_max_difference"] > 0
    assert values["peak_bytes"] > 1 << 20
    assert listener.steps == list(range(1, 11))
    assert listener.checkpoints == [
        (5, "checkpoints/checkpoint-5"),
        (10, "checkpoints/checkpoint-10"),
    ]
    lines = list(csv.DictReader((Path(job.folder) / "run" / "train_log.csv").open()))
    assert [line["step"] for line in lines if line["loss"]] == [str(n) for n in range(1, 11)]
    assert [line["step"] for line in lines if line["eval_loss"]] == ["5", "10"]
    assert _record(job, "baseline_loss.json")["eval_loss"] == values["baseline_eval_loss"]
    assert _record(job, "data.json")["train"]["rows"] == 40
    assert _record(job, "environment.json")["packages"]["trl"]
    config = _record(job, "config.resolved.json")
    assert config["spec"]["config"]["learning_rate"] == 0.003
    tensors = load_file(Path(job.folder) / "lora_adapter" / "adapter_model.safetensors")
    assert all("lora_" in name for name in tensors)


def test_same_seed_gives_the_same_bytes_and_another_seed_others(training_job: MakeJob) -> None:
    jobs = [training_job("a"), training_job("b"), training_job("c", seed=7)]
    for job in jobs:
        training.run(job, Listener())
    first, second, other = map(_weights, jobs)
    assert first == second
    assert first != other


@pytest.mark.case("CRA-12")
@pytest.mark.parametrize("stop_after", [3, 5, 7])
def test_interrupted_run_goes_on_to_the_same_bits(training_job: MakeJob, stop_after: int) -> None:
    whole = training_job("whole")
    training.run(whole, Listener())
    broken = training_job("broken")
    listener = Listener(stop_after)
    with pytest.raises(WorkerError) as caught:
        training.run(broken, listener)
    assert caught.value.code == "interrupted"
    step, path = listener.checkpoints[-1]
    assert step == stop_after
    resumed = training_job("broken", resume_from=str(Path(broken.folder) / path))
    result = training.run(resumed, Listener())
    assert result.values["resumed_from_step"] == stop_after
    assert _weights(resumed) == _weights(whole)
    steps = [
        line["step"]
        for line in csv.DictReader((Path(resumed.folder) / "run" / "train_log.csv").open())
        if line["loss"]
    ]
    assert steps == [str(number) for number in range(1, 11)]


def test_accumulation_changes_the_loss_by_rounding_only(training_job: MakeJob) -> None:
    jobs = [
        training_job("one", lora_dropout=0.0),
        training_job("four", lora_dropout=0.0, batch_size=2, gradient_accumulation_steps=4),
    ]
    losses = [training.run(job, Listener()).values["train_loss"] for job in jobs]
    assert losses[1] == pytest.approx(losses[0], rel=2e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {"quantization": "nf4"},
        {"quantization": "int8"},
        {"use_dora": True},
        {"use_rslora": True},
        {"sequence_packing": True},
        {"group_by_length": True},
        {"gradient_checkpointing": True},
        {"neftune_noise_alpha": 5.0},
        {"init_lora_weights": "gaussian"},
        {"target_modules": "attn"},
        {"target_modules": "auto"},
        {"target_modules": ("q_proj", "v_proj")},
        {"optimizer": "adamw_8bit"},
        {"lr_scheduler": "constant_with_warmup"},
        {"completion_only_loss": False},
    ],
    ids=lambda changes: " ".join(f"{name}={value}" for name, value in changes.items()),
)
def test_recipe_learns(training_job: MakeJob, changes: dict[str, Any]) -> None:
    values = training.run(training_job(**changes), Listener()).values
    assert values["eval_loss"] < 0.8 * values["baseline_eval_loss"]


def test_no_matching_module_names_those_that_exist(training_job: MakeJob) -> None:
    with pytest.raises(WorkerError) as caught:
        training.run(training_job(target_modules=("query_key_value",)), Listener())
    assert caught.value.code == "training_no_targets"
    assert "q_proj" in caught.value.expected


def test_loss_that_is_no_number_ends_the_run(training_job: MakeJob) -> None:
    job = training_job(learning_rate=1e30, max_grad_norm=0.0, warmup_ratio=0.0)
    with pytest.raises(WorkerError) as caught:
        training.run(job, Listener())
    assert caught.value.code == "training_nonfinite_loss"
    assert "learning_rate" in caught.value.remedy


def test_validation_without_gain_stops_early_and_keeps_the_best(training_job: MakeJob) -> None:
    job = training_job(num_epochs=40.0, learning_rate=2e-2, eval_steps=2, early_stopping_patience=2)
    values = training.run(job, Listener()).values
    assert values["stop_reason"] == "early_stopping"
    assert values["steps"] < 200
    assert values["kept_step"] == values["steps"] - 4
    lines = csv.DictReader((Path(job.folder) / "run" / "train_log.csv").open())
    losses = [float(line["eval_loss"]) for line in lines if line["eval_loss"]]
    assert values["eval_loss"] == min(losses)


def test_validation_loss_is_that_of_the_adapter_that_is_kept(training_job: MakeJob) -> None:
    job = training_job(
        num_epochs=40.0,
        learning_rate=2e-2,
        eval_steps=2,
        early_stopping_patience=2,
        load_best_model_at_end=False,
    )
    values = training.run(job, Listener()).values
    assert values["kept_step"] == values["steps"]
    lines = csv.DictReader((Path(job.folder) / "run" / "train_log.csv").open())
    losses = [float(line["eval_loss"]) for line in lines if line["eval_loss"]]
    assert values["eval_loss"] == pytest.approx(losses[-1])
    assert values["eval_loss"] > min(losses)


def test_time_limit_ends_the_run_as_if_it_were_done(training_job: MakeJob) -> None:
    values = training.run(
        training_job(num_epochs=100.0, max_minutes=0.05, warmup_ratio=0.0), Listener()
    ).values
    assert values["stop_reason"] == "max_minutes"
    assert 0 < values["steps"] < 500


def test_plateau_of_the_training_loss_ends_the_run(training_job: MakeJob) -> None:
    values = training.run(
        training_job(
            num_epochs=100.0,
            eval_strategy="no",
            plateau_patience=2,
            plateau_window=1,
            plateau_min_delta=0.05,
            plateau_min_steps=20,
        ),
        Listener(),
    ).values
    assert values["stop_reason"] == "plateau"
    assert values["steps"] % 10 == 0


def test_base_files_are_never_written(training_job: MakeJob, tmp_path: Path) -> None:
    copy = tmp_path / "base"
    job = training_job()
    shutil.copytree(job.inputs["model"], copy)
    before = {path.name: digest_file(path) for path in copy.iterdir()}
    training.run(job.model_copy(update={"inputs": {**job.inputs, "model": str(copy)}}), Listener())
    assert {path.name: digest_file(path) for path in copy.iterdir()} == before


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"warmup_steps": 5},
        {"warmup_ratio": 1.0, "lr_scheduler": "linear"},
        {"lr_scheduler": "constant_with_warmup", "gradient_accumulation_steps": 8},
        {"lr_scheduler": "inverse_sqrt", "warmup_steps": 1},
    ],
    ids=str,
)
def test_run_of_one_step_trains(training_job: Callable[..., Job], changes: dict[str, Any]) -> None:
    one = {} if "gradient_accumulation_steps" in changes else {"max_steps": 1}
    job = training_job(**{"num_epochs": 1.0, "eval_strategy": "no"} | one | changes)
    values = training.run(job, Listener()).values
    assert values["steps"] == 1
    assert values["logits_max_difference"] > 0
