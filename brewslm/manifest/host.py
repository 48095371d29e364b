"""What this host can do, found without loading an accelerator library."""

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct


class HostFacts(Struct, frozen=True):
    """What decides host fixes and whether a run fits; provenance, never identity."""

    has_cuda: bool = False
    has_bf16: bool = False
    """Whether bfloat16 is computed natively on the accelerator."""
    has_bitsandbytes: bool = True
    has_flash_attention: bool = False
    memory_bytes: int | None = None
    """Memory of the device that trains, None when unknown."""
    cores: int = 1
    """Processor cores of this host."""


def observe_host(recorded: Mapping[str, object] | None = None) -> HostFacts:
    """Return the facts of this host; `recorded` is what the last worker saw, and wins."""
    has_cuda = Path("/dev/nvidia0").exists()
    seen = dict(recorded or {})
    return HostFacts(
        has_cuda=bool(seen.get("has_cuda", has_cuda)),
        has_bf16=bool(seen.get("has_bf16", has_cuda)),
        has_bitsandbytes=find_spec("bitsandbytes") is not None,
        has_flash_attention=find_spec("flash_attn") is not None,
        memory_bytes=_memory_bytes(seen, has_cuda=has_cuda),
        cores=os.cpu_count() or 1,
    )


def _memory_bytes(seen: Mapping[str, object], *, has_cuda: bool) -> int | None:
    recorded = seen.get("memory_bytes")
    if isinstance(recorded, int):
        return recorded
    if has_cuda:
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
