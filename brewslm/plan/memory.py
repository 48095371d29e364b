"""The peak memory of a training run, forecast from the model's shape before anything is loaded.

In bytes: weights at their load dtype, LoRA weights with gradients and AdamW's two moments in
float32, activations of the layers and the gradients of the one at work, the logits of a batch in
three copies, and a fixed share of the framework.
"""

from collections.abc import Mapping
from typing import Any

from brewslm.plan.action import Estimate
from brewslm.plan.base_model import BaseModel, lora_parameters, target_names
from brewslm.plan.lengths import max_tokens
from brewslm.stages.training_config import TrainingConfig

FRAMEWORK_BYTES = 700 << 20
"""Interpreter, torch, transformers and trl in memory; 600 to 800 MiB measured on Linux."""
_LOW, _HIGH = 0.8, 1.4
_SHORTEST = 128
"""Tokens below which no shorter rows are proposed."""
_QUANTIZED_BYTES = {"nf4": 0.56, "fp4": 0.56, "int8": 1.05}
_DTYPE_BYTES = {"float16": 2.0, "bfloat16": 2.0}
_ATTENTION_COPIES, _MLP_COPIES = 9, 4
"""Tensors of the hidden and the intermediate size that a layer keeps for its backward pass: counted
by autograd's hooks on a Llama layer with LoRA on all linear modules.
"""
_DROPOUT_ATTENTION_COPIES, _DROPOUT_MLP_COPIES = 10, 1
"""What LoRA dropout keeps besides: each module's own input and its mask."""
_HALF_RATIO = 2 / 3
"""Share that is kept where the layers compute in 16 bits; norms and LoRA stay in 32."""


def memory_terms(
    config: TrainingConfig, prepared: Mapping[str, Any], base: BaseModel
) -> dict[str, float]:
    """Return each term of the forecast in bytes; config: as the host carries it out."""
    rows = min(config.batch_size, int(prepared["splits"]["train"]))
    positions = rows * min(config.max_seq_length, max_tokens(prepared, "train"))
    dtype_bytes = _DTYPE_BYTES.get(config.dtype, 4.0)
    load_bytes = _QUANTIZED_BYTES.get(config.quantization, dtype_bytes)
    embedding = base.vocab_size * base.hidden_size
    has_dropout = config.lora_dropout > 0
    hidden = _ATTENTION_COPIES + _DROPOUT_ATTENTION_COPIES * has_dropout
    intermediate = _MLP_COPIES + _DROPOUT_MLP_COPIES * has_dropout
    widths = hidden * base.hidden_size + intermediate * base.intermediate_size
    layer = positions * widths * 4.0 * (_HALF_RATIO if config.dtype in _DTYPE_BYTES else 1.0)
    kept = positions * base.hidden_size * 4.0
    return {
        "weights": (base.parameters - embedding) * load_bytes + embedding * dtype_bytes,
        "LoRA and optimizer": trained_parameters(config, base) * 4.0 * 4,
        "activations": (
            kept * base.layers + 2 * layer
            if config.gradient_checkpointing
            else layer * (base.layers + 1)
        ),
        "logits": positions * base.vocab_size * 4.0 * 3,
        "framework": float(FRAMEWORK_BYTES),
    }


def forecast(config: TrainingConfig, prepared: Mapping[str, Any], base: BaseModel) -> Estimate:
    """Return the peak memory with its band."""
    peak = sum(memory_terms(config, prepared, base).values())
    return Estimate.estimated(peak, peak * _LOW, peak * _HIGH, "the model's config")


def trained_parameters(config: TrainingConfig, base: BaseModel) -> int:
    """Return the parameters of the LoRA adapter."""
    return lora_parameters(target_names(config.target_modules, base), config.lora_r, base)


def remedies(
    config: TrainingConfig, prepared: Mapping[str, Any], base: BaseModel, capacity_bytes: int
) -> list[str]:
    """Return the smallest changes after which a run surely fits.

    Each does alone, those that keep the mathematics first; where none does, one answer names as
    many as are needed together. Empty when nothing helps.
    """

    def fits(changes: Mapping[str, Any]) -> bool:
        changed = config.model_copy(update=dict(changes))
        return (forecast(changed, prepared, base).high or 0) <= capacity_bytes

    by_kind = [steps for steps in _changes(config) if steps]
    alone = [next((change for change in steps if fits(change)), None) for steps in by_kind]
    found = [_written(change) for change in alone if change is not None]
    together: dict[str, Any] = {}
    for steps in [] if found else by_kind:
        together |= steps[-1]
        if fits(together):
            return [_written(together)]
    return found


def _changes(config: TrainingConfig) -> list[list[dict[str, Any]]]:
    """Return for each kind of change its steps, the smallest first."""
    effective = config.batch_size * config.gradient_accumulation_steps
    batches = [size for size in _halves(config.batch_size, 1) if effective % size == 0]
    return [
        [
            {"batch_size": size, "gradient_accumulation_steps": effective // size}
            for size in batches
        ],
        [] if config.gradient_checkpointing else [{"gradient_checkpointing": True}],
        [{"max_seq_length": length} for length in _halves(config.max_seq_length, _SHORTEST)],
        [{"quantization": "nf4"}] if config.quantization == "none" else [],
    ]


def _halves(value: int, lowest: int) -> list[int]:
    found = []
    while value // 2 >= lowest:
        value //= 2
        found.append(value)
    return found


def _written(changes: Mapping[str, Any]) -> str:
    values = [
        f"{name}: {str(value).lower() if isinstance(value, bool) else value}"
        for name, value in changes.items()
    ]
    return " and ".join(values)
