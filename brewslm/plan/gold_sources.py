"""Which gold rows the sources of a manifest hold, by row id and the slices of gates that they are
in, without the rest of its data.
"""

from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson

from brewslm.address import Address
from brewslm.contracts import Spec
from brewslm.errors import BrewError
from brewslm.plan.data import prepare_data
from brewslm.plan.evaluation_shape import set_file
from brewslm.plan.slices import asked_columns
from brewslm.rows.dataset import DatasetSpec, MixBackSpec
from brewslm.rows.index import first_occurrences
from brewslm.stages.data_source import DataSourceSpec, source_path
from brewslm.tasks.gate import Gate
from brewslm.tasks.scoring import slices_of

GOLD = ("gold_test", "gold_dev")
RowIds = Mapping[str, frozenset[str]]
"""Gold set to the ids of its rows, each followed by the slices that gates ask for."""


def gold_paths(specs: Mapping[Address, Spec]) -> set[str]:
    """Return the files that gold rows are read from."""
    return {
        source_path(spec)
        for spec in specs.values()
        if isinstance(spec, DataSourceSpec) and spec.type in GOLD
    } - {""}


def gold_row_ids(
    specs: Mapping[Address, Spec],
    digests: Mapping[str, str],
    root: Path,
    scratch: Path,
    gates: Iterable[Gate],
) -> RowIds | None:
    """Return the ids of the gold rows below a folder, None where not all of them can be read.

    specs: the eval_pack is that of the gates; digests: of the sources by path; scratch: where the
    rows are prepared; gates: those that ask for slices.
    """
    chosen = {
        address: _alone(spec)
        for address, spec in specs.items()
        if address.kind in ("adapter", "dataset", "eval_pack") or _is_gold(spec)
    }
    columns = asked_columns(gates)
    paths = gold_paths(specs)
    if not paths <= digests.keys():
        return None
    contents = {
        address: (digests[source_path(spec)], 0)
        for address, spec in chosen.items()
        if isinstance(spec, DataSourceSpec) and source_path(spec)
    }
    ids: dict[str, set[str]] = {name: set() for name in GOLD}
    if not contents:
        return {}
    try:
        outcome = prepare_data(chosen, contents, root, scratch, None, "gold")
        if outcome.folder is None or not outcome.is_whole:
            return None
        sources: dict[str, str] = first_occurrences(
            _read(outcome.folder / "index.jsonl"), itemgetter("source")
        )
        for name, found in ids.items():
            path = outcome.folder / set_file(name)
            rows = list(_read(path)) if path.is_file() else []
            for row_id, of_row in slices_of(rows, sources, {}).items():
                asked = (f" {column}={of_row[column]}" for column in of_row if column in columns)
                found.add(row_id + "".join(asked))
    except (BrewError, OSError):
        return None
    return {name: frozenset(found) for name, found in ids.items()}


def _read(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as stream:
        yield from map(orjson.loads, stream)


def _is_gold(spec: Spec) -> bool:
    return isinstance(spec, DataSourceSpec) and spec.type in GOLD


def _alone(spec: Spec) -> Spec:
    """Return a spec without what it says of sources that hold no gold."""
    if isinstance(spec, DatasetSpec):
        return spec.model_copy(update={"mix_back": MixBackSpec()})
    return spec
