"""An apply does exactly what its plan says, reuses what it may, and keeps what it must."""

import errno
import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from brewslm.apply.interruption import Stop
from brewslm.contracts import Operation
from brewslm.errors import ExitCode
from brewslm.events import ActionSkipEvent, ActionStartEvent, PromotionEvent
from brewslm.fingerprint import digest_folder
from brewslm.plan.action import Price
from brewslm.state.records import Status
from tests.apply.bench import Bench, row

EVERYTHING = [
    "train",
    "generate baseline",
    "generate candidate",
    "score",
    "formats.adapter",
    "formats.safetensors",
]


def _operations(bench: Bench) -> dict[str, Operation]:
    return {item.address: item.operation for item in bench.built().plan.actions if item.is_work}


def test_first_apply_does_everything_once_and_promotes(bench: Bench) -> None:
    outcome = bench.apply()
    assert outcome.exit_code is ExitCode.DONE
    assert bench.doors() == EVERYTHING
    assert bench.promoted() is not None
    records = bench.records()
    assert sorted(outcome.applied) == sorted(records)
    facts = bench.jobs[-1].options["card"]
    for kind in ("dataset", "training_plan"):
        assert facts[f"{kind}_values"] == records[kind].values
    assert facts["evaluation"]["gates"] == records["eval_pack"].values["gates"]
    assert (bench.home / "exports" / "adapter" / "model").exists()


@pytest.mark.case("PLN-15")
def test_second_apply_opens_no_door_and_writes_nothing_but_an_event(applied: Bench) -> None:
    before = applied.store().read()
    serial, records = before.meta().serial, before.resources()
    events = len(before.run_events())
    before.close()
    assert not applied.built().plan.has_changes
    outcome = applied.apply()
    after = applied.store().read()
    assert outcome.exit_code is ExitCode.DONE
    assert applied.jobs == []
    assert (after.meta().serial, after.resources()) == (serial, records)
    assert len(after.run_events()) == events + 1
    assert outcome.revision is None


def test_events_of_an_apply_name_the_actions_of_its_plan(bench: Bench) -> None:
    built = bench.built()
    bench.apply(built)
    begun = [event.address for event in bench.events if isinstance(event, ActionStartEvent)]
    assert begun == [item.address for item in built.plan.actions if item.is_work]


def test_changed_learning_rate_says_what_follows(applied: Bench) -> None:
    applied.edit("2.0e-3", "1.0e-3")
    plan = applied.built().plan
    training = next(item for item in plan.actions if item.address == "training_plan")
    cause = training.causes[0]
    assert (cause.path, cause.before, cause.after) == ("config.learning_rate", 0.002, 0.001)
    assert training.after_unknown["outputs"] == {"lora_adapter": True, "run": True}
    assert set(_operations(applied)) == {
        "training_plan",
        "eval_pack",
        "export.adapter",
        "export.safetensors",
        "deployment",
    }
    applied.skill = lambda index: index != 3
    assert applied.apply().exit_code is ExitCode.DONE
    assert applied.doors() == [door for door in EVERYTHING if door != "generate baseline"]


def test_candidate_that_answers_the_same_is_not_scored_again(applied: Bench) -> None:
    applied.edit("2.0e-3", "1.0e-3")
    assert applied.apply().exit_code is ExitCode.DONE
    assert applied.doors() == ["train", "generate candidate", *EVERYTHING[-2:]]


@pytest.mark.case("PLN-14")
def test_change_that_is_taken_back_is_reused_without_training(applied: Bench) -> None:
    first = applied.promoted()
    applied.edit("2.0e-3", "1.0e-3")
    applied.apply()
    assert applied.promoted() != first
    applied.edit("1.0e-3", "2.0e-3")
    plan = applied.built().plan
    reused = [item.address for item in plan.actions if item.reuse is not None]
    assert reused == ["training_plan", "eval_pack", "export.adapter", "export.safetensors"]
    outcome = applied.apply()
    assert applied.jobs == []
    assert applied.promoted() == first
    assert outcome.reused == reused
    assert plan.estimate == Price.free()
    with closing(applied.store().read()) as reader:
        told = [event.summary for event in reader.run_events(reason_code="action_reused")]
        (entry,) = reader.operations(kind="training_plan", limit=1)
        assert "wall_s" not in entry.actual, "nothing was measured"
    assert sorted(told) == sorted(reused)


@pytest.mark.case("EVA-07")
def test_changed_threshold_decides_again_without_a_model(applied: Bench) -> None:
    applied.edit("threshold: 0.8", "threshold: 0.9")
    plan = applied.built().plan
    eval_pack = next(item for item in plan.actions if item.address == "eval_pack")
    assert eval_pack.data is not None
    assert eval_pack.data["predicted"]["verdict"] == "PASS"
    outcome = applied.apply()
    assert applied.jobs == []
    assert outcome.applied == ["eval_pack", "deployment"]


def test_gates_decide_on_the_test_set_though_another_one_comes_first(bench: Bench) -> None:
    bench.write_rows("dev", range(200, 260))
    source = "    - {name: dev, type: gold_dev, file_path: data/dev.jsonl}\n"
    bench.edit("  dataset:", f"{source}  dataset:")
    bench.skill = lambda index: index < 30
    assert bench.apply().exit_code is ExitCode.DONE
    assert "scores.candidate.gold_dev" in bench.records()["eval_pack"].outputs
    bench.edit("threshold: 0.8", "threshold: 0.9")
    (eval_pack,) = [item for item in bench.built().plan.actions if item.target == "eval_pack"]
    assert eval_pack.data is not None
    assert eval_pack.data["predicted"] == {"verdict": "PASS", "right": "PASS"}


def test_changed_description_does_no_work(applied: Bench) -> None:
    applied.edit("sorts complaints", "sorts all complaints")
    assert _operations(applied) == {"project": Operation.UPDATE}
    assert applied.apply().applied == ["project"]
    assert applied.jobs == []


def test_threshold_beyond_reach_keeps_the_promoted_model_and_its_exports(applied: Bench) -> None:
    promoted = applied.promoted()
    files = [path.read_bytes() for path in sorted((applied.home / "exports").rglob("model"))]
    times = [path.stat().st_mtime_ns for path in sorted((applied.home / "exports").rglob("model"))]
    applied.skill = lambda index: index % 2 == 0
    applied.edit("2.0e-3", "1.0e-3")
    applied.edit("threshold: 0.8", "threshold: 0.99")
    outcome = applied.apply()
    assert outcome.exit_code is ExitCode.GATE_NOT_PASSED
    assert outcome.skipped == ["export.adapter", "export.safetensors", "deployment"]
    (told,) = [event for event in applied.events if isinstance(event, PromotionEvent)]
    kept = applied.deployments()[0].digest
    assert (told.decision, told.before, told.after) == ("kept", kept, kept)
    record = applied.records()["eval_pack"]
    assert record.status is Status.QUARANTINED
    assert record.values["verdict"] == "FAIL"
    assert applied.promoted() == promoted
    paths = sorted((applied.home / "exports").rglob("model"))
    assert [path.read_bytes() for path in paths] == files
    assert [path.stat().st_mtime_ns for path in paths] == times
    again = applied.apply()
    assert again.exit_code is ExitCode.GATE_NOT_PASSED
    assert applied.jobs == []


def test_candidate_that_passes_replaces_the_quarantined_one(applied: Bench) -> None:
    promoted = applied.promoted()
    applied.skill = lambda _index: False
    applied.edit("2.0e-3", "1.0e-3")
    assert applied.apply().exit_code is ExitCode.GATE_NOT_PASSED
    applied.skill = lambda _index: True
    applied.edit("1.0e-3", "5.0e-4")
    assert applied.apply().exit_code is ExitCode.DONE
    assert applied.promoted() not in (None, promoted)


def test_failed_training_keeps_what_succeeded_and_the_next_apply_goes_on(bench: Bench) -> None:
    bench.deaths = {0: "worker_killed"}
    outcome = bench.apply()
    assert outcome.exit_code is ExitCode.ERROR
    assert outcome.failed == ["training_plan"]
    assert "dataset" in outcome.applied
    assert set(outcome.skipped) == {
        "eval_pack",
        "export.adapter",
        "export.safetensors",
        "deployment",
    }
    bench.deaths = {}
    assert "dataset" not in _operations(bench)
    assert bench.apply().exit_code is ExitCode.DONE
    assert bench.promoted() is not None


@pytest.mark.case("CRA-14")
def test_failed_export_promotes_nothing(bench: Bench) -> None:
    bench.deaths = {4: "export_parity_failed"}
    outcome = bench.apply()
    assert outcome.exit_code is ExitCode.ERROR
    assert outcome.failed == ["export.adapter"]
    assert "export.safetensors" in outcome.applied
    assert outcome.skipped == ["deployment"]
    assert bench.promoted() is None
    told = [event for event in bench.events if isinstance(event, ActionSkipEvent)]
    assert [(event.address, event.because) for event in told] == [("deployment", "upstream_failed")]
    with closing(bench.store().read()) as reader:
        (skipped,) = reader.run_events(reason_code="action_skipped")
    assert skipped.summary == "deployment"
    bench.deaths = {}
    assert bench.apply().exit_code is ExitCode.DONE
    assert bench.doors() == ["formats.adapter"]


def test_first_failure_ends_a_run_that_is_to_fail_fast(bench: Bench) -> None:
    bench.deaths = {4: "export_parity_failed"}
    outcome = bench.apply(is_fail_fast=True)
    assert outcome.failed == ["export.adapter"]
    assert outcome.pending == ["export.safetensors", "deployment"]
    bench.deaths = {}
    assert bench.apply(is_fail_fast=True).exit_code is ExitCode.DONE
    assert bench.doors() == EVERYTHING[-2:]


def test_exports_are_laid_out_where_nothing_is_promoted(bench: Bench) -> None:
    bench.edit("  deployment: {target_profile_id: cpu_local}\n", "")
    assert bench.apply().exit_code is ExitCode.DONE
    for name in ("adapter", "safetensors"):
        files = bench.records()[f"export.{name}"].outputs["files"]
        assert digest_folder(bench.home / "exports" / name) == files.digest


def test_stop_before_an_action_leaves_it_pending(bench: Bench) -> None:
    stop = Stop()
    stop.request("SIGINT")
    outcome = bench.apply(stop=stop)
    assert outcome.exit_code is ExitCode.INTERRUPTED
    assert outcome.applied == []
    assert "training_plan" in outcome.pending
    with closing(bench.store().read()) as reader:
        assert "apply: nothing to do" not in [event.summary for event in reader.run_events()]


@pytest.mark.case("CRA-14")
def test_every_address_of_the_plan_ends_in_exactly_one_list(bench: Bench) -> None:
    bench.deaths = {1: "training_oom"}
    built = bench.built()
    outcome = bench.apply(built)
    lists = [
        outcome.applied,
        outcome.reused,
        outcome.failed,
        outcome.skipped,
        outcome.pending,
        outcome.unchanged,
    ]
    ended = sorted(address for addresses in lists for address in addresses)
    assert ended == sorted(item.address for item in built.plan.actions)


def test_row_that_changed_after_the_plan_fails_its_action(bench: Bench) -> None:
    built = bench.built()
    assert built.prepared_folder is not None
    (built.prepared_folder / "train.jsonl").write_text("{}\n")
    outcome = bench.apply(built)
    assert outcome.exit_code is ExitCode.ERROR
    assert outcome.errors[0].code == "input_changed"
    assert (outcome.failed, bench.jobs) == (["dataset"], [])
    assert outcome.skipped == [
        "training_plan",
        "eval_pack",
        "export.adapter",
        "export.safetensors",
        "deployment",
    ]


@pytest.mark.parametrize("name", ["adapter", "safetensors"])
def test_damaged_artifact_is_made_again(applied: Bench, name: str) -> None:
    digest = applied.records()[f"export.{name}"].outputs["files"].digest
    listing = json.loads((_object(applied, digest)).read_bytes())
    damaged = next(iter(listing.values()))["digest"]
    _object(applied, damaged).unlink()
    plan = applied.built().plan
    action = next(item for item in plan.actions if item.address == f"export.{name}")
    assert (action.operation, action.reason) == (Operation.UPDATE, "artifact_missing")
    assert [item.address for item in plan.drift] == [f"export.{name}"]
    assert applied.apply().exit_code is ExitCode.DONE
    assert applied.doors() == [f"formats.{name}"]
    assert not applied.built().plan.has_changes


def test_moved_pointer_is_put_back(applied: Bench) -> None:
    link = applied.home / "promoted" / "champion"
    target, records = link.readlink(), applied.records()
    link.unlink()
    applied.apply()
    assert (link.readlink(), applied.records()) == (target, records)


def test_full_disk_fails_an_action_and_is_not_nothing_to_do(
    applied: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    applied.edit("2.0e-3", "1.0e-3")
    monkeypatch.setattr("brewslm.apply.executor.carry_out", full)
    outcome = applied.apply()
    assert [error.code for error in outcome.errors] == ["disk_full"]
    assert (outcome.failed, outcome.revision) == (["training_plan"], None)
    with closing(applied.store().read()) as reader:
        assert "apply: nothing to do" not in [event.summary for event in reader.run_events()]


@pytest.mark.case("PLN-11")
def test_removed_export_is_deleted_and_its_bytes_stay(applied: Bench) -> None:
    applied.edit("[adapter, safetensors]", "[adapter]")
    assert _operations(applied)["export.safetensors"] is Operation.DELETE
    assert applied.apply().exit_code is ExitCode.DONE
    assert "export.safetensors" not in applied.records()
    assert applied.jobs == []


def test_leaked_gold_row_is_named_before_anything_runs(applied: Bench) -> None:
    rows = [row(number) for number in range(60, 77)]
    lines = [json.dumps(item) for item in rows]
    lines += ["{broken", json.dumps({"text": "   ", "label": "late"}), json.dumps(row(105))]
    path = applied.root / "data" / "rows.jsonl"
    path.write_text(path.read_text() + "\n".join(lines) + "\n")
    built = applied.built()
    codes = {item.code for item in built.plan.finding_values}
    assert "LEAK_FOUND" in codes
    assert not built.plan.is_applyable
    leak = next(item for item in built.plan.finding_values if item.code == "LEAK_FOUND")
    assert leak.place.line == 80
    rejected = {item.code: item.place.line for item in built.plan.finding_values}
    assert rejected["parse_error"] == 78
    assert rejected["missing_text"] == 79


def _object(bench: Bench, digest: str) -> Path:
    name = digest.removeprefix("sha256:")
    return next((bench.home / "store" / "objects").rglob(f"*{name[2:]}"))


@pytest.mark.case("ART-10")
def test_champion_that_cannot_be_laid_out_costs_no_other_work(applied: Bench) -> None:
    promoted = applied.records()["deployment"].outputs["promoted"]
    (item,) = applied.artifacts().listing(promoted.digest).values()
    name = item.digest.removeprefix("sha256:")
    stored = applied.home / "store" / "objects" / name[:2] / name[2:]
    stored.chmod(0o600)
    stored.write_bytes(b"x" * item.size_bytes)
    shutil.rmtree(applied.home / "models")
    applied.edit("description: sorts complaints", "description: sorts all complaints")
    outcome = applied.apply()
    assert outcome.exit_code is ExitCode.ERROR
    assert "artifact_corrupt" in [error.code for error in outcome.errors]
    assert outcome.applied == ["project"]
    assert outcome.revision == 2
    assert applied.apply().exit_code is ExitCode.DONE, "training yields the same bytes again"
    assert applied.promoted() is not None
    assert not applied.built().plan.has_changes


@pytest.mark.parametrize("what", ["export", "champion"])
def test_what_is_put_back_keeps_its_record_and_is_told_once(applied: Bench, what: str) -> None:
    applied.edit("sorts complaints", "sorts them")
    applied.apply()
    records, link = applied.records(), applied.home / "promoted" / "champion"
    path = applied.home / "exports" / "adapter" / "model" if what == "export" else link / "content"
    kept = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(b"edited by hand")
    repairs = [item.address for item in applied.built().plan.actions if item.is_repair]
    assert repairs == ["export.adapter" if what == "export" else "deployment"]
    outcome = applied.apply()
    assert (outcome.exit_code, outcome.reused, applied.jobs) == (ExitCode.DONE, repairs, [])
    assert path.read_bytes() == kept
    assert applied.records() == records
    code = "action_reused" if what == "export" else "deployment_pointer_repaired"
    with closing(applied.store().read()) as reader:
        assert [event.reason_code for event in reader.run_events()].count(code) == 1


def test_card_of_an_export_that_is_added_holds_what_was_recorded_before(bench: Bench) -> None:
    bench.edit("[adapter, safetensors]", "[adapter]")
    bench.apply()
    bench.edit("[adapter]", "[adapter, safetensors]")
    assert bench.apply().exit_code is ExitCode.DONE
    assert bench.doors() == ["formats.safetensors"]
    facts, records = bench.jobs[-1].options["card"], bench.records()
    for kind in ("dataset", "training_plan"):
        assert facts[f"{kind}_values"] == records[kind].values != {}
    assert facts["evaluation"]["gates"] == records["eval_pack"].values["gates"]


def test_work_that_was_interrupted_did_not_fail_and_all_that_needs_it_waits(bench: Bench) -> None:
    bench.deaths = {0: "interrupted"}
    outcome = bench.apply()
    assert (outcome.failed, outcome.errors) == ([], [])
    assert outcome.pending == [
        "training_plan",
        "eval_pack",
        "export.adapter",
        "export.safetensors",
        "deployment",
    ]
    bench.deaths = {}
    assert bench.apply().exit_code is ExitCode.DONE
