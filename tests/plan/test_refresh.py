"""How hard a plan looks: none trusts the record, auto compares sizes, full reads every byte."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from brewslm.address import Address
from brewslm.contracts import Operation, Output
from brewslm.diagnostics import FindingCode
from brewslm.errors import ExitCode
from brewslm.plan.digest_cache import DigestCache
from brewslm.plan.refresh import is_data_recorded, recorded_base, recorded_contents
from brewslm.state.records import Status
from tests.apply.bench import Bench


def _object(bench: Bench, kept: Output) -> Path:
    """Return the kept file of an output; of a folder the first file that is not empty."""
    path = _path(bench, kept.digest)
    if not kept.is_folder:
        return path
    listing = json.loads(path.read_bytes())
    return next(_path(bench, item["digest"]) for item in listing.values() if item["size_bytes"])


def _path(bench: Bench, digest: str) -> Path:
    name = digest.removeprefix("sha256:")
    return bench.home / "store" / "objects" / name[:2] / name[2:]


def _damage(path: Path) -> None:
    """Write other bytes of the same length and the same times."""
    found = path.stat()
    path.chmod(0o600)
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    path.chmod(0o400)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_none_opens_no_recorded_file_and_says_so(applied: Bench) -> None:
    (applied.root / "data" / "rows.jsonl").unlink()
    digests = DigestCache(0)
    plan = applied.built(refresh="none", digests=digests).plan
    assert digests.hashed == 0
    assert not plan.has_changes
    assert [item.code for item in plan.finding_values if item.severity == "warning"] == [
        FindingCode.REFRESH_SKIPPED
    ]
    assert plan.is_applyable
    assert not applied.built().plan.is_applyable


def test_none_names_the_same_inputs_and_actions_as_auto(applied: Bench) -> None:
    trusted, looked = applied.built(refresh="none").plan, applied.built().plan
    assert trusted.inputs == looked.inputs
    assert trusted.actions == looked.actions


def test_none_reads_what_was_never_recorded(bench: Bench) -> None:
    digests = DigestCache(0)
    plan = bench.built(refresh="none", digests=digests).plan
    assert digests.hashed > 0
    assert plan.actions == bench.built().plan.actions


def test_none_reads_rows_again_once_their_meaning_changed(applied: Bench) -> None:
    applied.edit("ngram: 0}", "ngram: 0}, cleaning: {min_chars: 2}")
    plan = applied.built(refresh="none").plan
    dataset = next(item for item in plan.actions if item.address == "dataset")
    assert (dataset.operation, dataset.reason) == (Operation.UPDATE, "field_changed")


@pytest.mark.parametrize(
    ("address", "output", "doors"),
    [
        ("export.adapter", "files", ["formats.adapter"]),
        ("eval_pack", "metrics", ["score"]),
        ("eval_pack", "predictions.baseline.gold_test", ["generate baseline"]),
    ],
)
def test_full_finds_damaged_bytes_that_auto_takes_for_whole(
    applied: Bench, address: str, output: str, doors: list[str]
) -> None:
    _damage(_object(applied, applied.records()[address].outputs[output]))
    assert not applied.built().plan.has_changes
    built = applied.built(refresh="full")
    action = next(item for item in built.plan.actions if item.address == address)
    assert (action.operation, action.reason) == (Operation.UPDATE, "artifact_corrupt")
    assert (address, "changed", output) in [
        (item.address, item.kind, item.path) for item in built.plan.drift
    ]
    assert applied.apply(built).exit_code is ExitCode.DONE
    assert applied.doors() == doors
    assert len(list((applied.home / "store" / "aside").iterdir())) == 1, "whole objects stay"
    assert not applied.built(refresh="full").plan.has_changes


def test_damaged_prepared_rows_are_made_again(applied: Bench) -> None:
    _damage(_object(applied, applied.records()["dataset"].outputs["prepared"]))
    built = applied.built(refresh="full")
    work = [(item.address, item.reason) for item in built.plan.actions if item.is_work]
    assert work == [("dataset", "artifact_corrupt")]
    assert applied.apply(built).exit_code is ExitCode.DONE
    assert applied.jobs == []
    assert not applied.built(refresh="full").plan.has_changes


def test_missing_prepared_rows_are_made_again(applied: Bench) -> None:
    _object(applied, applied.records()["dataset"].outputs["prepared"]).unlink()
    built = applied.built()
    work = [(item.address, item.reason) for item in built.plan.actions if item.is_work]
    assert work == [("dataset", "artifact_missing")]
    assert applied.apply(built).exit_code is ExitCode.DONE


@pytest.mark.case("ART-10")
def test_damage_that_shows_at_reuse_is_set_aside_and_made_again(applied: Bench) -> None:
    applied.edit("2.0e-3", "1.0e-3")
    applied.apply()
    applied.edit("1.0e-3", "2.0e-3")
    action = next(item for item in applied.built().plan.actions if item.address == "training_plan")
    assert action.reuse is not None
    reused = {item["name"]: Output.from_json(item) for item in action.reuse.outputs}
    _damage(_object(applied, reused["lora_adapter"]))
    outcome = applied.apply()
    assert [error.code for error in outcome.errors] == ["artifact_corrupt"]
    assert applied.promoted() is not None
    assert applied.apply().exit_code is ExitCode.DONE
    assert "train" in applied.doors()


def test_full_reads_files_whose_stat_result_still_holds(applied: Bench) -> None:
    digests = DigestCache(2**62)
    applied.built(digests=digests)
    read = digests.hashed
    applied.built(digests=digests)
    assert digests.hashed == read
    digests.trusts_stat = False
    applied.built(refresh="full", digests=digests)
    assert digests.hashed == 2 * read


@pytest.mark.case("TIM-03")
def test_edit_of_the_same_size_within_one_tick_is_seen(applied: Bench) -> None:
    path = applied.root / "data" / "rows.jsonl"
    mtime_ns = path.stat().st_mtime_ns
    digests = DigestCache(mtime_ns + 1)
    assert not applied.built(digests=digests).plan.has_changes
    _edit_in_place(path, mtime_ns)
    assert _changed_sources(applied, digests) == ["data_source.rows"]


@pytest.mark.case("TIM-03")
def test_edit_whose_mtime_was_set_back_is_seen(applied: Bench) -> None:
    path = applied.root / "data" / "rows.jsonl"
    digests = DigestCache(2**62)
    assert not applied.built(digests=digests).plan.has_changes
    _edit_in_place(path, path.stat().st_mtime_ns)
    assert _changed_sources(applied, digests) == ["data_source.rows"]


@pytest.mark.case("TIM-04")
def test_touched_file_is_read_once_and_changes_nothing(applied: Bench) -> None:
    digests = DigestCache(2**62)
    before = applied.built(digests=digests).plan
    read = digests.hashed
    os.utime(applied.root / "data" / "rows.jsonl", ns=(0, 1_000_000_000))
    for _ in range(2):
        plan = applied.built(digests=digests).plan
        assert not plan.has_changes
        assert plan.to_bytes() == before.to_bytes()
        assert digests.hashed == read + 1


def _edit_in_place(path: Path, mtime_ns: int) -> None:
    """Write other rows of the same length into the same file, and its mtime of before."""
    text = path.read_text()
    path.write_text(text.replace("lamp", "pump"))
    assert path.stat().st_size == len(text)
    os.utime(path, ns=(mtime_ns, mtime_ns))


def _changed_sources(bench: Bench, digests: DigestCache) -> list[str]:
    actions = bench.built(digests=digests).plan.actions
    return [item.address for item in actions if item.reason == "content_changed"]


class Recorded:
    """What a plan of an applied project compares before it trusts the recorded rows."""

    def __init__(self, bench: Bench) -> None:
        built = bench.built()
        self.specs = dict(built.specs)
        self.base = built.base
        self.records = bench.records()
        self.artifacts = bench.artifacts()
        found = recorded_contents(self.specs, self.records)
        assert found is not None
        self.contents = dict(found)

    def is_recorded(self, refresh: str = "auto") -> bool:
        """Return whether the rows are those of the record."""
        return is_data_recorded(
            self.specs, self.contents, self.base, self.records, self.artifacts, refresh
        )

    def alter(self, address: str, **changes: Any) -> None:
        """Change what is recorded of a resource."""
        self.records[address] = replace(self.records[address], **changes)

    def values(self, **changes: Any) -> None:
        """Change what is recorded of the dataset."""
        self.alter("dataset", values={**self.records["dataset"].values, **changes})

    def manifest(self, **changes: Any) -> None:
        """Change the recorded account of the prepared rows."""
        self.values(manifest={**self.records["dataset"].values["manifest"], **changes})

    def base_is(self, **changes: Any) -> None:
        """Plan with another base model."""
        assert self.base is not None
        self.base = replace(self.base, **changes)

    def base_file(self, name: str) -> None:
        """Plan with another file of the base model."""
        assert self.base is not None
        self.base = replace(self.base, files={**self.base.files, name: "sha256:0"})

    def source_is(self, **changes: Any) -> None:
        """Plan with another source of rows."""
        self.specs[_ROWS] = self.specs[_ROWS].model_copy(update=changes)

    def facts(self, address: str, **changes: Any) -> None:
        """Change the recorded facts of a resource."""
        self.alter(address, facts={**self.records[address].facts, **changes})


_ROWS = Address.parse("data_source.rows")
_CHANGES: dict[str, tuple[Callable[[Recorded], object], bool]] = {
    "nothing": (lambda _: None, True),
    "a source is gone": (lambda it: it.specs.pop(_ROWS), False),
    "a source is new": (
        lambda it: it.specs.update({Address.parse("data_source.more"): it.specs[_ROWS]}),
        False,
    ),
    "a record is gone": (lambda it: it.records.pop("data_source.rows"), False),
    "other bytes": (lambda it: it.contents.update({_ROWS: ("sha256:0", 1)}), False),
    "bytes unknown": (lambda it: it.contents.pop(_ROWS), False),
    "other size of the same bytes": (
        lambda it: it.contents.update({_ROWS: (it.contents[_ROWS][0], 0)}),
        True,
    ),
    "another field": (lambda it: it.source_is(limit=3), False),
    "another path": (lambda it: it.source_is(file_path="data/moved.jsonl"), True),
    "another path and field": (
        lambda it: it.source_is(file_path="data/moved.jsonl", limit=3),
        False,
    ),
    "another way to read it": (
        lambda it: it.source_is(file_path=None, locator="https://a.org/rows.jsonl"),
        False,
    ),
    "an older source stage": (lambda it: it.facts("data_source.rows", version=0), False),
    "an older dataset stage": (lambda it: it.facts("dataset", version=0), False),
    "another dataset spec": (lambda it: it.facts("dataset", spec={}), False),
    "a quarantined dataset": (
        lambda it: it.alter("dataset", status=Status.QUARANTINED),
        False,
    ),
    "other tag columns": (lambda it: it.values(tag_columns=["site"]), False),
    "rows that are not kept": (
        lambda it: it.alter("dataset", outputs={"prepared": Output(f"sha256:{0:064}", 1)}),
        False,
    ),
    "another template": (lambda it: it.base_is(template_digest="sha256:0"), False),
    "rows of another template": (
        lambda it: it.manifest(chat_template={"digest": "sha256:0"}),
        False,
    ),
    "another tokenizer": (
        lambda it: it.base_file("tokenizer.json"),
        False,
    ),
    "lengths that were estimated": (lambda it: it.manifest(lengths={}), True),
    "another weight file": (
        lambda it: it.base_file("model.safetensors"),
        True,
    ),
    "no account": (lambda it: it.values(manifest=None), False),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    bench = Bench.make(tmp_path_factory.mktemp("made") / "project")
    assert bench.apply().exit_code is ExitCode.DONE
    return bench


@pytest.mark.parametrize("change", _CHANGES)
def test_recorded_rows_are_trusted_only_while_all_that_makes_them_is_the_same(
    made: Bench, change: str
) -> None:
    recorded = Recorded(made)
    alter, is_recorded = _CHANGES[change]
    alter(recorded)
    assert recorded.is_recorded() is is_recorded


def test_a_base_model_and_sources_are_taken_from_their_own_record_only(made: Bench) -> None:
    recorded, model = Recorded(made), Address.parse("model")
    record, spec = recorded.records["model"], recorded.specs[model]
    found = recorded_base(record, spec, None)
    assert found is not None
    assert (found.digest, found.template_digest) == (
        record.outputs["base"].digest,
        record.values["template_digest"],
    )
    assert recorded_base(record, spec.model_copy(update={"base_model": "./base"}), None) is None
    assert recorded_base(None, spec, None) is None
    rows = recorded.records["data_source.rows"]
    assert recorded.contents[_ROWS] == (rows.facts["content"], rows.outputs["rows"].size_bytes)
    assert recorded_contents({}, recorded.records) == {}
    recorded.source_is(limit=3)
    assert recorded_contents(recorded.specs, recorded.records) is None
    recorded = Recorded(made)
    recorded.alter("data_source.rows", outputs={})
    assert recorded_contents(recorded.specs, recorded.records) is None
