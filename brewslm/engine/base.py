"""Loading a base model and its tokenizer from a local folder, the same way for every door."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from brewslm.engine.devices import device, dtype_of
from brewslm.engine.out_of_memory import is_out_of_memory
from brewslm.engine.panics import refusing_panics, worker_refusal
from brewslm.engine.weights import check_loaded
from brewslm.errors import RefusedError, WorkerError
from brewslm.rows.confined_tokens import refused
from brewslm.rows.templates import TEMPLATES
from brewslm.rows.tokenizer_trial import try_tokenizer

_TOKENIZER = "tokenizer.json"
_PLAIN = ("The quick brown fox", "13", "?")
_FOUR_BIT = ("nf4", "fp4")


@dataclass(frozen=True)
class Loading:
    """How the weights of a base model are held."""

    quantization: str = "none"
    dtype: str = "float32"
    is_double_quantized: bool = True
    compute_dtype: str = "auto"
    attention: str = "auto"
    chat_template: str = "llama3"
    use_tokenizer_chat_template: bool = True

    @classmethod
    def of(cls, config: Mapping[str, Any], host: Mapping[str, Any]) -> "Loading":
        """Return what a training config asks for, where the host's own values win."""
        values = {**config, **host}
        return cls(
            quantization=str(values["quantization"]),
            dtype=str(values["dtype"]),
            is_double_quantized=bool(values["bnb_4bit_use_double_quant"]),
            compute_dtype=str(values.get("bnb_4bit_compute_dtype", "auto")),
            attention=str(values.get("attn_implementation", "auto")),
            chat_template=str(values["chat_template"]),
            use_tokenizer_chat_template=bool(values["use_tokenizer_chat_template"]),
        )

    @property
    def is_quantized(self) -> bool:
        """Whether frozen weights are held in fewer than 16 bits."""
        return self.quantization != "none"

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype of weights that are not quantised, and of the computation."""
        return dtype_of(self.dtype)


def load_model(folder: Path, loading: Loading) -> PreTrainedModel:
    """Return the base model, in evaluation mode, from local safetensors files only.

    Raises: WorkerError with training_runtime_error when the folder holds no loadable model, and
    with base_weights_missing when its tensors are not those of its config.
    """
    quantization = _quantization(loading)
    try:
        model, loading_info = AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=loading.torch_dtype,
            # None: sdpa where the architecture supports it, else eager
            attn_implementation=None if loading.attention == "auto" else loading.attention,
            quantization_config=quantization,
            device_map={"": device()} if quantization is not None else None,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # reported below, by name
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError) as error:
        if is_out_of_memory(error):
            raise
        said = str(error).strip().splitlines()[0][:300]
        is_attention = loading.attention != "auto" and "attention" in said.lower()
        raise WorkerError(
            "the base model cannot be loaded",
            code="training_runtime_error",
            found=f"{folder.name}: {said}",
            expected="a causal language model as safetensors with its config",
            remedy="write attn_implementation: auto"
            if is_attention
            else "name another base_model, or complete its folder",
        ) from error
    check_loaded(model, loading_info, folder.name)
    if quantization is None:
        model = model.to(device())
    model.generation_config.max_length = None
    model.eval()
    return model


def attention_of(model: Any) -> str:
    """Return how a loaded model computes attention: what `auto` came to."""
    return str(getattr(model.config, "_attn_implementation", ""))


def load_tokenizer(folder: Path, loading: Loading) -> PreTrainedTokenizerBase:
    """Return the tokenizer with the chat template that this run uses.

    Raises: WorkerError with base_refused; ImportError where a library is not installed.
    """
    try:
        if (folder / _TOKENIZER).is_file():
            try_tokenizer(folder / _TOKENIZER)
        with refusing_panics():
            tokenizer = _loaded_tokenizer(folder)
    except RefusedError as error:
        raise worker_refusal(error) from error
    if not loading.use_tokenizer_chat_template:
        tokenizer.chat_template = TEMPLATES[loading.chat_template]
    if not tokenizer.chat_template:
        tokenizer.chat_template = TEMPLATES[loading.chat_template]
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _loaded_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer as its files say, proven to have tokens for plain text.

    Raises: RefusedError with base_refused.
    """
    tokenizer = AutoTokenizer.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False
    )
    if not all(tokenizer(list(_PLAIN), add_special_tokens=False)["input_ids"]):
        raise refused("it has no tokens for plain text")
    return tokenizer


def _quantization(loading: Loading) -> BitsAndBytesConfig | None:
    if not loading.is_quantized:
        return None
    if loading.quantization in _FOUR_BIT:
        compute = loading.dtype if loading.compute_dtype == "auto" else loading.compute_dtype
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=loading.quantization,
            bnb_4bit_use_double_quant=loading.is_double_quantized,
            bnb_4bit_compute_dtype=dtype_of(compute),
        )
    return BitsAndBytesConfig(load_in_8bit=True)
