"""Where a manifest says that state and artifacts live, read before anything else is checked."""

from collections.abc import Mapping
from typing import Any

from brewslm.errors import ManifestError
from brewslm.manifest.yaml_file import read_yaml

_PATH = ("spec", "workflow", "backend")


def written_backend(data: bytes, path: str) -> Mapping[str, Any]:
    """Return what a manifest's bytes say under spec.workflow.backend; nothing when they do not.

    Raises: ManifestError when they are no readable YAML.
    """
    source = read_yaml(data, path)
    if not source.is_whole:
        raise ManifestError(
            "the manifest cannot be read, so nobody knows where the state lives",
            code="manifest_invalid",
            found=source.findings[0].message if source.findings else "no mapping",
            expected="well-formed YAML",
            remedy="brewslm validate says where",
        )
    value: Any = source.value
    for key in _PATH:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
