"""A manifest with some values changed; everything else means the same, and comments stay."""

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from brewslm.errors import ManifestError
from brewslm.manifest.layout import formatted
from brewslm.manifest.yaml_file import Path, dotted, read_yaml

_WIDTH = 1 << 16
"""Longer than any line, so that none is broken."""


def revised(data: bytes, file: str, changes: Mapping[Path, Any]) -> bytes:
    """Return a manifest in canonical layout with these values at their paths.

    Mappings on the way are made. Raises: ManifestError for a manifest that has findings of syntax,
    or that is written so that such a change would mean more than itself, as with an anchor.
    """
    before = read_yaml(data, file)
    if before.findings or not before.is_whole:
        raise _refused(file, "findings", "brewslm validate lists them")
    wanted = _unshared(before.value)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _WIDTH
    stream = io.BytesIO()
    try:
        document = yaml.load(data)
        for path, value in changes.items():
            _put(wanted, path, value)
            _put(document, path, value)
        yaml.dump(document, stream)
    except (YAMLError, TypeError) as error:
        raise _refused(file, type(error).__name__, _by_hand(changes)) from error
    result = formatted(stream.getvalue(), file)
    after = read_yaml(result, file)
    if after.findings or after.value != wanted:
        raise _refused(file, "anchors, or values of another form", _by_hand(changes))
    return result


def _unshared(value: Any) -> Any:
    """Return a copy in which what an alias names is there twice."""
    if isinstance(value, dict):
        return {name: _unshared(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_unshared(item) for item in value]
    return value


def _put(document: Any, path: Path, value: Any) -> None:
    for name in path[:-1]:
        if document.get(name) is None:
            document[name] = {}
        document = document[name]
        if not isinstance(document, dict):
            raise TypeError(f"{name} is no mapping")
    document[path[-1]] = value


def _by_hand(changes: Mapping[Path, Any]) -> str:
    return "write them by hand: " + ", ".join(dotted(path) for path in changes)


def _refused(file: str, found: str, remedy: str) -> ManifestError:
    return ManifestError(
        f'values of "{file}" cannot be changed',
        code="manifest_invalid",
        found=found,
        expected="a manifest without findings of syntax",
        remedy=remedy,
    )
