"""Export format `adapter`: the LoRA adapter as a PEFT folder, with tokenizer, card, checksums."""

import json
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from brewslm.engine.base import Loading
from brewslm.engine.format_writer import Export, FormatWriter
from brewslm.engine.loading_snippet import adapter_snippet
from brewslm.engine.models import answering_model, base_model
from brewslm.files import write_atomic

_BITS = 32
_CONFIG = "adapter_config.json"
_FILES = (_CONFIG, "adapter_model.safetensors", "brewslm.json")
"""What is taken of a LoRA adapter; one that was imported may bring a tokenizer of its own."""


def _as_trained(held: Loading) -> Loading:
    return held


def _open(export: Export) -> AbstractContextManager[Any]:
    model, _ = base_model(export.base, export.loading)
    return answering_model(model, export.lora_adapter)


def _reopen(export: Export) -> AbstractContextManager[Any]:
    model, _ = base_model(export.base, export.loading)
    return answering_model(model, export.folder)


def _write(export: Export, _trained: Any) -> None:
    for name in _FILES:
        if (export.lora_adapter / name).is_file():
            shutil.copyfile(export.lora_adapter / name, export.folder / name)
    _name_base(export.folder / _CONFIG, export.options)


def _name_base(path: Path, options: Mapping[str, Any]) -> None:
    """Make an adapter's configuration name its base as libraries load it in the project folder."""
    if "base_path" not in options:
        return
    config = json.loads(path.read_bytes())
    config["base_model_name_or_path"] = options["base_path"]
    config["revision"] = options["card"]["base"]["revision"]
    text = json.dumps(config, indent=2, sort_keys=True)
    write_atomic(path, text.encode(), mode=0o644)


def _bits(_export: Export) -> int:
    return _BITS


def _snippet(export: Export) -> str:
    base = dict(export.options.get("card", {})).get("base", {})
    return adapter_snippet(base, str(export.options.get("folder", ".")))


WRITER = FormatWriter(
    loading=_as_trained,
    open=_open,
    write=_write,
    needs_model=False,
    reopen=_reopen,
    bits=_bits,
    library="peft",
    snippet=_snippet,
)
