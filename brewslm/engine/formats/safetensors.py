"""Export format `safetensors`: base model and adapter merged in float32, saved in the base's dtype,
with tokenizer and chat template. A base that was quantised while training is not what is merged
into: the full-precision base is.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedModel

from brewslm.engine import models
from brewslm.engine.base import Loading, load_model
from brewslm.engine.devices import DTYPES
from brewslm.engine.format_writer import Export, FormatWriter
from brewslm.engine.loading_snippet import merged_snippet
from brewslm.engine.lora import attach

_BITS = {torch.float32: 32, torch.float16: 16, torch.bfloat16: 8}
"""Bits that say how close the merged model has to be: bfloat16 keeps 8 of a number, and rounding
to it moves a small adapter as far as 8-bit quantisation does.
"""


def _in_full(held: Loading) -> Loading:
    return replace(held, quantization="none", dtype="float32")


@contextlib.contextmanager
def _open(export: Export) -> Iterator[Any]:
    models.forget()
    yield attach(load_model(export.base, export.loading), export.lora_adapter)


def _write(export: Export, trained: Any) -> None:
    merged = trained.merge_and_unload(safe_merge=True)
    _save(merged, _base_dtype(export.base), export.folder)


def _save(model: PreTrainedModel, dtype: torch.dtype, folder: Path) -> None:
    model.to(dtype)
    model.config.dtype = dtype
    model.save_pretrained(str(folder))


@contextlib.contextmanager
def _reopen(export: Export) -> Iterator[Any]:
    dtype = _base_dtype(export.base)
    name = next(name for name, value in DTYPES.items() if value is dtype)
    yield load_model(export.folder, replace(export.loading, dtype=name))


def _bits(export: Export) -> int:
    return _BITS[_base_dtype(export.base)]


def _base_dtype(folder: Path) -> torch.dtype:
    found = AutoConfig.from_pretrained(str(folder), local_files_only=True).dtype
    return found if isinstance(found, torch.dtype) and found in _BITS else torch.float32


def _snippet(export: Export) -> str:
    return merged_snippet(str(export.options.get("folder", ".")))


WRITER = FormatWriter(
    loading=_in_full,
    open=_open,
    write=_write,
    needs_model=True,
    reopen=_reopen,
    bits=_bits,
    library="transformers",
    snippet=_snippet,
)
