"""What a run of training says about itself: libraries, device, data."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from brewslm.engine import devices
from brewslm.engine.token_row import Tokenized
from brewslm.fingerprint import digest_file
from brewslm.platform_facts import Sources, platform_kind
from brewslm.rows.record import Split

_LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "datasets", "accelerate")


def environment() -> dict[str, Any]:
    """Return what a run was made with: libraries, device, threads."""
    facts = devices.facts()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "packages": {name: _version(name) for name in _LIBRARIES},
        "platform_kind": platform_kind(Sources()),
        "device": facts.name,
        "device_kind": facts.kind,
        "driver": facts.driver,
        "has_cuda": facts.kind == "cuda",
        "has_bf16": facts.has_bf16,
        "memory_bytes": facts.memory_bytes,
        "threads": devices.threads(),
    }


def data_document(prepared: Path, sets: Mapping[Split, Tokenized]) -> dict[str, Any]:
    """Return digests and counts of the prepared files that are there.

    sets: what was made of each set.
    """
    return {
        split.value: {
            "digest": digest_file(prepared / split.file),
            "rows": len(tokenized.rows),
            "left_out": tokenized.left_out,
            "tokens": sum(len(row.input_ids) for row in tokenized.rows),
            "trained_tokens": sum(row.trained_tokens for row in tokenized.rows),
        }
        for split, tokenized in sets.items()
        if (prepared / split.file).exists()
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
