"""destroy, state rm and state mv on the command line."""

import json

import pytest

from tests.apply.bench import Bench
from tests.cli.conftest import Doubles, Run


def test_destroy_forgets_everything_and_keeps_bytes(applied: Bench, run: Run) -> None:
    objects = sorted((applied.home / "store" / "objects").glob("*/*"))
    run("destroy").says(1, "approval_missing", "brewslm destroy --auto-approve")
    assert applied.records()
    done = run("destroy", "--auto-approve")
    assert done.code == 0
    assert "  # training_plan will be deleted" in done.out
    assert "destroy_requested" in done.out
    assert "Gates" not in done.out, "nothing was decided"
    (event,) = (
        event
        for event in map(json.loads, run("events", "--json", "--limit", "12").out.splitlines())
        if event["payload"].get("address") == "deployment"
    )
    assert (event["payload"]["operation"], list(event["payload"]["outputs"])) == (
        "delete",
        ["promoted"],
    )
    assert "Plan: 0 to create, 0 to update, 11 to delete, 0 unchanged." in done.out
    assert applied.records() == {}
    assert applied.promoted() is None
    assert sorted((applied.home / "store" / "objects").glob("*/*")) == objects
    assert (applied.root / "data" / "rows.jsonl").exists()
    assert run("destroy").out == "Nothing was done: nothing is recorded.\n"
    assert applied.apply().exit_code == 0
    assert applied.jobs == [], "what is kept is reused"


def test_destroy_works_while_the_manifest_is_broken(applied: Bench, run: Run) -> None:
    (applied.root / "brewslm.yaml").write_text("{")
    assert run("destroy", "--auto-approve").code == 0
    assert applied.records() == {}


@pytest.mark.case("PLN-12")
def test_recorded_protection_refuses_destroy_and_state_rm(applied: Bench, run: Run) -> None:
    applied.edit("  model:", "  workflow: {protect: true}\n  model:")
    applied.apply()
    applied.edit("protect: true", "protect: false")
    run("destroy", "--auto-approve").says(6, "PROTECTED", "protect: false by itself")
    run("state", "rm", "export.adapter").says(6, "PROTECTED")
    assert "export.adapter" in applied.records()


def test_state_rm_forgets_one_and_apply_takes_it_back(applied: Bench, run: Run) -> None:
    assert run("state", "rm", "export.adapter", "--dry-run").out == "Would forget export.adapter.\n"
    assert "export.adapter" in applied.records()
    assert run("state", "rm", "export.adapter").code == 0
    assert "export.adapter" not in applied.records()
    run("state", "rm", "export.adaptr").says(1, "unknown_address")
    applied.apply()
    assert applied.jobs == []
    assert "export.adapter" in applied.records()
    assert "state rm export.adapter" in run("events").out


def test_state_rm_of_the_deployment_removes_the_pointer(applied: Bench, run: Run) -> None:
    assert run("state", "rm", "deployment").code == 0
    assert applied.promoted() is None


@pytest.mark.case("PLN-11")
def test_state_mv_and_the_manifest_edit_make_no_change(applied: Bench, run: Run) -> None:
    dry = run("state", "mv", "data_source.rows", "data_source.parcels", "--dry-run")
    assert dry.out == "Would rename data_source.rows to data_source.parcels; following: dataset.\n"
    assert run("state", "mv", "data_source.rows", "data_source.parcels").code == 0
    applied.edit("name: rows,", "name: parcels,")
    assert run("plan", "--detailed-exitcode").code == 0
    assert "formerly     data_source.rows" in run("show", "data_source.parcels").out


def _without_deployment(bench: Bench) -> None:
    path = bench.root / "brewslm.yaml"
    text = path.read_text()
    path.write_text(text[: text.index("  deployment:")])


@pytest.mark.case("DEP-11")
def test_deployment_that_left_a_protected_manifest_stays(
    applied: Bench, run: Run, doubles: Doubles
) -> None:
    applied.edit("  model:", "  workflow: {protect: true}\n  model:")
    applied.apply()
    records, promoted = applied.records(), applied.promoted()
    _without_deployment(applied)
    for words in ("plan", "apply --auto-approve", "apply --auto-approve --max-deletes 9"):
        answer = run(*words.split())
        assert answer.code == 6
        assert "error[PROTECTED]" in answer.out + answer.err
    assert (applied.records(), applied.promoted(), doubles.started) == (records, promoted, [])


@pytest.mark.case("DEP-11")
def test_deployment_that_left_the_manifest_goes_with_a_written_budget(
    applied: Bench, run: Run, doubles: Doubles
) -> None:
    records, promoted = applied.records(), applied.promoted()
    kept = sorted((applied.home / "store" / "objects").glob("*/*"))
    _without_deployment(applied)
    for budget in ("", " --max-deletes 3"):
        answer = run(*f"apply --auto-approve{budget}".split())
        assert answer.code == 6
        assert "error[DELETE_BUDGET_EXCEEDED]" in answer.out + answer.err
        assert (applied.records(), applied.promoted()) == (records, promoted)
    assert run("apply", "--auto-approve", "--max-deletes", "4").code == 0
    assert applied.records().keys() == records.keys() - {"deployment"}
    assert (applied.promoted(), doubles.doors) == (None, [])
    assert sorted((applied.home / "store" / "objects").glob("*/*")) == kept
    assert (applied.home / "models" / str(promoted)).is_dir()


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("data_source.row", "data_source.x", "unknown_address"),
        ("data_source.rows", "data_source.gold", "recorded already"),
        ("data_source.rows", "adapter.x", "usage_error"),
        ("training_plan", "eval_pack", "usage_error"),
        ("data_source.rows", "data source", "is no address"),
    ],
)
def test_state_mv_that_means_nothing(old: str, new: str, code: str, run: Run) -> None:
    run("state", "mv", old, new).says(1, code)
