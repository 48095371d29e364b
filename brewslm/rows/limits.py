"""Limits that a process puts on itself before it runs what strangers wrote."""

import contextlib
import math
import resource
import time

TOKENIZER_MEMORY_BYTES = 2 << 30
TOKENIZER_CPU_S = 10
TOKENIZER_BYTES_PER_CPU_S = 64 << 10
"""Text that a tokenizer may take a further second of processor time for."""


def limit_memory(size_bytes: int) -> None:
    """Let this process have no more memory than that, and leave no image of it behind.

    A system that knows no limit of the address space, macOS, goes without.
    """
    _lower(resource.RLIMIT_CORE, 0)
    with contextlib.suppress(ValueError, OSError):
        _lower(resource.RLIMIT_AS, size_bytes)


def allow_cpu(seconds: float) -> None:
    """Let this process go on for so much processor time, and be ended by the system after it."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (_at_most(wanted, hard), hard))


class Allowance:
    """Processor time that grows with the work; what one part leaves over is of little use later."""

    def __init__(self, start_s: float, bytes_per_s: int) -> None:
        """start_s: what the work may take however small it is, in one part or in all together."""
        self._start_s = start_s
        self._bytes_per_s = bytes_per_s
        self._until_s = time.process_time() + start_s

    def grow(self, size_bytes: int) -> None:
        """Allow what a part of the work may take."""
        part_s = size_bytes / self._bytes_per_s
        self._until_s += part_s
        now_s = time.process_time()
        allow_cpu(min(self._until_s - now_s, self._start_s + part_s))


def _lower(kind: int, wanted: int) -> None:
    _, hard = resource.getrlimit(kind)
    most = _at_most(wanted, hard)
    resource.setrlimit(kind, (most, most))


def _at_most(wanted: int, hard: int) -> int:
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
