"""The artifact store of one machine: a folder of files named by their SHA-256.

`objects/ab/cdef…` holds bytes, folders are listings among them, `produced/` remembers which
fingerprint yielded what, `aside/` holds objects that were found corrupt, `incoming/` copies that
are not complete yet. Nothing is ever written in place, and no link is followed out of the store.
"""

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path

from brewslm.artifacts import faults
from brewslm.artifacts.documents import (
    hex_of,
    listing_from,
    produced_bytes,
    produced_from,
)
from brewslm.artifacts.laying import lay
from brewslm.artifacts.store import Produced, Stored
from brewslm.contracts import Output
from brewslm.durability import Step, durable
from brewslm.errors import ArtifactError
from brewslm.files import (
    make_private_folder,
    move,
    sync_folder,
    write_atomic,
)
from brewslm.fingerprint import canonical_json, digest_bytes, listing_of

_CHUNK_BYTES = 1 << 20


class LocalStore:
    """Artifacts below one folder, which is made when something is first kept."""

    def __init__(self, root: Path) -> None:
        """root: folder of the store."""
        self._root = root

    # Reading

    def is_present(self, output: Output) -> bool:
        """Return whether everything is there with the right size; reads listings only."""
        if not output.is_folder:
            return self._has_size(output.digest, output.size_bytes)
        try:
            files = self.listing(output.digest)
        except ArtifactError:
            return False
        return all(self._has_size(item.digest, item.size_bytes) for item in files.values())

    def verify(self, output: Output) -> None:
        """Read everything and compare digests.

        Raises: ArtifactError.
        """
        if not output.is_folder:
            self._check_object(output.digest)
            return
        for item in self.listing(output.digest).values():
            self._check_object(item.digest)

    def read_bytes(self, digest: str) -> bytes:
        """Return the verified bytes of a file object.

        Raises: ArtifactError.
        """
        with self._opened(digest) as stream:
            data = stream.read()
        if digest_bytes(data) != digest:
            raise faults.corrupt(digest, digest_bytes(data))
        return data

    def listing(self, digest: str) -> dict[str, Output]:
        """Return the files of a folder object by relative path.

        Raises: ArtifactError.
        """
        return listing_from(digest, self.read_bytes(digest))

    def find_produced(self, fingerprint: str) -> Produced | None:
        """Return what the fingerprint yielded before; a damaged memory is none."""
        return self._remembered(f"{hex_of(fingerprint)}.json")

    def all_produced(self, kind: str) -> list[Produced]:
        """Return everything remembered about a kind, sorted by fingerprint."""
        names = sorted(path.name for path in (self._root / "produced").glob("*.json"))
        found = map(self._remembered, names)
        return [item for item in found if item is not None and item.kind == kind]

    def stored(self) -> list[Stored]:
        """Return every object that is kept, sorted by digest."""
        found = []
        for path in sorted((self._root / "objects").glob("[0-9a-f][0-9a-f]/*")):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and not path.name.startswith("."):
                digest = f"sha256:{path.parent.name}{path.name}"
                found.append(Stored(digest, status.st_size, status.st_mtime))
        return found

    # Writing

    def put_bytes(self, data: bytes) -> Output:
        """Keep bytes; equal bytes are kept once.

        Raises: ArtifactError when the store is a link, OSError of the step that failed.
        """
        output = Output(digest_bytes(data), len(data))
        if not self._is_whole(output.digest):
            path = self._object(output.digest)
            self._make_folder(path.parent)
            write_atomic(path, data, mode=0o400)
        return output

    def put_file(self, path: Path) -> Output:
        """Keep a copy of a file.

        Raises: ArtifactError when the store is a link, ValueError for what is no regular file,
        OSError of the step that failed.
        """
        temporary = self._make_folder(self._root / "incoming") / secrets.token_hex(8)
        try:
            with opened_regular(path) as stream:
                digest, size_bytes = copy_pieces(pieces_of(stream), temporary)
            if not self._is_whole(digest):
                target = self._object(digest)
                self._make_folder(target.parent)
                temporary.chmod(0o400)
                move(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        return Output(digest, size_bytes)

    def put_folder(self, folder: Path) -> Output:
        """Keep copies of all regular files below a folder and their listing.

        Raises: ValueError for links, ArtifactError when a file changes while it is kept.
        """
        listing = listing_of(folder)
        for name, entry in listing.items():
            kept = self.put_file(folder / name)
            if kept.digest != entry["digest"]:
                raise faults.corrupt(str(entry["digest"]), f"{name} changed while it was kept")
        data = canonical_json(listing)
        size_bytes = sum(int(entry["size_bytes"]) for entry in listing.values())
        return Output(self.put_bytes(data).digest, size_bytes, is_folder=True)

    def materialise(self, output: Output, target: Path) -> Path:
        """Lay verified bytes at `target`, which is whole or absent at any time.

        Raises: ArtifactError, FileExistsError when the target is there already.
        """
        return lay(output, target, self.listing, self._lay)

    def set_aside(self, digest: str) -> None:
        """Move a corrupt object out of the way."""
        path = self._object(digest)
        if not (path.exists() or path.is_symlink()):
            return
        aside = self._make_folder(self._root / "aside")
        try:
            move(path, aside / f"{hex_of(digest)}.{secrets.token_hex(4)}")
        except FileNotFoundError:
            return
        sync_folder(path.parent)

    def record_produced(self, produced: Produced) -> None:
        """Remember what a fingerprint yielded."""
        folder = self._make_folder(self._root / "produced")
        write_atomic(folder / f"{hex_of(produced.fingerprint)}.json", produced_bytes(produced))

    def trash(self, digest: str) -> None:
        """Put an object into the trash."""
        path = self._object(digest)
        if path.is_file() and not path.is_symlink():
            trash = self._make_folder(self._root / "trash")
            move(path, trash / hex_of(digest))
            sync_folder(path.parent)

    def empty_trash(self) -> None:
        """Delete for good what is in the trash."""
        trash = self._root / "trash"
        if trash.is_symlink() or not trash.is_dir():
            return
        for path in trash.iterdir():
            with durable(Step.REMOVE, path):
                path.unlink()
        sync_folder(trash)

    def sweep(self) -> int:
        """Remove copies that were never completed and return how many there were; take back what
        is in the trash.
        """
        if self._root.is_symlink():
            return 0
        self._take_back()
        unfinished = [*self._root.glob("incoming/*"), *self._root.glob("produced/.*.tmp")]
        unfinished += self._root.glob("objects/*/.*.tmp")
        for path in unfinished:
            path.unlink(missing_ok=True)
        return len(unfinished)

    def _take_back(self) -> None:
        trash = self._root / "trash"
        if trash.is_symlink() or not trash.is_dir():
            return
        for path in trash.iterdir():
            target = self._object(f"sha256:{path.name}")
            if target.exists():
                path.unlink()
            else:
                self._make_folder(target.parent)
                move(path, target)

    # Objects

    def _object(self, digest: str) -> Path:
        name = hex_of(digest)
        return self._root / "objects" / name[:2] / name[2:]

    def _make_folder(self, folder: Path) -> Path:
        """Make a folder of the store; refuse to write through a link."""
        for part in (self._root, *reversed(folder.parents), folder):
            if part.is_relative_to(self._root) and part.is_symlink():
                raise faults.linked(part.name)
        return make_private_folder(folder)

    def _has_size(self, digest: str, size_bytes: int) -> bool:
        try:
            found = self._object(digest).lstat()
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size == size_bytes

    def _is_whole(self, digest: str) -> bool:
        """Whether the object is there and is what its digest says."""
        try:
            self._check_object(digest)
        except ArtifactError:
            return False
        return True

    def _check_object(self, digest: str) -> None:
        with self._opened(digest) as stream:
            found = f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"
        if found != digest:
            raise faults.corrupt(digest, found)

    def _opened(self, digest: str) -> BufferedReader:
        """Open an object for reading; what is no regular file counts as corrupt."""
        path = self._object(digest)
        try:
            return opened_regular(path, os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise faults.missing(digest) from error
        except ValueError as error:
            raise faults.corrupt(digest, "no regular file") from error
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise faults.corrupt(digest, "a link") from error
            raise faults.unreadable(digest, error) from error

    def _lay(self, digest: str, target: Path) -> None:
        with self._opened(digest) as stream:
            found, _ = copy_pieces(pieces_of(stream), target)
        if found != digest:
            raise faults.corrupt(digest, found)

    def _remembered(self, name: str) -> Produced | None:
        try:
            with opened_regular(self._root / "produced" / name, os.O_NOFOLLOW) as stream:
                produced = produced_from(stream.read())
        except (OSError, ValueError):
            return None
        return produced if name == f"{hex_of(produced.fingerprint)}.json" else None


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
