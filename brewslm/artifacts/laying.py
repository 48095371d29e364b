"""Materializing artifacts as folders: whole or absent at any time, durable before they are named,
and checked again before anything points to them.
"""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brewslm.artifacts import faults
from brewslm.contracts import Output
from brewslm.durability import Step, durable
from brewslm.files import make_private_folder, move, sync_folder, temporary_name
from brewslm.fingerprint import digest_value

_CHUNK_BYTES = 1 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Lay = Callable[[Output, Path], None]
"""Writes the verified bytes of a file object into a new file."""


def lay(
    output: Output, target: Path, listing: Callable[[str], Mapping[str, Output]], one: Lay
) -> Path:
    """Build a file or folder beside the target and move it there.

    listing: of a folder's digest; one: writes one file.

    Raises: FileExistsError when the target is there already, and what `listing` and `one` raise.
    """
    if target.exists() or target.is_symlink():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    make_private_folder(target.parent)
    built = temporary_name(target)
    try:
        if output.is_folder:
            _lay_folder(listing(output.digest), built, one)
        else:
            one(output, built)
        move(built, target)
    except BaseException:
        shutil.rmtree(built, ignore_errors=True)
        built.unlink(missing_ok=True)
        raise
    return target


def _lay_folder(files: Mapping[str, Output], folder: Path, one: Lay) -> None:
    folder.mkdir(mode=0o700)
    for name, item in files.items():
        path = folder / name
        make_private_folder(path.parent)
        one(item, path)
    for parent in sorted({folder / up for name in files or [""] for up in Path(name).parents}):
        sync_folder(parent)


@contextmanager
def verified_folder(folder: Path, digest: str) -> Iterator[int]:
    """Lend a descriptor of a materialized folder after reading, syncing and comparing all of it.

    Files are opened below that descriptor and links are never followed. The path still names the
    folder that was read when the block begins.

    Raises: ArtifactError with code deployment_target_invalid, OSError of a failed sync.
    """
    try:
        descriptor = os.open(folder, _OPEN | os.O_DIRECTORY)
    except OSError as error:
        raise faults.differs(folder.name, digest, str(error.strerror)) from error
    try:
        try:
            found = digest_value(dict(_synced_listing(descriptor, folder, "")))
        except ValueError as error:
            raise faults.differs(folder.name, digest, str(error)) from error
        sync_folder(folder.parent)
        if found != digest:
            raise faults.differs(folder.name, digest, found)
        if not _names(folder, descriptor):
            raise faults.differs(folder.name, digest, "a folder that was replaced meanwhile")
        yield descriptor
    finally:
        os.close(descriptor)


def _names(folder: Path, descriptor: int) -> bool:
    """Return whether a path still names what a descriptor was opened from."""
    named, read = folder.lstat(), os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (read.st_dev, read.st_ino)


def _synced_listing(parent: int, folder: Path, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield path, digest and size of each file below a descriptor; all of it is durable then.

    Raises: ValueError for what is neither file nor folder, or cannot be opened.
    """
    for name in sorted(os.listdir(parent)):
        try:
            descriptor = os.open(name, _OPEN, dir_fd=parent)
        except OSError as error:
            raise ValueError(f"{prefix}{name}: {error.strerror}") from error
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):
                yield from _synced_listing(descriptor, folder / name, f"{prefix}{name}/")
            elif stat.S_ISREG(mode):
                yield f"{prefix}{name}", _synced_entry(descriptor, folder / name)
            else:
                raise ValueError(f"{prefix}{name} is not a regular file")
        finally:
            os.close(descriptor)
    with durable(Step.SYNC_FOLDER, folder):
        os.fsync(parent)


def _synced_entry(descriptor: int, path: Path) -> dict[str, Any]:
    with durable(Step.SYNC, path):
        os.fsync(descriptor)
    sha256, size_bytes = hashlib.sha256(), 0
    while chunk := os.read(descriptor, _CHUNK_BYTES):
        sha256.update(chunk)
        size_bytes += len(chunk)
    return {"digest": f"sha256:{sha256.hexdigest()}", "size_bytes": size_bytes}
