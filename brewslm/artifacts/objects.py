"""Artifacts that several clones share: objects in a bucket, named by their SHA-256.

The layout is that of the local store: `objects/ab/cdef…`, `produced/`, `aside/`, `trash/`. An
upload is whole or absent by itself; one that finds the object there reads it and takes the place of
a corrupt one.
"""

import hashlib
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from brewslm.artifacts import faults
from brewslm.artifacts.documents import hex_of, listing_from, produced_bytes, produced_from
from brewslm.artifacts.laying import lay
from brewslm.artifacts.local import copy_pieces, opened_regular, pieces_of
from brewslm.artifacts.store import Produced, Stored
from brewslm.contracts import Output
from brewslm.errors import ArtifactError
from brewslm.fingerprint import canonical_json, digest_bytes, listing_of
from brewslm.objects import ObjectFolder

_OBJECT = re.compile(r"objects/[0-9a-f]{2}/[0-9a-f]{62}")
_AT_ONCE = 16
"""Requests under way at a time where many small objects are looked at."""


class ObjectArtifacts:
    """Artifacts below one URL; every call raises UnreachableError when nobody answers there."""

    def __init__(self, url: str) -> None:
        """url: s3://BUCKET/PREFIX, or the same with gs or az."""
        self._folder = ObjectFolder(url)

    # Reading

    def is_present(self, output: Output) -> bool:
        """Return whether everything is there with the right size; reads listings only."""
        if not output.is_folder:
            return self._has_size(output)
        try:
            files = self.listing(output.digest)
        except ArtifactError:
            return False
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return all(pool.map(self._has_size, files.values()))

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
        data = b"".join(self._pieces(digest))
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
        return self._remembered(f"produced/{hex_of(fingerprint)}.json")

    def all_produced(self, kind: str) -> list[Produced]:
        """Return everything remembered about a kind, sorted by fingerprint."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(self._remembered, self._folder.keys("produced")))
        return [item for item in found if item is not None and item.kind == kind]

    def stored(self) -> list[Stored]:
        """Return every object that is kept, sorted by digest."""
        return [
            Stored(f"sha256:{_name_of(entry.key)}", entry.size_bytes, entry.written_at.timestamp())
            for entry in self._folder.entries("objects")
            if _OBJECT.fullmatch(entry.key)
        ]

    # Writing

    def put_bytes(self, data: bytes) -> Output:
        """Keep bytes; equal bytes are kept once."""
        output = Output(digest_bytes(data), len(data))
        key = _key(output.digest)
        if not self._folder.create(key, data):
            self._folder.put(key, data)
        return output

    def put_file(self, path: Path) -> Output:
        """Keep a copy of a file.

        Raises: ValueError for what is no regular file, ArtifactError when the store does not hold
        what was sent, OSError of the step that failed.
        """
        with _copied(path) as (copy, output):
            key = _key(output.digest)
            if self._folder.find_size(key) is None:
                self._folder.put_new(key, copy)
            elif not self._is_whole(output.digest):
                self._folder.put(key, copy)
            if not self._has_size(output):
                raise faults.corrupt(output.digest, "another size than what was sent")
        return output

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

    def set_aside(self, digest: str) -> None:
        """Move a corrupt object out of the way."""
        self._folder.move(_key(digest), f"aside/{hex_of(digest)}.{token_hex(4)}")

    def record_produced(self, produced: Produced) -> None:
        """Remember what a fingerprint yielded."""
        key = f"produced/{hex_of(produced.fingerprint)}.json"
        self._folder.put(key, produced_bytes(produced))

    def trash(self, digest: str) -> None:
        """Put an object into the trash."""
        self._folder.move(_key(digest), f"trash/{hex_of(digest)}")

    def empty_trash(self) -> None:
        """Delete for good what is in the trash."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self._folder.delete, self._folder.keys("trash")))

    def sweep(self) -> int:
        """Return 0, since an upload is complete or absent; take back what is in the trash."""
        for key in self._folder.keys("trash"):
            target = _key(f"sha256:{_name_of(key)}")
            if self._folder.find_size(target) is None:
                self._folder.move(key, target)
            else:
                self._folder.delete(key)
        return 0

    # Objects

    def _has_size(self, output: Output) -> bool:
        return self._folder.find_size(_key(output.digest)) == output.size_bytes

    def _is_whole(self, digest: str) -> bool:
        """Whether the object is there and is what its digest says."""
        try:
            self._check_object(digest)
        except ArtifactError:
            return False
        return True

    def _check_object(self, digest: str) -> None:
        sha256 = hashlib.sha256()
        for piece in self._pieces(digest):
            sha256.update(piece)
        found = f"sha256:{sha256.hexdigest()}"
        if found != digest:
            raise faults.corrupt(digest, found)

    def _pieces(self, digest: str) -> Iterator[bytes]:
        pieces = self._folder.chunks(_key(digest))
        if pieces is None:
            raise faults.missing(digest)
        return pieces

    def _lay(self, digest: str, target: Path) -> None:
        found, _ = copy_pieces(self._pieces(digest), target)
        if found != digest:
            raise faults.corrupt(digest, found)

    def _remembered(self, key: str) -> Produced | None:
        found = self._folder.find(key)
        try:
            produced = produced_from(found.data) if found is not None else None
        except ValueError:
            return None
        if produced is None or key != f"produced/{hex_of(produced.fingerprint)}.json":
            return None
        return produced


def _key(digest: str) -> str:
    name = hex_of(digest)
    return f"objects/{name[:2]}/{name[2:]}"


def _name_of(key: str) -> str:
    """Return the hex digits that a key of an object, in the trash or not, is made of."""
    return key.partition("/")[2].replace("/", "")


@contextmanager
def _copied(path: Path) -> Iterator[tuple[Path, Output]]:
    """Lend a copy that nobody changes while it is sent, and its digest."""
    with tempfile.TemporaryDirectory(prefix="brewslm-") as folder:
        copy = Path(folder) / "copy"
        with opened_regular(path) as stream:
            digest, size_bytes = copy_pieces(pieces_of(stream), copy)
        yield copy, Output(digest, size_bytes)
