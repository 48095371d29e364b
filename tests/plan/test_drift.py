"""Drift: what is really there beside what was recorded, and what apply does about each."""

import json
import os
import shutil
from pathlib import Path

import pytest

from brewslm.diagnostics import FindingCode
from brewslm.errors import ExitCode
from brewslm.events import ActionStartEvent
from brewslm.plan.action import Drift
from brewslm.plan.base_model import BUILTIN
from brewslm.plan.digest_cache import DigestCache
from tests.apply.bench import Bench


@pytest.fixture
def own_base(tmp_path: Path) -> Bench:
    """Return a project with a base model in its own folder, applied."""
    bench = Bench.make(tmp_path / "own")
    shutil.copytree(BUILTIN / "nano", bench.root / "base")
    bench.edit("builtin:nano", "./base")
    assert bench.apply().exit_code is ExitCode.DONE
    return bench


def _told(bench: Bench, **wanted: object) -> list[tuple[str, str, str]]:
    return [(item.address, item.kind, item.path) for item in bench.built(**wanted).plan.drift]


def _work(bench: Bench) -> dict[str, str]:
    return {item.address: item.reason for item in bench.built().plan.actions if item.is_work}


def _exported(bench: Bench) -> Path:
    return bench.home / "exports" / "adapter" / "model"


def _promoted_folder(bench: Bench) -> Path:
    return (bench.home / "promoted" / "champion").resolve()


def _objects(bench: Bench, digest: str) -> Path:
    name = digest.removeprefix("sha256:")
    return bench.home / "store" / "objects" / name[:2] / name[2:]


def _serial(bench: Bench) -> int:
    reader = bench.store().read()
    try:
        return reader.meta().serial
    finally:
        reader.close()


def test_project_in_order_has_no_drift_and_reads_laid_out_files_once(applied: Bench) -> None:
    digests = DigestCache(2**62)
    assert applied.built(digests=digests).plan.drift == ()
    read = digests.hashed
    assert applied.built(digests=digests).plan.drift == ()
    assert digests.hashed == read


def _edit(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


def _add(path: Path) -> None:
    (path.parent / "notes.txt").write_text("mine")


def _remove(path: Path) -> None:
    shutil.rmtree(path.parent)


@pytest.mark.parametrize(
    ("change", "kind", "found"),
    [
        (_edit, "changed", "differs: model"),
        (_add, "changed", "added: notes.txt"),
        (_remove, "missing", None),
    ],
)
def test_export_folder_edited_by_hand_is_laid_out_again(
    applied: Bench, change: object, kind: str, found: str | None
) -> None:
    path = _exported(applied)
    before, records, serial = path.read_bytes(), applied.records(), _serial(applied)
    assert callable(change)
    change(path)
    drift = applied.built().plan.drift
    assert [(item.kind, item.path, item.after) for item in drift] == [
        (kind, "exports/adapter", found)
    ]
    assert _work(applied) == {"export.adapter": "drift_repair"}
    outcome = applied.apply()
    assert (outcome.exit_code, outcome.reused) == (ExitCode.DONE, ["export.adapter"])
    assert applied.jobs == []
    assert path.read_bytes() == before
    assert not (path.parent / "notes.txt").exists()
    aside = [item for item in path.parent.parent.iterdir() if item.name.endswith(".found")]
    assert len(aside) == (kind == "changed"), "an edit is set aside, never thrown away"
    assert (applied.records(), _serial(applied)) == (records, serial)
    assert not applied.built().plan.has_changes


def test_edited_export_is_set_aside_when_another_candidate_takes_its_place(
    applied: Bench,
) -> None:
    _add(_exported(applied))
    applied.edit("2.0e-3", "1.0e-3")
    assert ("export.adapter", "changed", "exports/adapter") in _told(applied)
    assert applied.apply().exit_code is ExitCode.DONE
    aside = list((applied.home / "exports").glob(".adapter.*.found/notes.txt"))
    assert [path.read_text() for path in aside] == ["mine"]
    assert applied.built().plan.drift == ()


@pytest.mark.case("DEP-07")
@pytest.mark.parametrize("target", [None, "../models/0123456789abcdef"])
def test_pointer_moved_outside_is_put_back(applied: Bench, target: str | None) -> None:
    link, serial, promoted = (
        applied.home / "promoted" / "champion",
        _serial(applied),
        applied.promoted(),
    )
    link.unlink()
    if target is not None:
        link.symlink_to(target)
    (drift,) = applied.built().plan.drift
    assert (drift.kind, drift.before, drift.after) == (
        "pointer_moved",
        f"../models/{promoted}",
        target,
    )
    assert drift.repair == "apply puts the pointer back"
    assert _work(applied) == {"deployment": "drift_repair"}
    assert applied.apply().exit_code is ExitCode.DONE
    assert (applied.promoted(), _serial(applied)) == (promoted, serial)
    reader = applied.store().read()
    codes = [event.reason_code for event in reader.run_events(limit=3)]
    promotions = len(reader.deployments())
    reader.close()
    assert codes.count("deployment_pointer_repaired") == 1
    assert promotions == 1, "putting a pointer back is no promotion"
    assert not applied.built().plan.has_changes


@pytest.mark.case("DEP-07")
@pytest.mark.parametrize("is_folder", [True, False])
def test_what_stands_in_the_place_of_the_pointer_is_set_aside(
    applied: Bench, is_folder: bool
) -> None:
    link, promoted = applied.home / "promoted" / "champion", applied.promoted()
    link.unlink()
    if is_folder:
        link.mkdir()
        (link / "notes.txt").write_text("mine")
    else:
        link.write_text("mine")
    (drift,) = applied.built().plan.drift
    assert drift.kind == "pointer_moved"
    assert applied.apply().exit_code is ExitCode.DONE
    assert applied.promoted() == promoted
    kept = [path for path in link.parent.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path.read_text() for path in kept if path.parent.name != promoted] == ["mine"]
    assert applied.built().plan.drift == ()


def test_edited_promoted_model_is_laid_out_again(applied: Bench) -> None:
    content = _promoted_folder(applied) / "content"
    before = content.read_text()
    content.chmod(0o600)
    content.write_text("other weights")
    assert _work(applied) == {"deployment": "drift_repair"}
    assert applied.apply().exit_code is ExitCode.DONE
    assert (_promoted_folder(applied) / "content").read_text() == before
    assert applied.built().plan.drift == ()


def test_drift_is_mended_while_a_candidate_is_held_back(applied: Bench) -> None:
    promoted = applied.promoted()
    applied.edit("2.0e-3", "1.0e-3")
    applied.skill = lambda index: index % 3 == 0
    assert applied.apply().exit_code is ExitCode.GATE_NOT_PASSED
    _add(_exported(applied))
    (applied.home / "promoted" / "champion").unlink()
    assert _work(applied) == {"export.adapter": "drift_repair", "deployment": "drift_repair"}
    assert applied.apply().exit_code is ExitCode.GATE_NOT_PASSED
    assert applied.jobs == []
    assert applied.promoted() == promoted
    assert applied.built().plan.drift == ()


def test_missing_and_shortened_artifacts_are_told_apart_without_reading_all(
    applied: Bench,
) -> None:
    outputs = applied.records()["eval_pack"].outputs
    _objects(applied, outputs["decision"].digest).unlink()
    damaged = _objects(applied, outputs["metrics"].digest)
    damaged.chmod(0o600)
    damaged.write_bytes(b"{}")
    assert _told(applied) == [
        ("eval_pack", "missing", "decision"),
        ("eval_pack", "changed", "metrics"),
    ]
    assert _work(applied)["eval_pack"] == "artifact_corrupt"
    assert all(item.repair == "apply makes it again" for item in applied.built().plan.drift)
    assert applied.apply().exit_code is ExitCode.DONE
    assert applied.doors() == ["score"]
    assert len(list((applied.home / "store" / "aside").iterdir())) == 1
    assert applied.built().plan.drift == ()


def test_damaged_file_of_a_kept_folder_is_made_again(applied: Bench) -> None:
    adapter = applied.records()["training_plan"].outputs["lora_adapter"]
    items = applied.artifacts().listing(adapter.digest)
    path = _objects(applied, next(iter(items.values())).digest)
    whole = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(whole[:-1])
    assert _told(applied) == [
        ("deployment", "changed", "promoted"),
        ("training_plan", "changed", "lora_adapter"),
    ]
    assert _work(applied)["training_plan"] == "artifact_corrupt"
    assert applied.apply().exit_code is ExitCode.DONE
    assert path.read_bytes() == whole
    aside = (applied.home / "store" / "aside").iterdir()
    assert [item.read_bytes() for item in aside] == [whole[:-1]]
    assert applied.built().plan.drift == ()


def test_kept_metrics_of_other_bytes_decide_nothing(applied: Bench) -> None:
    metrics = _objects(applied, applied.records()["eval_pack"].outputs["metrics"].digest)
    metrics.chmod(0o600)
    metrics.write_bytes(metrics.read_bytes().replace(b"1.0", b"9.9"))
    plan = applied.built().plan
    (action,) = (item for item in plan.actions if item.address == "eval_pack")
    assert (plan.is_applyable, "predicted" in (action.data or {})) == (True, False)


def test_data_changed_on_disk_is_a_change_and_no_drift(applied: Bench) -> None:
    applied.write_rows("rows", range(61))
    plan = applied.built().plan
    source = next(item for item in plan.actions if item.address == "data_source.rows")
    assert (source.reason, plan.drift) == ("content_changed", ())


def test_other_base_files_are_drift_that_apply_leaves_alone(own_base: Bench) -> None:
    _touch_base(own_base)
    plan = own_base.built().plan
    (drift,) = plan.drift
    recorded = own_base.records()["model"].outputs["base"].digest
    assert (drift.address, drift.kind, drift.before) == ("model", "changed", recorded)
    assert "apply --refresh-only" in drift.remedy
    assert not plan.has_changes
    assert plan.is_applyable
    assert own_base.apply().exit_code is ExitCode.DONE
    assert own_base.jobs == []


def test_work_that_loads_other_base_files_is_refused(own_base: Bench) -> None:
    _touch_base(own_base)
    own_base.edit("2.0e-3", "1.0e-3")
    plan = own_base.built().plan
    codes = [item.code for item in plan.finding_values if item.severity == "error"]
    assert codes == [FindingCode.BASE_MISMATCH]
    own_base.edit("1.0e-3", "2.0e-3")
    own_base.edit("threshold: 0.8", "threshold: 0.7")
    own_base.edit(
        "  eval_pack:", "  workflow: {gate_policy: {allow_weakening: true}}\n  eval_pack:"
    )
    assert FindingCode.BASE_MISMATCH not in [
        item.code for item in own_base.built().plan.finding_values
    ], "deciding again loads no model"


def test_refresh_only_takes_the_base_files_into_the_record_and_does_no_other_work(
    own_base: Bench,
) -> None:
    _touch_base(own_base)
    own_base.edit("2.0e-3", "1.0e-3")
    built = own_base.built(is_refresh_only=True)
    assert built.plan.mode == "refresh_only"
    assert [item.address for item in built.plan.actions if item.is_work] == ["model"]
    before = own_base.records()
    assert own_base.apply(built).exit_code is ExitCode.DONE
    begun = [item.address for item in own_base.events if isinstance(item, ActionStartEvent)]
    after = own_base.records()
    assert begun == ["model"]
    assert after.pop("model") != before.pop("model")
    assert after == before
    plan = own_base.built().plan
    assert plan.drift == ()
    training = next(item for item in plan.actions if item.address == "training_plan")
    assert "model:base" in [cause.path for cause in training.causes]


def test_refresh_only_leaves_a_moved_pointer_where_it_is(applied: Bench) -> None:
    link = applied.home / "promoted" / "champion"
    link.unlink()
    built = applied.built(is_refresh_only=True)
    (drift,) = built.plan.drift
    assert drift.repair == "apply puts the pointer back"
    assert not built.plan.has_changes
    assert built.plan.is_pending
    applied.apply(built)
    assert not link.is_symlink()


def test_links_and_folders_in_the_place_of_files_are_changes(applied: Bench) -> None:
    folder = _promoted_folder(applied)
    (folder / "content").unlink()
    (folder / "content").mkdir()
    loop = applied.home / "exports" / "adapter" / "model"
    loop.chmod(0o600)
    loop.unlink()
    loop.symlink_to("model")
    assert {kind for _, kind, _ in _told(applied)} == {"changed"}


def test_none_looks_at_nothing_that_was_laid_out(applied: Bench) -> None:
    _add(_exported(applied))
    assert applied.built(refresh="none").plan.drift == ()


@pytest.mark.case("TIM-03")
def test_edit_of_a_laid_out_file_shows_although_its_times_were_set_back(applied: Bench) -> None:
    digests = DigestCache(2**62)
    applied.built(digests=digests)
    path = _exported(applied)
    found = path.stat()
    _edit(path)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert _told(applied, digests=digests) == [("export.adapter", "changed", "exports/adapter")]


def test_drift_is_plain_json(applied: Bench) -> None:
    _add(_exported(applied))
    document = json.loads(applied.built().plan.to_bytes())
    (drift,) = document["drift"]
    assert Drift.model_validate(drift).path == "exports/adapter"


def _touch_base(bench: Bench) -> None:
    path = bench.root / "base" / "generation_config.json"
    document = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(document | {"top_k": 17}))
