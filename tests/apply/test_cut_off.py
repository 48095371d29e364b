"""Work whose inputs come out as they were is left out, and only that."""

import os
from pathlib import Path

from brewslm.apply.outcome import Outcome
from brewslm.errors import ExitCode
from brewslm.fingerprint import digest_folder
from brewslm.plan.selection import Selection
from tests.apply.bench import Bench

FOLLOWING = ["eval_pack", "export.adapter", "export.safetensors", "deployment"]


def _again(bench: Bench, *more: str) -> Outcome:
    """Train again, which yields the same."""
    return bench.apply(bench.built(selection=Selection(replaces=("training_plan", *more))))


def _object(bench: Bench, digest: str) -> Path:
    name = digest.removeprefix("sha256:")
    return bench.home / "store" / "objects" / name[:2] / name[2:]


def test_same_training_is_followed_by_nothing(applied: Bench) -> None:
    outcome = _again(applied)
    assert (outcome.applied, outcome.skipped) == (["training_plan"], FOLLOWING)
    assert applied.doors() == ["train"]


def test_same_candidate_that_did_not_pass_stays_blocked(applied: Bench) -> None:
    applied.skill = lambda _index: False
    applied.edit("2.0e-3", "1.0e-3")
    assert applied.apply().exit_code is ExitCode.GATE_NOT_PASSED
    outcome = _again(applied)
    assert outcome.exit_code is ExitCode.GATE_NOT_PASSED
    assert (outcome.applied, outcome.skipped) == (["training_plan"], FOLLOWING)
    assert applied.doors() == ["train"]


def test_work_that_differs_otherwise_is_done_after_the_same_training(applied: Bench) -> None:
    files = applied.records()["export.adapter"].outputs["files"]
    _object(applied, files.digest).unlink()
    applied.edit("{gate_id: right,", "{gate_id: right, source: audit,")
    outcome = _again(applied, "export.safetensors")
    assert outcome.exit_code is ExitCode.DONE
    assert applied.doors() == ["train", "formats.adapter", "formats.safetensors"]
    assert outcome.skipped == ["deployment"]
    (gate,) = applied.records()["eval_pack"].spec["gates"]
    assert gate["source"] == "audit"
    assert not applied.built().plan.has_changes


def test_same_training_is_followed_by_the_repairs_that_the_plan_names(applied: Bench) -> None:
    model = (applied.home / "promoted" / "champion").resolve()
    export = applied.home / "exports" / "adapter"
    digests = digest_folder(model), digest_folder(export)
    (model / "content").write_text("edited")
    (export / "notes.txt").write_text("mine")
    outcome = _again(applied)
    assert outcome.exit_code is ExitCode.DONE
    assert outcome.reused == ["export.adapter", "deployment"]
    assert outcome.skipped == ["eval_pack", "export.safetensors"]
    assert applied.doors() == ["train"]
    assert (digest_folder(model), digest_folder(export)) == digests
    plan = applied.built(refresh="full").plan
    assert not plan.drift
    assert not plan.has_changes


def test_damaged_bytes_are_made_again_after_the_same_training(applied: Bench) -> None:
    """Size and times are as they were, so that only a full refresh sees the damage."""
    files = applied.artifacts().listing(applied.records()["export.adapter"].outputs["files"].digest)
    for item in files.values():
        path = _object(applied, item.digest)
        data, times = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
        path.chmod(0o600)
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        os.utime(path, ns=times)
    selection = Selection(replaces=("training_plan",))
    outcome = applied.apply(applied.built(refresh="full", selection=selection))
    assert outcome.exit_code is ExitCode.DONE
    assert applied.doors() == ["train", "formats.adapter"]
    assert not applied.built(refresh="full").plan.has_changes
