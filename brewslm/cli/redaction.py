"""Which values of a project's environment are secrets that are kept out of everything."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from brewslm.files import PathError, open_inside

if TYPE_CHECKING:
    from brewslm.redactor import Redactor

_MAX_BYTES = 1 << 20
_REFERENCE = re.compile(r"secret://([A-Za-z_][A-Za-z0-9_]*)")
_NAMED = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|(?:API|ACCESS|PRIVATE)_?KEY"
)
"""Names of variables that hold credentials; an ID beside them is public."""
_PEM = "PRIVATE KEY-----"
"""In a value that holds a key, whatever its name."""
_PUBLIC = re.compile(r"_(ID|FILE|PATH|URI_TEMPLATE)$")
_USERINFO = re.compile(r"://[^/?#@:]*:([^/?#@]+)@|[?&](?:ssl)?password=([^&#]+)")


def redaction(root: Path, manifest: str, environment: Mapping[str, str]) -> "Redactor":
    """Return what replaces, in a text, the values of a project's secrets and those variables of the
    environment that look like credentials.
    """
    from brewslm.redactor import Redactor  # noqa: PLC0415  start-up time

    named = _named(root, manifest, environment)
    return Redactor({name: _parts(environment.get(name, "")) for name in sorted(named)})


def has_secrets(root: Path, manifest: str, environment: Mapping[str, str]) -> bool:
    """Return whether there is anything to take out of a text."""
    return any(environment.get(name) for name in _named(root, manifest, environment))


def _named(root: Path, manifest: str, environment: Mapping[str, str]) -> set[str]:
    found = {name for name, value in environment.items() if _is_credential(name, value)}
    return {*_referenced(root, manifest), *found}


def _is_credential(name: str, value: str) -> bool:
    is_named = _NAMED.search(name) is not None and _PUBLIC.search(name) is None
    return is_named or _PEM in value or _USERINFO.search(value) is not None


def _referenced(root: Path, manifest: str) -> Iterator[str]:
    try:
        with open_inside(root, manifest) as stream:
            data = stream.read(_MAX_BYTES)
    except (PathError, OSError):
        return
    yield from _REFERENCE.findall(data.decode("utf-8", "replace"))


def _parts(value: str) -> Iterator[str]:
    """Yield a value and, where it is a URL, the password in it."""
    from urllib.parse import unquote  # noqa: PLC0415  start-up time

    yield value
    for found in _USERINFO.finditer(value):
        written = found[1] or found[2]
        yield from (written, unquote(written))
