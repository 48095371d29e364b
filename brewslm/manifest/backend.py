"""Where a manifest says that state and artifacts live, read before anything else is checked."""

from collections.abc import Mapping
from typing import Any

from brewslm.diagnostics import sorted_findings
from brewslm.manifest.load import FindingsError
from brewslm.manifest.yaml_file import read_yaml

_PATH = ("spec", "workflow", "backend")


def written_backend(data: bytes, path: str) -> Mapping[str, Any]:
    """Return what a manifest's bytes say under spec.workflow.backend; nothing when they do not.

    Raises: FindingsError when they are no readable YAML.
    """
    source = read_yaml(data, path)
    if not source.is_whole:
        raise FindingsError(sorted_findings(source.findings))
    value: Any = source.value
    for key in _PATH:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
