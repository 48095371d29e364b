"""LoRA and its relatives on a base model, and the proof that training did something."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from brewslm.engine.base import Loading
from brewslm.engine.weights import adapter_attached
from brewslm.errors import WorkerError
from brewslm.stages.training_config import TrainingConfig

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
_PROBE_TOKENS = 8


def target_modules(config: TrainingConfig, model: PreTrainedModel) -> list[str]:
    """Return the last parts of the names of the linear modules that get an adapter.

    Raises: WorkerError with training_no_targets, naming the modules that exist.
    """
    names = linear_names(model)
    match config.target_modules:
        case "all-linear":
            chosen = sorted(names)
        case "attn":
            chosen = [name for name in ATTENTION if name in names]
        case "attn_mlp":
            chosen = [name for name in ATTENTION + MLP if name in names]
        case "auto":
            chosen = [name for name in ATTENTION + MLP if name in names] or sorted(names)
        case modules:
            chosen = [name for name in modules if name.rpartition(".")[2] in names]
    if not chosen:
        raise WorkerError(
            "no module of the base model matches target_modules",
            code="training_no_targets",
            found=str(config.target_modules),
            expected="one of " + ", ".join(sorted(names)),
            remedy="write target_modules: all-linear, or names of that list",
        )
    return chosen


def linear_names(model: PreTrainedModel) -> set[str]:
    """Return the last parts of the names of all linear modules but the output head; those of GPT-2
    are linear modules too, though stored the other way round.
    """
    head = model.get_output_embeddings()
    return {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, (torch.nn.Linear, Conv1D)) and module is not head
    }


def add_lora(model: PreTrainedModel, config: TrainingConfig, loading: Loading) -> PeftModel:
    """Return the base model with a fresh adapter; only the adapter's parameters are trained, in
    float32.
    """
    targets = target_modules(config, model)
    if loading.is_quantized:
        model = prepare_model_for_kbit_training(
            model, use_gradient_checkpointing=config.gradient_checkpointing
        )
    wrapped = get_peft_model(
        model,
        LoraConfig(
            task_type="CAUSAL_LM",
            r=config.lora_r,
            lora_alpha=config.lora_alpha,
            lora_dropout=config.lora_dropout,
            bias=config.lora_bias,
            target_modules=targets,
            modules_to_save=list(config.modules_to_save) or None,
            use_dora=config.use_dora,
            use_rslora=config.use_rslora,
            init_lora_weights=config.init_lora_weights,
        ),
    )
    if not isinstance(wrapped, PeftModel):
        raise TypeError("peft returned another kind of model")
    return wrapped


def attach(model: PreTrainedModel, folder: Path) -> PeftModel:
    """Return the base model with a trained adapter, not trainable.

    Raises: WorkerError with base_weights_missing when the adapter's tensors are not those that its
    config asks for on this model.
    """
    attached = adapter_attached(model, folder)
    attached.eval()
    return attached


def trained_state(model: PeftModel) -> dict[str, torch.Tensor]:
    """Return copies of all trained tensors, by parameter name, on the CPU."""
    return {
        name: parameter.detach().to("cpu", copy=True)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def set_trained_state(model: PeftModel, state: Mapping[str, torch.Tensor]) -> None:
    """Put tensors back that `trained_state` returned."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in state:
                parameter.data = state[name].to(parameter.device, parameter.dtype, copy=True)


def check_effect(model: PeftModel, input_ids: list[int]) -> dict[str, Any]:
    """Prove that every trained tensor is finite and that the adapter changes the logits.

    Raises: WorkerError with training_nonfinite_loss or training_runtime_error.
    """
    norms = {
        name: float(tensor.float().norm())
        for name, tensor in trained_state(model).items()
        if "lora_B" in name
    }
    if not all(math.isfinite(norm) for norm in norms.values()):
        raise WorkerError(
            "a trained tensor is not finite",
            code="training_nonfinite_loss",
            found=next(name for name, norm in norms.items() if not math.isfinite(norm)),
            remedy="lower learning_rate, or write dtype: float32",
        )
    device = next(model.parameters()).device
    probe = torch.tensor([input_ids[:_PROBE_TOKENS] or [0]], device=device)
    with torch.no_grad():
        tuned = model(input_ids=probe).logits.float()
        with model.disable_adapter():
            base = model(input_ids=probe).logits.float()
    difference = float((tuned - base).abs().max())
    if difference == 0 or not any(norms.values()):
        raise WorkerError(
            "training changed nothing: logits with and without the adapter are equal",
            code="training_runtime_error",
            found="largest difference of the logits 0",
            remedy="raise learning_rate or num_epochs",
        )
    return {"logits_max_difference": difference, "lora_b_norm": math.hypot(*norms.values())}
