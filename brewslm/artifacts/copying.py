"""Copies of regular files: opened without waiting, read in pieces, written durably."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path

from brewslm.durability import Step, durable

_CHUNK_BYTES = 1 << 20


def opened_regular(path: Path, flags: int = 0) -> BufferedReader:
    """Open a regular file without ever waiting for a pipe or a device.

    Raises: ValueError for anything else, OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{path.name} is no regular file")
    return os.fdopen(descriptor, "rb")


def pieces_of(stream: BufferedReader) -> Iterator[bytes]:
    """Yield the bytes of a stream."""
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk


def copy_pieces(pieces: Iterable[bytes], target: Path) -> tuple[str, int]:
    """Write bytes durably into a new file and return their digest and number."""
    sha256, size_bytes = hashlib.sha256(), 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(target, flags, 0o600), "wb") as copy:
        with durable(Step.WRITE, target):
            for piece in pieces:
                sha256.update(piece)
                size_bytes += len(piece)
                copy.write(piece)
            copy.flush()
        with durable(Step.SYNC, target):
            os.fsync(copy.fileno())
    return f"sha256:{sha256.hexdigest()}", size_bytes
