"""What every artifact store does alike: bytes named by their digest, folders as listings among
them, and a memory of which fingerprint yielded what. A store says where its bytes lie.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from brewslm.artifacts import faults
from brewslm.artifacts.copying import copy_pieces
from brewslm.artifacts.documents import check_lineage, hex_of, listing_from, produced_from
from brewslm.artifacts.laying import lay
from brewslm.artifacts.store import Produced
from brewslm.contracts import Output
from brewslm.errors import ArtifactError
from brewslm.fingerprint import canonical_json, digest_bytes, listing_of

_MAX_READ_BYTES = 2 << 30
"""Of an object that is read as a whole; listings, verdicts and scores are far below."""

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


class ContentAddressedStore(ABC):
    """The half of an artifact store that does not depend on where bytes lie."""

    is_shared = False

    # Reading

    def is_present(self, output: Output) -> bool:
        """Return whether everything is there with the right size; reads listings only."""
        if not output.is_folder:
            return self._has_size(output)
        try:
            files = self.listing(output.digest)
        except ArtifactError:
            return False
        return all(self._mapped(self._has_size, files.values()))

    def verify(self, output: Output) -> None:
        """Read everything and compare digests.

        Raises: ArtifactError.
        """
        if not output.is_folder:
            self._check_object(output)
            return
        for item in self.listing(output.digest).values():
            self._check_object(item)

    def read_bytes(self, digest: str) -> bytes:
        """Return the verified bytes of a file object.

        Raises: ArtifactError.
        """
        data = b"".join(self._at_most(_MAX_READ_BYTES, digest))
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
        found = self._mapped(self._remembered, sorted(self._memory_names()))
        return [item for item in found if item is not None and item.kind == kind]

    def lineages(self) -> list[str]:
        """Return the lineages of the states that were marked to lead here, sorted."""
        return sorted(self._markers())

    # Writing

    def mark_lineage(self, lineage: str) -> None:
        """Mark that the state of this lineage leads here; one marker is enough.

        Raises: ValueError for what cannot be the name of a marker.
        """
        self._mark(check_lineage(lineage))

    @abstractmethod
    def put_bytes(self, data: bytes) -> Output:
        """Keep bytes; equal bytes are kept once."""

    @abstractmethod
    def put_file(self, path: Path) -> Output:
        """Keep a copy of a file.

        Raises: ValueError for what is no regular file, ArtifactError, OSError.
        """

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
        """Lay verified bytes at `target`, which is whole or absent at any time.

        Raises: ArtifactError, FileExistsError when the target is there already.
        """
        return lay(output, target, self.listing, self._lay)

    # Where bytes lie

    @abstractmethod
    def _pieces(self, digest: str) -> Iterator[bytes]:
        """Yield the bytes of an object, whatever they are. Raises: ArtifactError."""

    @abstractmethod
    def _has_size(self, output: Output) -> bool:
        """Return whether an object of this size is there; reads no content."""

    @abstractmethod
    def _memory_names(self) -> Iterable[str]:
        """Return the names of what is remembered."""

    @abstractmethod
    def _memory(self, name: str) -> bytes | None:
        """Return what is remembered under a name, None where nothing readable is."""

    @abstractmethod
    def _markers(self) -> Iterable[str]:
        """Return the lineages that are marked."""

    @abstractmethod
    def _mark(self, lineage: str) -> None:
        """Leave a marker durably unless it is there."""

    def _mapped(self, look: Callable[[_Item], _Found], items: Iterable[_Item]) -> Iterable[_Found]:
        """Return what looking at each item found, in their order."""
        return map(look, items)

    # Objects

    def _is_whole(self, output: Output) -> bool:
        """Whether the object is there and is what its digest says."""
        try:
            self._check_object(output)
        except ArtifactError:
            return False
        return True

    def _check_object(self, output: Output) -> None:
        sha256 = hashlib.sha256()
        for piece in self._at_most(output.size_bytes, output.digest):
            sha256.update(piece)
        found = f"sha256:{sha256.hexdigest()}"
        if found != output.digest:
            raise faults.corrupt(output.digest, found)

    def _lay(self, output: Output, target: Path) -> None:
        found, _ = copy_pieces(self._at_most(output.size_bytes, output.digest), target)
        if found != output.digest:
            raise faults.corrupt(output.digest, found)

    def _at_most(self, size_bytes: int, digest: str) -> Iterator[bytes]:
        """Yield the bytes of an object, none of what is beyond the size that it has to have.

        Raises: ArtifactError.
        """
        left_bytes = size_bytes
        for piece in self._pieces(digest):
            left_bytes -= len(piece)
            if left_bytes < 0:
                raise faults.corrupt(digest, f"more than {size_bytes} bytes")
            yield piece

    def _remembered(self, name: str) -> Produced | None:
        data = self._memory(name)
        try:
            produced = produced_from(data) if data is not None else None
        except ValueError:
            return None
        if produced is None or name != f"{hex_of(produced.fingerprint)}.json":
            return None
        return produced
