"""The two documents of an artifact store: a folder's listing, and what a fingerprint yielded."""

import json
import re
from typing import Any

from msgspec import to_builtins

from brewslm.artifacts import faults
from brewslm.artifacts.store import Produced
from brewslm.contracts import Output
from brewslm.fingerprint import canonical_json, digest_value

_HEX_DIGITS = frozenset("0123456789abcdef")
_LINEAGE = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")


def hex_of(digest: str) -> str:
    """Return the 64 hex digits of a digest.

    Raises: ValueError when it is none.
    """
    name = digest.removeprefix("sha256:")
    if len(name) != 64 or not _HEX_DIGITS.issuperset(name):
        raise ValueError(f"no digest: {digest}")
    return name


def check_lineage(lineage: str) -> str:
    """Return a lineage that can be the name of a marker.

    Raises: ValueError for any other text.
    """
    if not _LINEAGE.fullmatch(lineage):
        raise ValueError(f"no lineage: {lineage}")
    return lineage


def listing_from(digest: str, data: bytes) -> dict[str, Output]:
    """Return the files that a listing names, sorted by path.

    Raises: ArtifactError when the bytes are no listing, or a path leaves the folder.
    """
    try:
        document = json.loads(data)
        listing = {name: _file(item) for name, item in sorted(document.items())}
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise faults.corrupt(digest, "no listing") from error
    for name in listing:
        folders = {name[:end] for end, sign in enumerate(name) if sign == "/"}
        if not _stays_inside(name) or folders & listing.keys():
            raise faults.corrupt(digest, "a listing that is no folder's")
    return listing


def produced_bytes(produced: Produced) -> bytes:
    """Return what a fingerprint yielded as bytes that carry their own digest."""
    document = to_builtins(produced)
    return canonical_json({"produced": document, "digest": digest_value(document)})


def produced_from(data: bytes) -> Produced:
    """Return what `produced_bytes` wrote.

    Raises: ValueError for anything else.
    """
    try:
        document = json.loads(data)
        produced = document["produced"]
        if digest_value(produced) != document["digest"]:
            raise ValueError("another content than its digest says")
        outputs = {name: Output.from_json(item) for name, item in produced["outputs"].items()}
        return Produced(**{**produced, "outputs": outputs})
    except (KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError("no record of what a fingerprint yielded") from error


def _file(item: dict[str, Any]) -> Output:
    output = Output.from_json(item)
    hex_of(output.digest)
    if output.is_folder or type(output.size_bytes) is not int or output.size_bytes < 0:
        raise ValueError("no file")
    return output


def _stays_inside(name: str) -> bool:
    return "\0" not in name and not {"", ".", ".."} & set(name.split("/"))
