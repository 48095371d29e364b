"""Work whose inputs come out as they were is left out, and only that."""

from pathlib import Path

from brewslm.apply.outcome import Outcome
from brewslm.errors import ExitCode
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
