"""Training, answering and their records on one accelerator."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

from brewslm.apply.interruption import Stop
from brewslm.apply.worker import ProcessWorker
from brewslm.contracts import Job
from brewslm.engine import devices
from brewslm.engine import run as training
from brewslm.engine.answers import Answerer, Sampling
from brewslm.engine.base import Loading, load_model
from brewslm.engine.batches import Flattening, RightPadding
from brewslm.engine.losses import token_losses
from brewslm.engine.models import answering_model
from brewslm.engine.run_record import environment
from brewslm.engine.sequences import packed, unpacked
from brewslm.engine.tokens import Renderer, read_rows
from brewslm.plan.base_model import read_base_model
from brewslm.plan.digest_cache import DigestCache
from brewslm.plan.memory import FRAMEWORK_BYTES, forecast
from brewslm.platform_facts import Device
from brewslm.stages.training_config import TrainingConfig
from tests.engine.loaded.conftest import NANO, Listener, prepared_row

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

MakeJob = Callable[..., Job]
BF16: dict[str, Any] = {"dtype": "bfloat16", "bf16": True}
SHORT: dict[str, Any] = {"max_steps": 4, "save_steps": 2, "eval_strategy": "no"}


def _adapter(job: Job) -> dict[str, torch.Tensor]:
    return load_file(Path(job.folder) / "lora_adapter" / "adapter_model.safetensors")


def _record(job: Job, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((Path(job.folder) / "run" / name).read_bytes())
    return document


def _check_trained(job: Job, values: dict[str, Any], device: Device) -> None:
    """Check steps, losses, tensors and what the record says about the device."""
    assert values["steps"] == 10  # 40 rows, 8 a step, two epochs, whatever is visible
    assert values["eval_loss"] < values["baseline_eval_loss"] / 2
    assert values["logits_max_difference"] > 0
    assert values["peak_bytes"] > 1 << 20
    tensors = _adapter(job)
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    told = _record(job, "environment.json")
    assert told["device_kind"] == device.kind
    assert told["has_cuda"] is (device.kind == "cuda")
    assert told["memory_bytes"] > 1 << 30
    if device.kind == "cuda":
        assert torch.cuda.device_count() == 1
        assert told["driver"].startswith(("CUDA", "ROCm"))
        assert told["device"] == values["device"] == torch.cuda.get_device_name(0)


def test_lora_in_bfloat16(training_job: MakeJob, device: Device) -> None:
    job = training_job(**BF16)
    _check_trained(job, training.run(job, Listener()).values, device)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_qlora_with_a_paged_8_bit_optimizer(
    training_job: MakeJob, device: Device, checkpointing: bool
) -> None:
    job = training_job(
        **BF16,
        quantization="nf4",
        optimizer="paged_adamw_8bit",
        gradient_checkpointing=checkpointing,
    )
    _check_trained(job, training.run(job, Listener()).values, device)


@pytest.mark.parametrize("device", [pytest.param("cuda", marks=pytest.mark.gpu)], indirect=True)
def test_lora_in_float16_scales_gradients(training_job: MakeJob, device: Device) -> None:
    job = training_job(dtype="float16", fp16=True)
    _check_trained(job, training.run(job, Listener()).values, device)


def test_packed_rows_lose_what_they_lose_alone(
    device: Device, renderer: Renderer, prepared: Path
) -> None:
    rows = renderer.tokenize(iter(read_rows(prepared, "train")), 256).rows[:12]
    model = load_model(NANO, Loading())
    assert next(model.parameters()).device.type == device.kind
    padding = RightPadding(renderer.tokenizer.pad_token_id)
    together = Flattening(padding)(packed(rows, 256))
    apart = padding(unpacked(rows))
    sums = []
    for batch in (together, apart):
        moved = {name: value.to(devices.device()) for name, value in batch.items()}
        with torch.no_grad():
            losses = token_losses(model, moved, torch.float32)
        sums.append((losses.numel(), devices.exact_sum(losses)))
    assert sums[0][0] == sums[1][0]
    assert sums[0][1] == pytest.approx(sums[1][1], rel=1e-4)


def test_packed_training(training_job: MakeJob, device: Device) -> None:
    job = training_job(**BF16, sequence_packing=True, batch_size=1, num_epochs=8.0)
    values = training.run(job, Listener()).values
    assert values["eval_loss"] < values["baseline_eval_loss"]
    assert values["seen_tokens"] == 8 * _record(job, "data.json")["train"]["tokens"]
    assert values["device"] == devices.facts().name
    assert devices.kind() == device.kind


def test_a_killed_training_goes_on_to_the_same_adapter(
    training_job: MakeJob, device: Device, tmp_path: Path
) -> None:
    path = tmp_path / "job.json"
    path.write_text(training_job(**BF16, **SHORT).model_dump_json())
    folder = tmp_path / "killed"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.loaded.recording", path, folder, "write"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"write": -9}
    checkpoint = folder / "write" / "checkpoints" / "checkpoint-2"
    resumed = training_job("resumed", str(checkpoint), **BF16, **SHORT)
    straight = training_job("straight", **BF16, **SHORT)
    assert [training.run(job, Listener()).values["steps"] for job in (resumed, straight)] == [4, 4]
    first, second = _adapter(resumed), _adapter(straight)
    tolerance = 0.0 if device.kind == "cpu" else 1e-3  # atomic additions come in any order
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], rtol=tolerance, atol=tolerance)


def _texts(model: Any, renderer: Renderer, prompts: list[list[int]], batch: int) -> list[str]:
    sampling = Sampling(12, renderer.end_ids)
    answerer = Answerer(model, renderer.tokenizer, sampling)
    return [item.text for item in answerer.answer(prompts, batch, lambda _rows, _tokens: None)]


def test_batched_answers_are_those_of_each_prompt_and_of_the_processor(
    training_job: MakeJob,
    device: Device,
    renderer: Renderer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = training_job(num_epochs=6.0, eval_strategy="no", save_strategy="no")
    training.run(job, Listener())
    adapter = Path(job.folder) / "lora_adapter"
    rows = [renderer.completion(prepared_row(300 + number)) for number in range(16)]
    prompts = [
        [token for token, label in zip(row.input_ids, row.labels, strict=True) if label == -100]
        for row in rows
    ]
    with answering_model(load_model(NANO, Loading()), adapter) as model:
        assert next(model.parameters()).device.type == device.kind
        batched = _texts(model, renderer, prompts, 8)
        single = _texts(model, renderer, prompts, 1)
    monkeypatch.setenv("BREWSLM_DEVICE", "cpu")
    with answering_model(load_model(NANO, Loading()), adapter) as model:
        assert next(model.parameters()).device.type == "cpu"
        reference = _texts(model, renderer, prompts, 8)
    assert batched == single == reference
    assert len(set(batched)) > 1


def _base(folder: Path, *, is_large: bool) -> Path:
    """Write a base with the tokenizer of nano whose weights and activations outweigh the rest."""
    nano = json.loads((NANO / "config.json").read_text())
    config = LlamaConfig(
        vocab_size=nano["vocab_size"],
        hidden_size=1024 if is_large else 512,
        intermediate_size=2816 if is_large else 1408,
        num_hidden_layers=12 if is_large else 6,
        num_attention_heads=16 if is_large else 8,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=nano["bos_token_id"],
        eos_token_id=nano["eos_token_id"],
        pad_token_id=nano["pad_token_id"],
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    for path in NANO.iterdir():
        if "token" in path.name or path.name.endswith(".jinja"):
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize(
    ("device", "quantization"),
    [
        pytest.param("cpu", "none", marks=pytest.mark.slow),
        pytest.param("cuda", "none", marks=pytest.mark.gpu),
        pytest.param("cuda", "nf4", marks=pytest.mark.gpu),
    ],
    indirect=["device"],
)
def test_the_forecast_of_memory_holds(
    tmp_path: Path, training_job: MakeJob, device: Device, quantization: str
) -> None:
    """The upper end must not be passed, and the lower end must not be absurd."""
    torch.manual_seed(0)
    folder = tmp_path / "base"
    folder.mkdir()
    base = _base(folder, is_large=device.kind == "cuda")
    rows = tmp_path / "rows"
    rows.mkdir()
    lines = []
    for number in range(32):
        row = prepared_row(number)
        row["messages"][0]["content"] = " ".join(["the light is red and it rains"] * 20)
        lines.append(json.dumps(row))
    (rows / "train.jsonl").write_text("\n".join(lines) + "\n")
    job = training_job(
        max_steps=3,
        batch_size=16,
        eval_strategy="no",
        save_strategy="no",
        quantization=quantization,
        **(BF16 if device.kind == "cuda" else {}),
    )
    inputs = {"model": str(base), "prepared": str(rows)}
    path = tmp_path / "job.json"
    path.write_text(job.model_copy(update={"inputs": inputs}).model_dump_json())
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.loaded.limited", path, "0"],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    values = json.loads(done.stdout)["values"]
    tokens = values["seen_tokens"] // (3 * 16)
    config = TrainingConfig.model_validate(job.spec["config"], strict=False)
    prepared = {
        "splits": {"train": 32},
        "lengths": {"splits": {"train": {"tokens": {"max": tokens}}}},
    }
    expected = forecast(config, prepared, read_base_model(base, "base", DigestCache(0), tmp_path))
    outside = FRAMEWORK_BYTES if device.kind == "cuda" else 0  # torch counts no driver's context
    peak_bytes = values["peak_bytes"] + outside
    print(f"{device}: {quantization}: peak {peak_bytes >> 20} MiB, forecast {expected}")  # noqa: T201  a person notes it
    assert expected.low is not None
    assert expected.high is not None
    assert peak_bytes <= expected.high
    assert expected.low <= 2 * peak_bytes


def test_a_record_names_the_device(device: Device) -> None:
    told = environment()
    facts = devices.facts()
    assert (told["device_kind"], told["device"]) == (device.kind, facts.name)
    assert told["memory_bytes"] == facts.memory_bytes
    if device.kind == "cuda":
        assert device.name in (facts.name, "")
        totals = (device.total_bytes or 0, facts.memory_bytes or 0)
        assert device.total_bytes is None or abs(totals[0] - totals[1]) < 2 << 30
        assert told["has_bf16"] is device.has_bf16 or device.compute is None


def test_a_worker_of_its_own_sees_that_device(
    training_job: MakeJob, device: Device, tmp_path: Path
) -> None:
    job = training_job(**SHORT)
    worker = ProcessWorker(tmp_path / "worker.log", device.shown_alone(os.environ))
    try:
        values = worker.run(job, lambda _message: None, Stop()).values
    finally:
        worker.close()
    assert values["steps"] == 4
    assert _record(job, "environment.json")["device_kind"] == device.kind
