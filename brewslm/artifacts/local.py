"""The artifact store of one machine: a folder of files named by their SHA-256.

`objects/ab/cdef…` holds bytes, folders are listings among them, `produced/` remembers which
fingerprint yielded what, `lineages/` which states lead here, `aside/` holds objects that were
found corrupt, `incoming/` copies that are not complete yet. Nothing is ever written in
place, and no link is followed out of the store.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path

from brewslm.artifacts import faults
from brewslm.artifacts.content import ContentAddressedStore
from brewslm.artifacts.copying import copy_pieces, opened_regular, pieces_of
from brewslm.artifacts.documents import hex_of, produced_bytes
from brewslm.artifacts.store import Produced, Stored
from brewslm.contracts import Output
from brewslm.durability import Step, durable
from brewslm.files import make_private_folder, move, sync_folder, write_atomic
from brewslm.fingerprint import digest_bytes


class LocalStore(ContentAddressedStore):
    """Artifacts below one folder, which is made when something is first kept."""

    def __init__(self, root: Path) -> None:
        """root: folder of the store."""
        self._root = root

    # Reading

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
        path = self._object(output.digest)
        if self._is_whole(output):
            self._sync_entry(path)
        else:
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
            target = self._object(digest)
            if self._is_whole(Output(digest, size_bytes)):
                self._sync_entry(target)
            else:
                self._make_folder(target.parent)
                temporary.chmod(0o400)
                move(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        return Output(digest, size_bytes)

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
        unfinished += self._root.glob("lineages/.*.tmp")
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

    def _sync_entry(self, path: Path) -> None:
        """Make the name of an object durable that an earlier run may not have synced: a kill or a
        failed sync right after its rename leaves an object that only seems to be kept.
        """
        for folder in (path.parent, path.parent.parent, self._root):
            sync_folder(folder)

    def _has_size(self, output: Output) -> bool:
        try:
            found = self._object(output.digest).lstat()
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size == output.size_bytes

    def _pieces(self, digest: str) -> Iterator[bytes]:
        with self._opened(digest) as stream:
            yield from pieces_of(stream)

    def _memory_names(self) -> Iterable[str]:
        return [path.name for path in (self._root / "produced").glob("*.json")]

    def _memory(self, name: str) -> bytes | None:
        try:
            with opened_regular(self._root / "produced" / name, os.O_NOFOLLOW) as stream:
                return stream.read()
        except (OSError, ValueError):
            return None

    def _markers(self) -> Iterable[str]:
        return [path.name for path in (self._root / "lineages").glob("[!.]*")]

    def _mark(self, lineage: str) -> None:
        folder = self._make_folder(self._root / "lineages")
        if not (folder / lineage).exists():
            write_atomic(folder / lineage, lineage.encode())

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
