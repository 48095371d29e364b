"""Which shared stores a project names in its manifest, secrets filled in.

Most projects name none: their manifest is searched for the word and read no further.
"""

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from brewslm.errors import StateError
from brewslm.files import PathError, open_inside
from brewslm.registry import closest

_HINT = re.compile(rb"(?<![A-Za-z0-9_])backend(?![A-Za-z0-9_])|\\")
"""What a manifest that writes the key contains; a backslash may spell it in another way."""
_SECRET = "secret://"  # noqa: S105  how a secret is named
_PASSWORD = re.compile(r"://[^/?#]*:[^/?#]*@|[?&](ssl)?password=")
"""Credentials inside a URL."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_BYTES = 1 << 20
_SHORTEST = 8
"""Characters; a shorter value could not be told from ordinary words and kept out of messages."""


def backend_url(
    root: Path, manifest: str, store: str, environment: Mapping[str, str]
) -> str | None:
    """Return the URL of a shared store, None for the project's own; store: state or artifacts.

    The URL may hold a secret: it is for opening the store and for nothing else.

    Raises: ManifestError for a manifest that cannot be read, StateError for a secret that is not
    set.
    """
    try:
        with open_inside(root, manifest) as stream:
            data = stream.read(_MAX_BYTES + 1)
    except (PathError, OSError):
        return None
    if _HINT.search(data) is None:
        return None
    written = import_module("brewslm.manifest.backend").written_backend(data, manifest)
    value = written.get(store)
    if not isinstance(value, str):
        return None
    if not value.startswith(_SECRET):
        _check_public(value, store)
        return value
    return _secret(value.removeprefix(_SECRET), store, environment)


def _check_public(url: str, store: str) -> None:
    """Refuse a URL that everybody can read and that lets in whoever reads it."""
    if _PASSWORD.search(url):
        raise StateError(
            f"backend.{store} carries credentials; they are not used and not shown here",
            code="BACKEND_URL",
            found="a password in the manifest",
            expected="secret://NAME",
            remedy="revoke the password, and name a variable that holds the new URL: secret://NAME",
        )


def _secret(name: str, store: str, environment: Mapping[str, str]) -> str:
    value = environment.get(name) if _VARIABLE.fullmatch(name) else None
    if value is not None and value == value.strip() and len(value) >= _SHORTEST:
        return value
    near = closest(name, environment) if value is None else ()
    raise StateError(
        f"backend.{store} names a secret that "
        + ("is not set" if value is None else "cannot be used"),
        code="SECRET_MISSING",
        found=_without_value(name, value),
        expected="the URL of a store in it",
        remedy=f"write secret://{near[0]}"
        if near
        else f"export {name}=URL, then run the command again",
    )


def _without_value(name: str, value: str | None) -> str:
    """Return what is wrong with a secret, without a word of it."""
    if value is None:
        return f"no environment variable {name!r}"
    if not value.strip():
        return f"{name} is empty"
    if value != value.strip():
        what = "line end" if value.endswith(("\n", "\r")) else "blank"
        return f"{name} begins or ends with a {what}"
    return f"{name} has fewer than {_SHORTEST} characters"
