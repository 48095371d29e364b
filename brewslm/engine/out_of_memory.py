"""How memory that ran out shows: one exception type of the accelerator, words of the allocators.

Imports no library, so that the worker can ask before any is loaded.
"""

import errno

_WORDS = (
    "out of memory",
    "can't allocate memory",
    "Cannot allocate memory",
    "not enough memory",
    "DefaultCPUAllocator",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "std::bad_alloc",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that memory ran out, of the host or of the accelerator."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def first_line(error: BaseException) -> str:
    """Return the first line of what an exception says, at most 500 characters."""
    return (str(error).strip().splitlines() or [""])[0][:500]
