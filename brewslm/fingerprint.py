"""Canonical JSON, SHA-256 digests, and the fingerprint of a set of facts.

Canonical form is RFC 8785. Values whose keys are ASCII and whose leaves are text, booleans, null,
floats and integers within ±(2^53 - 1) take a fast encoder whose bytes are identical; everything
else takes the general one.
"""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import rfc8785

_MAX_EXACT_INTEGER = 2**53 - 1
_CHUNK_BYTES = 1 << 20


def canonical_json(value: Any) -> bytes:
    """Return the RFC 8785 bytes of a JSON value.

    Raises: ValueError for values without a canonical form (NaN, infinity, lone surrogates, integers
    beyond 2^53 - 1).
    """
    try:
        if (has_floats := _survey(value)) is not None:
            simple = _with_exact_floats(value) if has_floats else value
            return orjson.dumps(simple, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"no canonical JSON: {error}") from error
    try:
        return bytes(rfc8785.dumps(value))
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise ValueError(f"no canonical JSON: {error}") from error


def digest_bytes(data: bytes) -> str:
    """Return `sha256:` and 64 hex digits."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def digest_value(value: Any) -> str:
    """Return the digest of a value's canonical JSON."""
    return digest_bytes(canonical_json(value))


def digest_file(path: Path) -> str:
    """Return the digest of a file's bytes, read in chunks of 1 MiB."""
    with path.open("rb") as stream:
        return digest_stream(stream)


def digest_stream(stream: BinaryIO) -> str:
    """Return the digest of what is left of a stream."""
    sha256 = hashlib.sha256()
    while chunk := stream.read(_CHUNK_BYTES):
        sha256.update(chunk)
    return f"sha256:{sha256.hexdigest()}"


def fingerprint(facts: Mapping[str, Any]) -> str:
    """Return the digest that identifies the result which these facts determine."""
    return digest_value(dict(facts))


def _with_exact_floats(value: Any) -> Any:
    """Return the value with each float as the text that ECMAScript gives it."""
    kind = type(value)
    if kind is float:
        return orjson.Fragment(rfc8785.dumps(value))
    if kind is dict:
        return {key: _with_exact_floats(item) for key, item in value.items()}
    if kind is list:
        return [_with_exact_floats(item) for item in value]
    return value


def _survey(value: Any) -> bool | None:
    """Return whether a value that the fast encoder may take has floats; None where it may not."""
    has_floats = False
    pending = [value]
    while pending:
        item = pending.pop()
        kind = type(item)
        if kind is str or kind is bool or item is None:
            continue
        if kind is dict:
            for key in item:
                if type(key) is not str or not key.isascii():
                    return None
            pending.extend(item.values())
        elif kind is list:
            pending.extend(item)
        elif kind is int:
            if not -_MAX_EXACT_INTEGER <= item <= _MAX_EXACT_INTEGER:
                return None
        elif kind is float and math.isfinite(item):
            has_floats = True
        else:
            return None
    return has_floats


def listing_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Return `{relative path: {digest, size_bytes}}` of all regular files below a folder.

    Raises: ValueError for links and other things that are neither file nor folder.
    """
    listing: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise ValueError(f"{path.relative_to(folder).as_posix()} is neither file nor folder")
        if path.is_file():
            listing[path.relative_to(folder).as_posix()] = {
                "digest": digest_file(path),
                "size_bytes": path.stat().st_size,
            }
    return listing


def digest_folder(folder: Path) -> str:
    """Return the digest that names a folder: that of its listing's canonical JSON."""
    return digest_value(listing_of(folder))
