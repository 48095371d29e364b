"""What actions cost: seconds from past runs or from tokens and parameters, bytes from the model's
shape.

Memory of a training run, in bytes: weights at their load dtype, LoRA weights with gradients and
AdamW's two moments in float32, activations a layer, the logits of a batch in three copies, and a
fixed share of the framework.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from brewslm.plan.action import Estimate, Price
from brewslm.plan.base_model import BaseModel, lora_parameters, target_names
from brewslm.stages.training_config import TrainingConfig
from brewslm.state.records import OperationRecord, OperationStatus

_FLOPS_A_S = 2e10
"""Assumed floating-point operations a second where no run was measured; wrong by up to a factor of
four.
"""
_SPREAD = 4.0
_START_S = 15.0
"""Loading the libraries and the model, once a worker."""
_FRAMEWORK_BYTES = 700 << 20
"""Interpreter, torch, transformers and trl in memory; 600 to 800 MiB measured on Linux."""
_QUANTIZED_BYTES = {"nf4": 0.56, "fp4": 0.56, "int8": 1.05}
_CHARACTERS_A_TOKEN = 3.0


@dataclass(frozen=True)
class Work:
    """The size of a training run, from counts alone."""

    rows: int
    tokens: float
    """Of one pass over the train rows."""
    steps: int
    epochs: float


def training_work(config: TrainingConfig, prepared: Mapping[str, Any]) -> Work:
    """Return how much a recipe has to do on prepared rows."""
    rows = int(prepared.get("train_rows_effective") or prepared["splits"]["train"])
    effective_batch = config.batch_size * config.gradient_accumulation_steps
    epochs = epochs_of(config, rows)
    steps = max(1, round(-(-rows // effective_batch) * epochs))
    if config.max_steps > 0:
        steps, epochs = config.max_steps, config.max_steps * effective_batch / max(rows, 1)
    return Work(rows, rows * tokens_a_row(prepared, "train"), steps, epochs)


def epochs_of(config: TrainingConfig, rows: int) -> float:
    """Return the passes over the train set."""
    if config.auto_epochs:
        return 5.0 if rows < 500 else 3.0 if rows < 5000 else 2.0
    return config.num_epochs


def tokens_a_row(prepared: Mapping[str, Any], split: str) -> float:
    """Return the median tokens of a set's rows, from measured or estimated lengths."""
    lengths = (prepared.get("lengths") or {}).get(split) or {}
    tokens = lengths.get("tokens") or {}
    if tokens.get("p50"):
        return float(tokens["p50"])
    characters = (lengths.get("characters") or {}).get("p50") or 300
    return float(characters) / _CHARACTERS_A_TOKEN


def training_price(
    config: TrainingConfig, work: Work, base: BaseModel | None, past: Sequence[OperationRecord]
) -> Price:
    """Return the price of a training run."""
    if base is None:
        missing = Estimate(basis="the base model's files are not here")
        return Price(wall_s=missing, memory_bytes=missing, disk_bytes=missing)
    trained = lora_parameters(target_names(_target(config), base), config.lora_r, base)
    memory = float(sum(memory_terms(config, work, base, trained).values()))
    flops = 6.0 * base.parameters * work.tokens * work.epochs
    return Price(
        wall_s=_wall(past, flops / _FLOPS_A_S + _START_S),
        memory_bytes=_measured(past, "memory_bytes")
        or Estimate.estimated(memory, memory * 0.8, memory * 1.4, "the model's config"),
        disk_bytes=Estimate.estimated(4.0 * trained, 4.0 * trained, 4.6 * trained + 65536, "rank"),
    )


def memory_terms(
    config: TrainingConfig, work: Work, base: BaseModel, trained: int
) -> dict[str, float]:
    """Return each term of the memory forecast in bytes."""
    tokens = min(config.max_seq_length, work.tokens / max(work.rows, 1) * 2)
    positions = config.batch_size * tokens
    load_bytes = _QUANTIZED_BYTES.get(config.quantization, 4.0)
    embedding = base.vocab_size * base.hidden_size
    per_layer = positions * (16 * base.hidden_size + 3 * base.intermediate_size) * 4.0
    kept = positions * base.hidden_size * 4.0
    layers = (
        kept * base.layers + per_layer if config.gradient_checkpointing else per_layer * base.layers
    )
    return {
        "weights": (base.parameters - embedding) * load_bytes + embedding * 4.0,
        "lora": trained * 4.0 * 4,
        "activations": layers,
        "logits": positions * base.vocab_size * 4.0 * 3,
        "framework": float(_FRAMEWORK_BYTES),
    }


def evaluation_price(
    rows_by_part: Mapping[str, int],
    prepared: Mapping[str, Any],
    base: BaseModel | None,
    past: Sequence[OperationRecord],
) -> Price:
    """Return the price of generating answers; rows_by_part: prediction parts that are not there
    yet.
    """
    rows = sum(rows_by_part.values())
    if rows == 0:
        return Price.free("no model is loaded")
    if base is None:
        return Price(disk_bytes=Estimate.estimated(rows * 1024, rows * 200, rows * 8192, "rows"))
    tokens = rows * (tokens_a_row(prepared, "gold_test") + 48)
    seconds = 2.0 * base.parameters * tokens * 4 / _FLOPS_A_S + _START_S
    memory = base.weight_bytes * 2.0 + _FRAMEWORK_BYTES
    return Price(
        wall_s=_wall(past, seconds),
        memory_bytes=Estimate.estimated(memory, memory * 0.8, memory * 1.5, "the model's config"),
        disk_bytes=Estimate.estimated(rows * 1024, rows * 200, rows * 8192, "rows"),
    )


def export_price(
    format_name: str, base: BaseModel | None, adapter_bytes: float, past: Sequence[OperationRecord]
) -> Price:
    """Return the price of writing and verifying an export."""
    if base is None:
        return Price()
    size_bytes = adapter_bytes if format_name == "adapter" else float(base.size_bytes)
    memory = base.parameters * 4.0 * 2 + _FRAMEWORK_BYTES
    return Price(
        wall_s=_wall(past, base.parameters * 2e-6 + _START_S / 3),
        memory_bytes=Estimate.estimated(memory, memory * 0.8, memory * 1.5, "the model's config"),
        disk_bytes=Estimate.estimated(
            2 * size_bytes, 2 * size_bytes * 0.9, 2 * size_bytes * 1.2 + 65536, "the format"
        ),
    )


def total(prices: Sequence[Price]) -> Price:
    """Return the price of a plan: sums of time and disk, the peak of memory."""
    return Price(
        wall_s=_sum([price.wall_s for price in prices]),
        memory_bytes=_peak([price.memory_bytes for price in prices]),
        disk_bytes=_sum([price.disk_bytes for price in prices]),
        download_bytes=_sum([price.download_bytes for price in prices]),
    )


def _target(config: TrainingConfig) -> object:
    return config.target_modules


def _wall(past: Sequence[OperationRecord], guess_s: float) -> Estimate:
    measured = _measured(past, "wall_s")
    if measured is not None:
        return measured
    basis = "tokens and parameters"
    return Estimate.estimated(guess_s, guess_s / _SPREAD, guess_s * _SPREAD, basis)


def _measured(past: Sequence[OperationRecord], name: str) -> Estimate | None:
    values = sorted(
        float(item.actual[name])
        for item in past
        if item.status is OperationStatus.ENDED and item.actual.get(name)
    )
    if not values:
        return None
    middle = values[len(values) // 2]
    basis = f"{len(values)} runs" if len(values) > 1 else "1 run"
    return Estimate.estimated(middle, values[0] * 0.8, values[-1] * 1.25, basis)


def _sum(items: Sequence[Estimate]) -> Estimate:
    known = [item for item in items if item.value is not None]
    if len(known) < len(items):
        missing = next(item.basis for item in items if item.value is None)
        return Estimate(basis=missing)
    label = "exact" if all(item.label == "exact" for item in known) else "estimated"
    return Estimate(
        value=sum(item.value or 0 for item in known),
        low=sum(item.low or 0 for item in known),
        high=sum(item.high or 0 for item in known),
        label=label,
    )


def _peak(items: Sequence[Estimate]) -> Estimate:
    known = [item for item in items if item.value is not None]
    if len(known) < len(items):
        return Estimate(basis=next(item.basis for item in items if item.value is None))
    return max(known, key=lambda item: item.high or 0, default=Estimate.exact(0))
