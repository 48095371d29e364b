"""The gold rows of a manifest are read without the rest of its data, or not told at all."""

import errno
import json
from collections import Counter
from collections.abc import Iterable, Mapping

import pytest

from brewslm.address import Address
from brewslm.contracts import Spec
from brewslm.fingerprint import digest_bytes
from brewslm.manifest.host import HostFacts
from brewslm.manifest.load import load_manifest
from brewslm.plan.gold_sources import RowIds, gold_paths, gold_row_ids
from brewslm.rows.pool import WorkerLostError
from brewslm.tasks.gate import Gate
from tests.apply.bench import Bench

_MORE = """\
    - {name: dev, type: gold_dev, file_path: data/dev.jsonl, adapter: faults}
    - {name: general, type: raw, file_path: data/general.jsonl}
  adapters:
    - name: faults
      base_adapter_id: label_to_classification
      source_type: gold_test
      field_mapping: {text: said}
"""


class Golden:
    """A project with two gold sources whose rows only an adapter can read."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        for name, numbers in (("gold", range(100, 130)), ("dev", range(200, 205))):
            bench.write_rows(name, numbers)
            path = bench.root / "data" / f"{name}.jsonl"
            path.write_text(path.read_text().replace('"text"', '"said"'))
        bench.edit("  dataset: {", f"{_MORE}  dataset: {{")
        bench.edit("gold.jsonl}", "gold.jsonl, adapter: faults}")
        bench.edit("leak_check:", "mix_back: {source: general, fraction: 0.1}, leak_check:")
        bench.write_rows("general", range(300, 303))

    def specs(self) -> Mapping[Address, Spec]:
        """Return what the manifest asks for."""
        return load_manifest(self.bench.root, host=HostFacts()).specs()

    def digests(self) -> dict[str, str]:
        """Return the digests of the files."""
        paths = (self.bench.root / "data").iterdir()
        return {f"data/{path.name}": digest_bytes(path.read_bytes()) for path in paths}

    def ids(
        self, digests: Mapping[str, str] | None = None, gates: Iterable[Gate] = ()
    ) -> RowIds | None:
        """Return the gold rows by id."""
        scratch = self.bench.root / "scratch"
        known = self.digests() if digests is None else digests
        return gold_row_ids(self.specs(), known, self.bench.root, scratch, gates)


@pytest.fixture
def golden(bench: Bench) -> Golden:
    return Golden(bench)


def _counts(ids: RowIds | None) -> dict[str, int] | None:
    return None if ids is None else {name: len(found) for name, found in ids.items()}


def test_gold_rows_are_those_of_the_whole_data(golden: Golden) -> None:
    assert gold_paths(golden.specs()) == {"data/gold.jsonl", "data/dev.jsonl"}
    whole = golden.bench.built().prepared_folder
    assert whole is not None
    index = list(map(json.loads, (whole / "index.jsonl").read_bytes().splitlines()))
    for name in ("rows", "general"):
        (golden.bench.root / "data" / f"{name}.jsonl").unlink()
    ids = golden.ids()
    assert _counts(ids) == {"gold_test": 30, "gold_dev": 5}
    assert ids == {
        name: frozenset(line["row_id"] for line in index if line["split"] == name)
        for name in ("gold_test", "gold_dev")
    }


def test_gold_rows_that_cannot_all_be_read_are_not_told(golden: Golden) -> None:
    digests = golden.digests()
    for name in ("data/gold.jsonl", "data/dev.jsonl"):
        assert golden.ids({path: x for path, x in digests.items() if path != name}) is None
    assert _counts(golden.ids(digests)) == {"gold_test": 30, "gold_dev": 5}
    (golden.bench.root / "data" / "dev.jsonl").unlink()
    (golden.bench.root / "scratch").rename(golden.bench.root / "earlier")
    assert golden.ids(digests) is None


def test_manifest_without_gold_has_no_gold_rows(golden: Golden) -> None:
    golden.bench.edit("type: gold_test", "type: train")
    golden.bench.edit("type: gold_dev", "type: train")
    assert gold_paths(golden.specs()) == set()
    assert golden.ids() == {}


def test_gold_source_that_is_no_file_of_the_project_is_not_read(golden: Golden) -> None:
    golden.bench.edit("file_path: data/dev.jsonl", "locator: 'hf:org/name'")
    assert gold_paths(golden.specs()) == {"data/gold.jsonl"}
    assert golden.ids() is None


@pytest.mark.parametrize(
    "error", [WorkerLostError(-9), OSError(errno.ENOSPC, "no space left")], ids=["worker", "disk"]
)
def test_gold_rows_whose_preparation_ends_early_are_not_told(
    golden: Golden, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def ending(*_: object, **_named: object) -> None:
        raise error

    monkeypatch.setattr("brewslm.rows.prepare.prepare", ending)
    assert golden.ids() is None


def test_gold_rows_say_the_slices_that_gates_ask_for(golden: Golden) -> None:
    path = golden.bench.root / "data" / "gold.jsonl"
    rows = list(map(json.loads, path.read_text().splitlines()))
    regions = ["north", "south", "north"] * 10
    written = (row | {"region": place} for row, place in zip(rows, regions, strict=True))
    path.write_text("".join(json.dumps(row) + "\n" for row in written))
    slices = ("region=north", "source=dev")
    for name in slices:
        gate = f"{{gate_id: {name[:6]}, metric_id: accuracy, threshold: 0.5, slice: {name}}}"
        golden.bench.edit("gates:\n", f"gates:\n      - {gate}\n")
    gates = [Gate(metric_id="accuracy", threshold=0.5, slice=name) for name in slices]
    ids = golden.ids(gates=gates)
    assert ids is not None
    found = [Counter(line.partition(" ")[2] for line in ids[name]) for name in sorted(ids)]
    assert found == [
        {"source=dev": 5},
        {"region=north source=gold": 20, "region=south source=gold": 10},
    ]
