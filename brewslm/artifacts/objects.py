"""Artifacts that several clones share: objects in a bucket, named by their SHA-256.

The layout is that of the local store: `objects/ab/cdef…`, `produced/`, `lineages/`, `aside/`,
`trash/`. An upload is whole or absent by itself; one that finds the object there reads it and takes
the place of a corrupt one.
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

from brewslm.artifacts import faults
from brewslm.artifacts.content import ContentAddressedStore
from brewslm.artifacts.copying import copy_pieces, opened_regular, pieces_of
from brewslm.artifacts.documents import hex_of, produced_bytes
from brewslm.artifacts.store import Produced, Stored
from brewslm.contracts import Output
from brewslm.fingerprint import digest_bytes
from brewslm.objects import ObjectFolder

_OBJECT = re.compile(r"objects/[0-9a-f]{2}/[0-9a-f]{62}")
_Item = TypeVar("_Item")
_Found = TypeVar("_Found")
_AT_ONCE = 16
"""Requests under way at a time where many small objects are looked at."""


class ObjectArtifacts(ContentAddressedStore):
    """Artifacts below one URL; every call raises UnreachableError when nobody answers there."""

    is_shared = True

    def __init__(self, url: str) -> None:
        """url: s3://BUCKET/PREFIX, or the same with gs or az."""
        self._folder = ObjectFolder(url)

    # Reading

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
            elif not self._is_whole(output):
                self._folder.put(key, copy)
            if not self._has_size(output):
                raise faults.corrupt(output.digest, "another size than what was sent")
        return output

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

    def _pieces(self, digest: str) -> Iterator[bytes]:
        pieces = self._folder.chunks(_key(digest))
        if pieces is None:
            raise faults.missing(digest)
        return pieces

    def _memory_names(self) -> Iterable[str]:
        return [key.partition("/")[2] for key in self._folder.keys("produced")]

    def _memory(self, name: str) -> bytes | None:
        found = self._folder.find(f"produced/{name}")
        return None if found is None else found.data

    def _markers(self) -> Iterable[str]:
        return [key.partition("/")[2] for key in self._folder.keys("lineages")]

    def _mark(self, lineage: str) -> None:
        self._folder.create(f"lineages/{lineage}", lineage.encode())

    def _mapped(self, look: Callable[[_Item], _Found], items: Iterable[_Item]) -> Iterable[_Found]:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(look, items))


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
