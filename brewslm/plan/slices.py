"""Which slices the deciding rows are in, and how many rows each has, for gates that ask."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson

from brewslm.artifacts.store import ArtifactReader
from brewslm.contracts import Output
from brewslm.errors import ArtifactError
from brewslm.plan.evaluation_shape import EvaluationShape
from brewslm.rows.index import first_occurrences
from brewslm.rows.record import Split
from brewslm.tasks.gate import Gate
from brewslm.tasks.scoring import slices_of

_LENGTHS = ("short", "medium", "long")
"""Terciles of prompt lengths, which are counted when rows are answered."""


Slices = Mapping[str, Mapping[str, str]]
"""Row id to column to value."""


def asked_columns(gates: Iterable[Gate]) -> set[str]:
    """Return the columns that gates slice by."""
    named = {gate.slice.partition("=")[0] for gate in gates if gate.slice}
    return named | {gate.slice_name for gate in gates if gate.slice_name}


def recorded_slices(lines: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Return the slices of rows as their scores hold them."""
    return {
        str(line["row_id"]): {
            column: value for column, _, value in (name.partition("=") for name in line["slices"])
        }
        for line in lines
    }


def resliced(before: Slices, after: Slices, columns: Iterable[str]) -> set[str]:
    """Return the rows of both sides that are with other rows than before in one of the columns.

    A value that is renamed for all of its rows, and was not the name of others, keeps them
    together. Columns that one side knows nothing of are passed over.
    """
    moved: set[str] = set()
    shared = before.keys() & after.keys()
    for column in columns:
        pairs = {key: (before[key].get(column), after[key].get(column)) for key in shared}
        old, new = ({pair[side] for pair in pairs.values()} for side in (0, 1))
        if old == {None}:
            continue
        distinct = set(pairs.values())
        renamed = {
            (was, now)
            for was, now in distinct
            if was not in new
            and now not in old
            and sum(was == pair[0] or now == pair[1] for pair in distinct) == 1
        }
        moved |= {key for key, pair in pairs.items() if pair[0] != pair[1] and pair not in renamed}
    return moved


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
    if not asked_columns(shape.gates):
        return None
    try:
        rows = list(_lines(Split(shape.decisive).file, folder, prepared, artifacts))
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
