"""rollback and gc on the command line."""

import pytest

from tests.apply.bench import Bench
from tests.cli.conftest import Run


@pytest.fixture
def twice(applied: Bench) -> Bench:
    """Return a project that promoted two candidates."""
    applied.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    assert applied.apply().exit_code == 0
    return applied


def test_rollback_shows_asks_and_moves(twice: Bench, run: Run) -> None:
    before = twice.promoted()
    dry = run("rollback", "--dry-run")
    assert (dry.code, twice.promoted()) == (0, before)
    assert "why       replace_requested: rollback to revision 1" in dry.out
    run("rollback").says(1, "approval_missing", "brewslm rollback --auto-approve")
    done = run("rollback", "1", "--auto-approve")
    assert done.code == 0
    assert "champion is what revision 1 promoted. Revision 3." in done.out
    assert twice.promoted() != before
    plan = run("plan", "--detailed-exitcode")
    assert plan.code == 0
    assert "A rollback holds the deployment." in plan.out
    assert run("rollback", "1", "--auto-approve").out.startswith("Nothing was done")
    assert "The hold is over" in run("rollback", "--release").out
    assert run("plan", "--detailed-exitcode").code == 2


@pytest.mark.usefixtures("applied")
def test_rollback_without_a_predecessor_is_refused(run: Run) -> None:
    run("rollback", "--auto-approve").says(1, "deployment_rollback_no_predecessor")
    run("rollback", "9", "--auto-approve").says(1, "unknown_revision")
    run("rollback", "1", "--release").says(1, "--release stands alone")


@pytest.mark.usefixtures("bench")
def test_rollback_of_a_fresh_project(run: Run) -> None:
    run("rollback").says(1, "deployment_rollback_no_predecessor")
    assert run("rollback", "--release").out.startswith("Nothing was done")


def test_gc_shows_by_default_and_deletes_when_asked(applied: Bench, run: Run) -> None:
    loose = applied.home / "store" / "objects" / "ab" / ("c" * 62)
    loose.parent.mkdir(exist_ok=True)
    loose.write_bytes(b"loose")
    assert "younger than the grace" in run("gc").out
    for words in (["gc"], ["gc", "--dry-run"]):
        shown = run(*words, "--grace", "0s")
        assert shown.out.startswith("Could go: 1 object of 5 bytes and 0 laid-out models.\n")
    assert loose.exists()
    document = run("gc", "--grace", "0s", "--delete", "--json").document
    assert (document["is_deleted"], document["size_bytes"]) == (True, 5)
    assert not loose.exists()
    assert run("events", "--code", "gc_finished").out.count("gc_finished") == 1
    assert run("plan", "--refresh", "full", "--detailed-exitcode").code == 0
    run("gc", "--delete", "--dry-run").says(1, "contradict")


@pytest.mark.usefixtures("bench")
def test_gc_of_a_fresh_project(run: Run) -> None:
    assert run("gc", "--delete").out.startswith("Deleted 0 objects of 0 bytes")
