"""Artifacts in memory, for tests and doubles; passes the suite of the local store."""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from brewslm.artifacts import faults
from brewslm.artifacts.content import ContentAddressedStore
from brewslm.artifacts.documents import hex_of, produced_bytes
from brewslm.artifacts.store import Produced, Stored
from brewslm.contracts import Output
from brewslm.fingerprint import digest_bytes


class MemoryArtifacts(ContentAddressedStore):
    """Artifacts of this process."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._lock = threading.Lock()
        self._objects: dict[str, bytes] = {}
        self._trash: dict[str, bytes] = {}
        self._produced: dict[str, bytes] = {}
        self._lineages: set[str] = set()

    # Reading

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

    def set_aside(self, digest: str) -> None:
        """Forget a corrupt object."""
        with self._lock:
            self._objects.pop(f"sha256:{hex_of(digest)}", None)

    def record_produced(self, produced: Produced) -> None:
        """Remember what a fingerprint yielded."""
        with self._lock:
            self._produced[f"{hex_of(produced.fingerprint)}.json"] = produced_bytes(produced)

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

    # Where bytes lie

    def _pieces(self, digest: str) -> Iterator[bytes]:
        data = self._objects.get(f"sha256:{hex_of(digest)}")
        if data is None:
            raise faults.missing(digest)
        yield data

    def _has_size(self, output: Output) -> bool:
        data = self._objects.get(output.digest)
        return data is not None and len(data) == output.size_bytes

    def _memory_names(self) -> Iterable[str]:
        return list(self._produced)

    def _memory(self, name: str) -> bytes | None:
        return self._produced.get(name)

    def _markers(self) -> Iterable[str]:
        return self._lineages

    def _mark(self, lineage: str) -> None:
        self._lineages.add(lineage)
