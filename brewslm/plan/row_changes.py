"""How the rows of a dataset differ from those that were recorded, counted by content."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from brewslm.artifacts.store import ArtifactReader
from brewslm.contracts import Output
from brewslm.errors import ArtifactError

_INDEX = "index.jsonl"


def row_changes(
    recorded: Output | None, prepared: Path, artifacts: ArtifactReader
) -> dict[str, Any] | None:
    """Return `{training, gold, moved, splits}` counts, None where the earlier rows are gone.

    recorded: the prepared folder of the record; prepared: the folder that this plan made.
    """
    if recorded is None or not artifacts.is_present(recorded):
        return None
    try:
        index = artifacts.read_bytes(artifacts.listing(recorded.digest)[_INDEX].digest)
    except (ArtifactError, KeyError):
        return None
    diff_indexes = import_module("brewslm.rows.diff").diff_indexes  # unchanged data needs none
    with (prepared / _INDEX).open("rb") as stream:
        diff = diff_indexes(map(json.loads, index.splitlines()), map(json.loads, stream))
    return {
        "training": _counts(diff.training),
        "gold": _counts(diff.gold),
        "moved": diff.moved,
        "splits": {name: amount for name, amount in diff.splits.items() if amount},
    }


def _counts(changes: Any) -> dict[str, int]:
    return {"added": changes.added, "removed": changes.removed, "changed": changes.changed}
