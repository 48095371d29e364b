"""What actions cost: seconds from this project's past runs, else from tokens, parameters and the
constants of the device; bytes from the model's shape.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from brewslm.plan import memory, past
from brewslm.plan.action import Estimate, Price
from brewslm.plan.base_model import BaseModel
from brewslm.plan.device import LOAD_S, Device
from brewslm.plan.lengths import mean_tokens
from brewslm.plan.work import evaluations, training_work
from brewslm.stages.eval_pack import EvalPackSpec
from brewslm.stages.export_format import FORMATS
from brewslm.stages.training_config import TrainingConfig
from brewslm.state.records import OperationRecord

_TRAIN_FLOPS = 4.0
"""Operations a token and parameter with a frozen base: forward 2, gradients of activations 2."""
_READ_FLOPS = 2.0
_CHECKPOINTING = 1.25
"""Activations are computed twice; 17 to 40 % longer, measured on two cores."""
_DISTANCE_TO_BASE = 1.33
"""A second forward pass with the LoRA adapter off; measured on two cores."""
_ANSWER_TOKENS = 24
"""Assumed length of the longest answer of a batch, where the pack names no lower limit."""
_SCORING_S = 1.5
"""Resampling the metrics of one evaluation, measured on two cores."""
_PARITY_ROWS = 32
"""Rows on which an export is compared with the trained model."""
_WRITE_BYTES_A_S = 2e8


class Basis(Struct, frozen=True):
    """What the price of an action rests on."""

    base: BaseModel
    prepared: Mapping[str, Any]
    """Manifest of the prepared rows."""
    device: Device
    past: Sequence[OperationRecord]
    """Journal entries of the same resource."""
    start_s: float
    """Seconds to start a worker, 0 where an earlier action of the plan has started it."""


def training_price(config: TrainingConfig, basis: Basis) -> Price:
    """Return the price of a training run; config: as the host carries it out."""
    base = basis.base
    work = training_work(config, basis.prepared)
    alike = past.comparable(basis.past, base.digest, {"quantization": config.quantization})
    measured = past.scaled_seconds(alike, "tokens", work.tokens * work.epochs, basis.start_s)
    shape = {name: getattr(config, name) for name in ("batch_size", "max_seq_length", "lora_r")}
    peak = past.memory(past.comparable(alike, base.digest, shape))
    adapter_bytes = 4.0 * memory.trained_parameters(config, base)
    return Price(
        wall_s=measured or _predicted(_training_s(config, basis), basis, "tokens and parameters"),
        memory_bytes=peak or memory.forecast(config, basis.prepared, base),
        disk_bytes=Estimate.estimated(
            adapter_bytes, adapter_bytes, 1.15 * adapter_bytes + 65536, "rank"
        ),
    )


def evaluation_price(
    spec: EvalPackSpec, rows_by_part: Mapping[str, int], basis: Basis, *, is_scored: bool
) -> Price:
    """Return the price of an evaluation.

    rows_by_part: prediction parts that are not there yet, named predictions.ROLE.SET; is_scored:
    whether the metrics of all predictions are there already.
    """
    rows = sum(rows_by_part.values())
    if is_scored:
        return Price.free("no model is loaded")
    disk = Estimate.estimated(rows * 1024, rows * 200, rows * 8192, "rows")
    if not rows:
        return Price(
            wall_s=_predicted(_SCORING_S, basis, "scoring alone"),
            memory_bytes=Estimate.estimated(2e8, 1e8, 4e8, "no model is loaded"),
            disk_bytes=disk,
        )
    alike = past.comparable(basis.past, basis.base.digest)
    measured = past.scaled_seconds(alike, "rows", rows, basis.start_s)
    predicted_s = _answering_s(spec, rows_by_part, basis) + _SCORING_S
    peak = basis.base.parameters * 4.0 * 2 + memory.FRAMEWORK_BYTES
    return Price(
        wall_s=measured or _predicted(predicted_s, basis, "rows and parameters"),
        memory_bytes=Estimate.estimated(peak, peak * 0.8, peak * 1.5, "the model's config"),
        disk_bytes=disk,
    )


def export_price(format_name: str, adapter_bytes: float, basis: Basis) -> Price:
    """Return the price of writing and verifying an export."""
    base = basis.base
    size_bytes = FORMATS.load(format_name).size(float(base.size_bytes), adapter_bytes)
    tokens = _PARITY_ROWS * mean_tokens(basis.prepared, "train")
    compared_s = 2 * basis.device.compute_s(
        _READ_FLOPS * base.parameters * tokens, base.hidden_size
    )
    written_s = base.parameters * 4.0 / _WRITE_BYTES_A_S
    peak = base.parameters * 4.0 * 2 + memory.FRAMEWORK_BYTES
    measured = past.seconds(past.comparable(basis.past, base.digest), basis.start_s)
    return Price(
        wall_s=measured or _predicted(2 * LOAD_S + compared_s + written_s, basis, "parameters"),
        memory_bytes=Estimate.estimated(peak, peak * 0.8, peak * 1.5, "the model's config"),
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


def _training_s(config: TrainingConfig, basis: Basis) -> float:
    base, device = basis.base, basis.device
    work = training_work(config, basis.prepared)
    flops = _TRAIN_FLOPS * base.parameters * work.tokens * work.epochs
    micro_steps = work.steps * config.gradient_accumulation_steps
    seconds = device.compute_s(flops, base.hidden_size) + micro_steps * device.step_s(base.layers)
    if config.gradient_checkpointing:
        seconds *= _CHECKPOINTING
    if config.kl_lambda:
        seconds *= _DISTANCE_TO_BASE
    rows = int(basis.prepared["splits"].get("validation") or 0)
    tokens = rows * mean_tokens(basis.prepared, "validation")
    read_s = device.compute_s(_READ_FLOPS * base.parameters * tokens, base.hidden_size)
    return LOAD_S + seconds + read_s * evaluations(config, work)


def _answering_s(spec: EvalPackSpec, rows_by_part: Mapping[str, int], basis: Basis) -> float:
    base, device = basis.base, basis.device
    new_tokens = min(spec.generation.max_new_tokens or _ANSWER_TOKENS, _ANSWER_TOKENS)
    seconds = 0.0
    for part, rows in rows_by_part.items():
        read = 2 * mean_tokens(basis.prepared, part.rpartition(".")[2])
        flops = _READ_FLOPS * base.parameters * rows * (read + new_tokens)
        batches = -(-rows // spec.generation.batch_size)
        passes_s = batches * new_tokens * device.pass_s(base.layers)
        seconds += device.compute_s(flops, base.hidden_size) + passes_s
    return seconds + LOAD_S * len(rows_by_part)


def _predicted(work_s: float, basis: Basis, why: str) -> Estimate:
    value, spread = basis.start_s + work_s, basis.device.spread
    return Estimate.estimated(value, value / spread, value * spread, why)


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
    if not known:
        return Estimate.exact(0)
    heaviest = max(known, key=lambda item: item.value or 0)
    return heaviest.model_copy(
        update={
            "low": max(item.low or 0 for item in known),
            "high": max(item.high or 0 for item in known),
        }
    )
