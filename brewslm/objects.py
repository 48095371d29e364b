"""A folder of objects in S3, Google Cloud Storage or Azure, and the few things done with it.

Credentials come from the environment variables that each service's own tools read; the URL carries
none. Every conditional write whose answer was lost, or refused because a repeat met the first try,
is read back: the same bytes are our own. Callers put something unique into bodies that they
compare.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import obstore
from msgspec import Struct
from obstore import exceptions
from obstore.store import from_url

from brewslm.errors import UnreachableError

_CHUNK_BYTES = 8 << 20
_CONDITIONAL_BYTES = 64 << 20
"""Up to this size an upload is one request, which can carry a condition."""
_RETRIES = 4
_PREFIXES = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}
"""Scheme to the first word of the environment variables that configure it."""
_DENIED = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
_REFUSED = (exceptions.AlreadyExistsError, exceptions.PreconditionError)


class Object(Struct, frozen=True):
    """The bytes of an object, and the tag that a conditional write names them by."""

    data: bytes
    tag: str
    version: str | None
    written_at: datetime

    @property
    def mode(self) -> dict[str, str]:
        """The condition that nobody wrote since."""
        return {"e_tag": self.tag} | ({"version": self.version} if self.version else {})


class Entry(Struct, frozen=True):
    """What a listing says of an object."""

    key: str
    size_bytes: int
    written_at: datetime


class ObjectFolder:
    """The objects below one URL; keys are relative to it."""

    def __init__(self, url: str) -> None:
        """url: s3://BUCKET/PREFIX, or the same with gs or az.

        Raises: UnreachableError for a URL that is none or carries credentials; it is not repeated.
        """
        scheme, sign, rest = url.partition("://")
        if not sign or scheme not in _PREFIXES or not rest or set("@?#") & set(rest):
            raise _no_folder()
        self.name = f"{scheme}://{rest}"
        allows_http = os.environ.get(f"{_PREFIXES[scheme]}_ALLOW_HTTP", "").lower()
        try:
            self._store: Any = from_url(
                url,
                client_options={
                    "allow_http": allows_http in ("1", "true"),
                    "connect_timeout": "10s",
                    "timeout": "10m",
                },
                retry_config={"max_retries": _RETRIES},
            )
        except (exceptions.BaseError, ValueError):
            raise _no_folder() from None

    def find(self, key: str) -> Object | None:
        """Return an object whole, None when there is none."""
        with self._refusals():
            try:
                found = obstore.get(self._store, key)
            except FileNotFoundError:
                return None
            return Object(
                bytes(found.bytes()),
                found.meta["e_tag"] or "",
                found.meta["version"],
                found.meta["last_modified"],
            )

    def chunks(self, key: str) -> Iterator[bytes] | None:
        """Return the bytes of an object piece by piece, None when there is none."""
        with self._refusals():
            try:
                found = obstore.get(self._store, key)
            except FileNotFoundError:
                return None
        return self._pieces(found)

    def find_size(self, key: str) -> int | None:
        """Return the size of an object in bytes, None when there is none."""
        with self._refusals():
            try:
                return int(obstore.head(self._store, key)["size"])
            except FileNotFoundError:
                return None

    def create(self, key: str, data: bytes) -> bool:
        """Write an object that is not there yet; return whether it holds these bytes now."""
        return self._put_if(key, data, "create")

    def replace(self, key: str, data: bytes, before: Object) -> bool:
        """Write an object that nobody wrote since; return whether it holds these bytes now."""
        return self._put_if(key, data, before.mode)

    def put(self, key: str, data: bytes | Path) -> None:
        """Write an object, whatever is there."""
        with self._refusals():
            obstore.put(self._store, key, data, mode="overwrite", chunk_size=_CHUNK_BYTES)

    def put_new(self, key: str, path: Path) -> None:
        """Write a file as an object that is not there yet; one that is there stays.

        A large file goes up in parts, without a condition.
        """
        if path.stat().st_size > _CONDITIONAL_BYTES:
            self.put(key, path)
            return
        with self._refusals():
            try:
                obstore.put(self._store, key, path, mode="create")
            except exceptions.AlreadyExistsError:
                return

    def move(self, key: str, target: str) -> bool:
        """Give an object another key; return whether there was one."""
        with self._refusals():
            try:
                obstore.copy(self._store, key, target)
            except FileNotFoundError:
                return False
        self.delete(key)
        return True

    def delete(self, key: str) -> None:
        """Remove an object; harmless when there is none."""
        with self._refusals():
            try:
                obstore.delete(self._store, key)
            except FileNotFoundError:
                return

    def discard(self, key: str) -> None:
        """Remove an object that does no harm where it cannot be removed."""
        with suppress(UnreachableError):
            self.delete(key)

    def keys(self, folder: str) -> list[str]:
        """Return the keys below a folder, sorted."""
        return [entry.key for entry in self.entries(folder)]

    def entries(self, folder: str) -> list[Entry]:
        """Return what lies below a folder, sorted by key."""
        with self._refusals():
            pages = obstore.list(self._store, prefix=folder)
            found = [
                Entry(str(item["path"]), int(item["size"]), item["last_modified"])
                for page in pages
                for item in page
            ]
        return sorted(found, key=lambda entry: entry.key)

    def _put_if(self, key: str, data: bytes, mode: Any) -> bool:
        try:
            with self._refusals():
                obstore.put(self._store, key, data, mode=mode)
        except _REFUSED:
            return self._holds(key, data)
        except UnreachableError:
            if self._holds(key, data):
                return True
            raise
        return True

    def _holds(self, key: str, data: bytes) -> bool:
        found = self.find(key)
        return found is not None and found.data == data

    def _pieces(self, found: Any) -> Iterator[bytes]:
        with self._refusals():
            for piece in found.stream(min_chunk_size=_CHUNK_BYTES):
                yield bytes(piece)

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn what the service refuses into our errors, without its words: they may hold tokens.

        A refused condition is an answer and passes.
        """
        try:
            yield
        except _REFUSED:
            raise
        except _DENIED:
            raise self._unreachable("permission_denied", "access was refused") from None
        except FileNotFoundError:
            raise self._unreachable("store_unreachable", "no such bucket") from None
        except exceptions.BaseError:
            raise self._unreachable("store_unreachable", "an error, or no answer") from None

    def _unreachable(self, code: str, found: str) -> UnreachableError:
        return UnreachableError(
            "the shared store cannot be reached or refuses",
            code=code,
            found=f"{self.name}: {found}",
            expected="a store that answers and may be written",
            remedy="see that the store can be reached with these credentials, then: brewslm apply",
        )


def _no_folder() -> UnreachableError:
    return UnreachableError(
        "a backend names no folder of objects",
        code="system_config_invalid",
        found="a URL of another form",
        expected="s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX",
        remedy="correct the URL; credentials belong into the environment",
    )
