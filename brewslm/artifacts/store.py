"""The protocols of an artifact store: bytes by digest, folders as listings, and what produced them.

A folder is kept as a listing, the canonical JSON of `{relative path: {digest, size_bytes}}`; its
digest names it. The size of a folder is the sum of its files. Every store passes
`tests/artifacts/test_every_store.py`.
"""

from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct, field

from brewslm.contracts import Output


class Produced(Struct, frozen=True):
    """What a fingerprint yielded once: outputs by name, small values, pieces with fingerprints of
    their own, and the facts behind the fingerprint.
    """

    fingerprint: str
    kind: str
    facts: dict[str, Any]
    outputs: dict[str, Output] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)


class Stored(Struct, frozen=True):
    """One object of a store: a file, or the listing of a folder."""

    digest: str
    size_bytes: int
    kept_s: float
    """When it was kept, in seconds of the wall clock."""


class ArtifactReader(Protocol):
    """Looks at kept bytes; every read verifies the digest."""

    @property
    def is_shared(self) -> bool:
        """Whether several states may lead to what is kept."""
        ...

    def is_present(self, output: Output) -> bool:
        """Return whether the object, and for folders each listed file, is there with the right
        size; reads no content.
        """
        ...

    def verify(self, output: Output) -> None:
        """Read everything and compare digests.

        Raises: ArtifactError with code artifact_missing or artifact_corrupt.
        """
        ...

    def read_bytes(self, digest: str) -> bytes:
        """Return the verified bytes of a file object. Raises: ArtifactError."""
        ...

    def listing(self, digest: str) -> dict[str, Output]:
        """Return the files of a folder object by relative path. Raises: ArtifactError."""
        ...

    def find_produced(self, fingerprint: str) -> Produced | None:
        """Return what the fingerprint yielded before, whether or not the bytes are still there."""
        ...

    def all_produced(self, kind: str) -> list[Produced]:
        """Return everything remembered about a kind, sorted by fingerprint; to explain a miss."""
        ...

    def stored(self) -> list[Stored]:
        """Return every object that is kept, sorted by digest."""
        ...

    def lineages(self) -> list[str]:
        """Return the lineages of the states that were marked to lead here, sorted."""
        ...


class ArtifactStore(ArtifactReader, Protocol):
    """Keeps bytes; what a call returns is durable, and takes the place of a corrupt object.

    Raises from every put: ArtifactError, OSError of the step that failed.
    """

    def put_bytes(self, data: bytes) -> Output:
        """Keep bytes; equal bytes are kept once."""
        ...

    def put_file(self, path: Path) -> Output:
        """Keep a copy of a file."""
        ...

    def put_folder(self, folder: Path) -> Output:
        """Keep copies of all regular files below a folder and their listing; links are refused."""
        ...

    def materialise(self, output: Output, target: Path) -> Path:
        """Lay a verified file or folder at `target`, where nothing may be yet, and return it.

        Raises: ArtifactError, FileExistsError.
        """
        ...

    def set_aside(self, digest: str) -> None:
        """Move a corrupt object out of the way, so that it can be made anew; harmless when there is
        none.
        """
        ...

    def record_produced(self, produced: Produced) -> None:
        """Remember what a fingerprint yielded, after its outputs are kept."""
        ...

    def mark_lineage(self, lineage: str) -> None:
        """Mark that the state of this lineage leads here, before anything is kept for it.

        Raises: ValueError for what cannot be the name of a marker.
        """
        ...

    def trash(self, digest: str) -> None:
        """Put an object into the trash, from where `sweep` takes it back; harmless when there is
        none.
        """
        ...

    def empty_trash(self) -> None:
        """Delete for good what is in the trash."""
        ...

    def sweep(self) -> int:
        """Remove copies that were never completed and return how many there were; take back what
        was put into the trash and not deleted.

        For whoever holds the lease of the state, before anything is kept.
        """
        ...
