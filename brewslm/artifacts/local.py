"""The artifact store of one machine: a folder of files named by their SHA-256.

`objects/ab/cdef…` holds bytes, folders are listings among them, `produced/` remembers which
fingerprint yielded what, `aside/` holds objects that were found corrupt. Nothing is ever written in
place.
"""

import hashlib
import json
import os
import secrets
from dataclasses import asdict
from pathlib import Path

from brewslm.artifacts.store import Produced
from brewslm.contracts import Output
from brewslm.errors import ArtifactError
from brewslm.files import make_private_folder, sync_folder, write_atomic
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
        path = self._object(digest)
        try:
            if path.is_symlink():
                raise _corrupt(digest, "a link")
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise _missing(digest) from error
        if digest_bytes(data) != digest:
            raise _corrupt(digest, digest_bytes(data))
        return data

    def listing(self, digest: str) -> dict[str, Output]:
        """Return the files of a folder object by relative path.

        Raises: ArtifactError.
        """
        try:
            document = json.loads(self.read_bytes(digest))
            return {name: Output.from_json(item) for name, item in sorted(document.items())}
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise _corrupt(digest, "no listing") from error

    def find_produced(self, fingerprint: str) -> Produced | None:
        """Return what the fingerprint yielded before."""
        return _read_produced(self._root / "produced" / f"{_hex(fingerprint)}.json")

    def all_produced(self, kind: str) -> list[Produced]:
        """Return everything remembered about a kind, sorted by fingerprint."""
        found = map(_read_produced, sorted((self._root / "produced").glob("*.json")))
        return [item for item in found if item is not None and item.kind == kind]

    # Writing

    def put_bytes(self, data: bytes) -> Output:
        """Keep bytes; equal bytes are kept once."""
        digest = digest_bytes(data)
        if not self._has_size(digest, len(data)):
            path = self._object(digest)
            make_private_folder(path.parent)
            write_atomic(path, data, mode=0o400)
        return Output(digest, len(data))

    def put_file(self, path: Path) -> Output:
        """Keep a copy of a file."""
        folder = make_private_folder(self._root / "incoming")
        temporary = folder / secrets.token_hex(8)
        try:
            digest, size_bytes = _copy(path, temporary)
            if not self._has_size(digest, size_bytes):
                target = self._object(digest)
                make_private_folder(target.parent)
                temporary.chmod(0o400)
                temporary.replace(target)
                sync_folder(target.parent)
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
                raise _corrupt(str(entry["digest"]), f"{name} changed while it was kept")
        data = canonical_json(listing)
        size_bytes = sum(int(entry["size_bytes"]) for entry in listing.values())
        return Output(self.put_bytes(data).digest, size_bytes, is_folder=True)

    def materialise(self, output: Output, target: Path) -> Path:
        """Lay verified bytes at `target`.

        Raises: ArtifactError, FileExistsError when the target folder is there already.
        """
        if not output.is_folder:
            self._lay(output.digest, target)
            return target
        make_private_folder(target.parent)
        target.mkdir(mode=0o700)
        for name, item in self.listing(output.digest).items():
            path = target / name
            if not path.resolve().is_relative_to(target.resolve()):
                raise _corrupt(output.digest, f"a listing that leaves its folder: {name}")
            make_private_folder(path.parent)
            self._lay(item.digest, path)
        return target

    def set_aside(self, digest: str) -> None:
        """Move a corrupt object out of the way."""
        path = self._object(digest)
        if path.exists() or path.is_symlink():
            aside = make_private_folder(self._root / "aside")
            path.rename(aside / f"{_hex(digest)}.{secrets.token_hex(4)}")
            sync_folder(path.parent)

    def record_produced(self, produced: Produced) -> None:
        """Remember what a fingerprint yielded."""
        folder = make_private_folder(self._root / "produced")
        document = canonical_json(asdict(produced))
        write_atomic(folder / f"{_hex(produced.fingerprint)}.json", document)

    # Objects

    def _object(self, digest: str) -> Path:
        name = _hex(digest)
        return self._root / "objects" / name[:2] / name[2:]

    def _has_size(self, digest: str, size_bytes: int) -> bool:
        try:
            found = os.lstat(self._object(digest))
        except FileNotFoundError:
            return False
        is_regular = (found.st_mode & 0o170000) == 0o100000
        return is_regular and found.st_size == size_bytes

    def _check_object(self, digest: str) -> None:
        path = self._object(digest)
        if path.is_symlink():
            raise _corrupt(digest, "a link")
        sha256 = hashlib.sha256()
        try:
            with path.open("rb") as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    sha256.update(chunk)
        except FileNotFoundError as error:
            raise _missing(digest) from error
        if sha256.hexdigest() != _hex(digest):
            raise _corrupt(digest, f"sha256:{sha256.hexdigest()}")

    def _lay(self, digest: str, target: Path) -> None:
        path = self._object(digest)
        if path.is_symlink():
            raise _corrupt(digest, "a link")
        if not path.exists():
            raise _missing(digest)
        found, _ = _copy(path, target)
        if found != digest:
            target.unlink()
            raise _corrupt(digest, found)


def _copy(source: Path, target: Path) -> tuple[str, int]:
    """Copy bytes durably and return their digest and number."""
    sha256, size_bytes = hashlib.sha256(), 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with source.open("rb") as stream, os.fdopen(os.open(target, flags, 0o600), "wb") as copy:
        while chunk := stream.read(_CHUNK_BYTES):
            sha256.update(chunk)
            size_bytes += len(chunk)
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())
    return f"sha256:{sha256.hexdigest()}", size_bytes


def _read_produced(path: Path) -> Produced | None:
    try:
        document = json.loads(path.read_bytes())
        return Produced(
            fingerprint=document["fingerprint"],
            kind=document["kind"],
            facts=document["facts"],
            outputs={name: Output.from_json(item) for name, item in document["outputs"].items()},
            values=document["values"],
        )
    except (FileNotFoundError, ValueError, KeyError):
        return None


def _hex(digest: str) -> str:
    name = digest.removeprefix("sha256:")
    if len(name) != 64 or not set(name) <= set("0123456789abcdef"):
        raise ValueError(f"no digest: {digest}")
    return name


def _missing(digest: str) -> ArtifactError:
    return ArtifactError(
        "kept bytes are gone",
        code="artifact_missing",
        found="nothing",
        expected=digest,
        remedy="brewslm apply makes them again",
    )


def _corrupt(digest: str, found: str) -> ArtifactError:
    return ArtifactError(
        "kept bytes are not what their digest says",
        code="artifact_corrupt",
        found=found,
        expected=digest,
        remedy="brewslm apply makes them again",
    )
