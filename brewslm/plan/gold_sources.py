"""Which gold rows the sources of a manifest hold, by row id, without the rest of its data."""

from collections.abc import Mapping
from pathlib import Path

import orjson

from brewslm.address import Address
from brewslm.contracts import Spec
from brewslm.errors import BrewError
from brewslm.plan.data import prepare_data
from brewslm.stages.data_source import DataSourceSpec, source_path
from brewslm.stages.dataset import DatasetSpec, MixBackSpec

GOLD = ("gold_test", "gold_dev")
RowIds = Mapping[str, frozenset[str]]
"""Gold set to the ids of its rows."""


def gold_paths(specs: Mapping[Address, Spec]) -> set[str]:
    """Return the files that gold rows are read from."""
    return {
        source_path(spec)
        for spec in specs.values()
        if isinstance(spec, DataSourceSpec) and spec.type in GOLD
    } - {""}


def gold_row_ids(
    specs: Mapping[Address, Spec], digests: Mapping[str, str], root: Path, scratch: Path
) -> RowIds | None:
    """Return the ids of the gold rows below a folder, None where not all of them can be read.

    digests: of the sources by path; scratch: where the rows are prepared.
    """
    chosen = {
        address: _alone(spec)
        for address, spec in specs.items()
        if address.kind in ("adapter", "dataset") or _is_gold(spec)
    }
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
        with (outcome.folder / "index.jsonl").open("rb") as stream:
            for entry in map(orjson.loads, stream):
                if entry["split"] in ids:
                    ids[entry["split"]].add(entry["row_id"])
    except (BrewError, OSError):
        return None
    return {name: frozenset(found) for name, found in ids.items()}


def _is_gold(spec: Spec) -> bool:
    return isinstance(spec, DataSourceSpec) and spec.type in GOLD


def _alone(spec: Spec) -> Spec:
    """Return a spec without what it says of sources that hold no gold."""
    if isinstance(spec, DatasetSpec):
        return spec.model_copy(update={"mix_back": MixBackSpec()})
    return spec
