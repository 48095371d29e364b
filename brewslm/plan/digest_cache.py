"""Digests of files that were read before, each with the stat result that proves them still good.

The cache is a value: whoever calls the plan loads it and saves it. Losing it costs time and nothing
else.
"""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct, field
from msgspec.structs import asdict

from brewslm.files import StatProof, note_read
from brewslm.fingerprint import digest_file, digest_stream


class DigestCache(Struct):
    """Digests by a key of the caller's, such as a path relative to the project."""

    now_ns: int
    """Wall clock before the first file is read; a file that changed within two seconds is read
    again.
    """
    entries: dict[str, tuple[StatProof, str]] = field(default_factory=dict)
    trusts_stat: bool = True
    """False reads every file whatever its stat result says."""
    is_changed: bool = False
    hashed: int = 0
    """Files that were read to the end."""

    @classmethod
    def from_json(cls, document: Any, now_ns: int) -> "DigestCache":
        """Read back what `to_json` wrote; anything odd is an empty cache."""
        entries: dict[str, tuple[StatProof, str]] = {}
        if isinstance(document, Mapping):
            for key, item in document.items():
                try:
                    digest = item["digest"]
                    entries[str(key)] = (StatProof(**item["proof"]), str(digest))
                except (TypeError, KeyError):
                    continue
        return cls(now_ns, entries)

    def to_json(self) -> dict[str, Any]:
        """Return the cache as JSON values."""
        return {
            key: {"digest": digest, "proof": asdict(proof)}
            for key, (proof, digest) in sorted(self.entries.items())
        }

    def digest(self, key: str, path: Path) -> tuple[str, int]:
        """Return digest and size of a file, reading it only when its stat result proves nothing.

        Raises: OSError.
        """
        note_read(path)
        return self._digest(key, path.stat(), partial(digest_file, path))

    def digest_stream(self, key: str, stream: BinaryIO) -> tuple[str, int]:
        """Return digest and size of an open file, whatever has taken its name meanwhile.

        Raises: OSError.
        """
        return self._digest(key, os.fstat(stream.fileno()), partial(digest_stream, stream))

    def _digest(self, key: str, found: os.stat_result, read: Callable[[], str]) -> tuple[str, int]:
        held = self.entries.get(key)
        if self.trusts_stat and held is not None and held[0].holds_for(found):
            return held[1], found.st_size
        digest = read()
        self.hashed += 1
        self.is_changed = True
        self.entries[key] = (StatProof.of(found, self.now_ns), digest)
        return digest, found.st_size
