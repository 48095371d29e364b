"""What a run of training says about itself: libraries, device, data."""

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from brewslm.engine.base import threads
from brewslm.engine.tokens import Tokenized
from brewslm.fingerprint import digest_file

_LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "datasets", "accelerate")


def environment() -> dict[str, Any]:
    """Return what a run was made with: libraries, device, threads."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "packages": {name: _version(name) for name in _LIBRARIES},
        "device": device_name(),
        "has_cuda": torch.cuda.is_available(),
        "has_bf16": torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        "memory_bytes": torch.cuda.get_device_properties(0).total_memory
        if torch.cuda.is_available()
        else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "threads": threads(),
    }


def device_name() -> str:
    """Return the name of the device that computes."""
    return torch.cuda.getdevice_name(0) if torch.cuda.is_available() else "cpu"


def data_document(prepared: Path, sets: Mapping[str, tuple[str, Tokenized]]) -> dict[str, Any]:
    """Return digests and counts of the prepared files that are there.

    sets: by name, the file and what was made of it.
    """
    return {
        name: {
            "digest": digest_file(prepared / file),
            "rows": len(tokenized.rows),
            "left_out": tokenized.left_out,
            "tokens": sum(len(row.input_ids) for row in tokenized.rows),
            "trained_tokens": sum(row.trained_tokens for row in tokenized.rows),
        }
        for name, (file, tokenized) in sets.items()
        if (prepared / file).exists()
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
