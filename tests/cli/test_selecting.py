"""--target, --exclude and --replace on the command line and in saved plans."""

from tests.apply.bench import Bench
from tests.cli.conftest import Run

WORDS = "This is a part of the project: 4 resources with pending changes are left out"


def _edit(bench: Bench) -> None:
    bench.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")


def test_partial_plan_says_what_it_leaves_out(applied: Bench, run: Run) -> None:
    _edit(applied)
    answer = run("plan", "--target", "training_plan")
    assert answer.code == 0
    assert WORDS in answer.out
    assert "Plan: 0 to create, 1 to update, 0 to delete, 10 unchanged." in answer.out
    excluded = run("plan", "--exclude", "training_plan", "--detailed-exitcode")
    assert excluded.code == 0
    assert "No changes in what was selected." in excluded.out


def test_unknown_address_gets_a_close_match(applied: Bench, run: Run) -> None:
    _edit(applied)
    run("plan", "--target", "training").says(1, "unknown_address", "training_plan")
    run("apply", "--replace", "modell").says(1, "unknown_address", "model")


def test_saved_plan_keeps_its_selection(applied: Bench, run: Run) -> None:
    _edit(applied)
    run("plan", "--exclude", "dataset", "--replace", "model", "--out", "a.plan.json")
    document = run("show", "a.plan.json", "--json").document
    assert document["excludes"] == ["dataset"]
    assert document["options"]["replace"] == ["model"]
    assert document["is_complete"] is False
    run("apply", "a.plan.json", "--target", "model").says(1, "usage_error", "the file alone")
    done = run("apply", "a.plan.json")
    assert done.code == 0
    assert "5 resources with pending changes are left out" in done.out
    assert applied.records()["training_plan"].revision == 1


def test_edited_selection_of_a_saved_plan_is_refused(applied: Bench, run: Run) -> None:
    _edit(applied)
    path = applied.root / "a.plan.json"
    run("plan", "--target", "model", "--out", "a.plan.json")
    path.write_text(path.read_text().replace('"targets":["model"]', '"targets":["dataset"]'))
    run("apply", "a.plan.json").says(4, "plan_digest_mismatch")
