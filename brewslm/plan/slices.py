"""How many of the deciding rows are in each slice, for gates that decide on slices."""

from collections import Counter
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson

from brewslm.artifacts.store import ArtifactReader
from brewslm.contracts import Output
from brewslm.errors import ArtifactError
from brewslm.plan.evaluation_shape import EvaluationShape, set_file
from brewslm.rows.index import first_occurrences
from brewslm.tasks.scoring import slices_of

_LENGTHS = ("short", "medium", "long")
"""Terciles of prompt lengths, which are counted when rows are answered."""


def slice_rows(
    shape: EvaluationShape,
    folder: Path | None,
    prepared: Output | None,
    artifacts: ArtifactReader,
) -> dict[str, int] | None:
    """Return `column=value` to rows of the deciding set; None where no gate asks or the rows are
    not at hand.

    folder: of the prepared rows where this plan made them; prepared: the same as it is kept.
    """
    if not any(gate.slice or gate.slice_name for gate in shape.gates):
        return None
    try:
        rows = list(_lines(set_file(shape.decisive), folder, prepared, artifacts))
        index = _lines("index.jsonl", folder, prepared, artifacts)
        sources: dict[str, str] = first_occurrences(index, itemgetter("source"))
    except (ArtifactError, OSError, KeyError):
        return None
    chosen = shape.sets.get(shape.decisive)
    if chosen is not None:
        rows = [row for row in rows if sources.get(row["row_id"]) in chosen]
    counts: Counter[str] = Counter()
    for of_row in slices_of(rows, sources, {}).values():
        counts.update(f"{column}={value}" for column, value in of_row.items())
    return {**counts, **{f"length={name}": len(rows) // len(_LENGTHS) for name in _LENGTHS}}


def _lines(
    name: str, folder: Path | None, prepared: Output | None, artifacts: ArtifactReader
) -> Iterator[dict[str, Any]]:
    if folder is not None:
        data = (folder / name).read_bytes()
    elif prepared is not None:
        data = artifacts.read_bytes(artifacts.listing(prepared.digest)[name].digest)
    else:
        raise KeyError(name)
    return (orjson.loads(line) for line in data.splitlines())
