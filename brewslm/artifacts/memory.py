"""Artifacts in memory, for tests and doubles; passes the suite of the local store."""

import threading
from pathlib import Path

from brewslm.artifacts import faults
from brewslm.artifacts.documents import hex_of, listing_from, produced_bytes, produced_from
from brewslm.artifacts.store import Produced, Stored
from brewslm.contracts import Output
from brewslm.errors import ArtifactError
from brewslm.files import make_private_folder, write_atomic
from brewslm.fingerprint import canonical_json, digest_bytes, listing_of


class MemoryArtifacts:
    """Artifacts of this process."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._lock = threading.Lock()
        self._objects: dict[str, bytes] = {}
        self._trash: dict[str, bytes] = {}
        self._produced: dict[str, bytes] = {}

    # Reading

    def is_present(self, output: Output) -> bool:
        """Return whether everything is there with the right size."""
        if not output.is_folder:
            data = self._objects.get(output.digest)
            return data is not None and len(data) == output.size_bytes
        try:
            return all(self.is_present(item) for item in self.listing(output.digest).values())
        except ArtifactError:
            return False

    def verify(self, output: Output) -> None:
        """Read everything and compare digests.

        Raises: ArtifactError.
        """
        if not output.is_folder:
            self.read_bytes(output.digest)
            return
        for item in self.listing(output.digest).values():
            self.read_bytes(item.digest)

    def read_bytes(self, digest: str) -> bytes:
        """Return the verified bytes of a file object.

        Raises: ArtifactError.
        """
        data = self._objects.get(f"sha256:{hex_of(digest)}")
        if data is None:
            raise faults.missing(digest)
        if digest_bytes(data) != digest:
            raise faults.corrupt(digest, digest_bytes(data))
        return data

    def listing(self, digest: str) -> dict[str, Output]:
        """Return the files of a folder object by relative path.

        Raises: ArtifactError.
        """
        return listing_from(digest, self.read_bytes(digest))

    def find_produced(self, fingerprint: str) -> Produced | None:
        """Return what the fingerprint yielded before."""
        data = self._produced.get(hex_of(fingerprint))
        return None if data is None else produced_from(data)

    def all_produced(self, kind: str) -> list[Produced]:
        """Return everything remembered about a kind, sorted by fingerprint."""
        found = [produced_from(data) for _, data in sorted(self._produced.items())]
        return [item for item in found if item.kind == kind]

    def stored(self) -> list[Stored]:
        """Return every object that is kept, sorted by digest; all of them are as old as can be."""
        return [Stored(digest, len(data), 0.0) for digest, data in sorted(self._objects.items())]

    # Writing

    def put_bytes(self, data: bytes) -> Output:
        """Keep bytes; equal bytes are kept once."""
        digest = digest_bytes(data)
        with self._lock:
            self._objects[digest] = bytes(data)
        return Output(digest, len(data))

    def put_file(self, path: Path) -> Output:
        """Keep a copy of a file.

        Raises: ValueError for what is no regular file, OSError.
        """
        if path.exists() and not path.is_file():
            raise ValueError(f"{path.name} is no regular file")
        return self.put_bytes(path.read_bytes())

    def put_folder(self, folder: Path) -> Output:
        """Keep copies of all regular files below a folder and their listing.

        Raises: ValueError for links, ArtifactError when a file changes while it is kept.
        """
        listing = listing_of(folder)
        for name, entry in listing.items():
            if self.put_file(folder / name).digest != entry["digest"]:
                raise faults.corrupt(str(entry["digest"]), f"{name} changed while it was kept")
        size_bytes = sum(int(entry["size_bytes"]) for entry in listing.values())
        return Output(self.put_bytes(canonical_json(listing)).digest, size_bytes, is_folder=True)

    def materialise(self, output: Output, target: Path) -> Path:
        """Lay verified bytes at `target`.

        Raises: ArtifactError, FileExistsError when the target is there already.
        """
        files = self.listing(output.digest) if output.is_folder else {"": output}
        contents = {name: self.read_bytes(item.digest) for name, item in files.items()}
        if target.exists() or target.is_symlink():
            raise FileExistsError(str(target))
        if output.is_folder:
            make_private_folder(target)
        for name, data in contents.items():
            make_private_folder((target / name).parent)
            write_atomic(target / name, data)
        return target

    def set_aside(self, digest: str) -> None:
        """Forget a corrupt object."""
        with self._lock:
            self._objects.pop(f"sha256:{hex_of(digest)}", None)

    def record_produced(self, produced: Produced) -> None:
        """Remember what a fingerprint yielded."""
        with self._lock:
            self._produced[hex_of(produced.fingerprint)] = produced_bytes(produced)

    def trash(self, digest: str) -> None:
        """Put an object into the trash."""
        with self._lock:
            data = self._objects.pop(digest, None)
            if data is not None:
                self._trash[digest] = data

    def empty_trash(self) -> None:
        """Delete for good what is in the trash."""
        self._trash.clear()

    def sweep(self) -> int:
        """Return 0, since a copy in memory is complete or absent; take back what is in the
        trash.
        """
        with self._lock:
            self._objects = self._trash | self._objects
            self._trash = {}
        return 0

    def damage(self, digest: str, data: bytes) -> None:
        """Put other bytes under a digest, as a failing disk would."""
        self._objects[digest] = data
