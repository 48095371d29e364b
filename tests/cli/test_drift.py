"""Drift on the command line: text, Markdown, exit codes."""

import shutil

from brewslm.plan.base_model import BUILTIN
from brewslm.render.text import NO_DRIFT
from tests.apply.bench import Bench
from tests.cli.conftest import Run


def _edit(bench: Bench) -> None:
    (bench.home / "exports" / "adapter" / "notes.txt").write_text("mine")


def test_drift_check_of_a_project_in_order(applied: Bench, run: Run) -> None:
    answer = run("plan", "--refresh-only", "--detailed-exitcode")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.endswith(f"{NO_DRIFT}\n")
    applied.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    assert run("plan", "--refresh-only", "--detailed-exitcode").code == 0, "a change is no drift"


def test_drift_check_says_what_apply_would_do(applied: Bench, run: Run) -> None:
    _edit(applied)
    answer = run("plan", "--refresh-only", "--detailed-exitcode")
    assert answer.code == 2
    assert (
        "  ! export.adapter exports/adapter: changed (added: notes.txt); "
        "apply sets the found files aside and lays it out again"
    ) in answer.out
    assert answer.out.endswith("1 drifted; brewslm apply would repair 1 of them.\n")


def test_drift_alone_is_told_as_such_and_mended(applied: Bench, run: Run) -> None:
    _edit(applied)
    answer = run("plan", "--markdown", "plan.md", "--detailed-exitcode")
    assert answer.code == 2
    assert "No changes wanted, 1 drifted. apply would repair them." in answer.out
    assert "why       drift_repair: exports/adapter" in answer.out
    assert "### Drift" in (applied.root / "plan.md").read_text()
    done = run("apply", "--auto-approve")
    assert done.code == 0
    assert done.out.endswith("What drifted is as recorded again.\n")
    assert run("plan", "--detailed-exitcode").code == 0


def test_changed_base_counts_as_pending_though_apply_leaves_it_alone(
    bench: Bench, run: Run
) -> None:
    shutil.copytree(BUILTIN / "nano", bench.root / "base")
    bench.edit("builtin:nano", "./base")
    assert bench.apply().exit_code == 0
    assert run("plan", "--detailed-exitcode").code == 0
    config = bench.root / "base" / "config.json"
    config.write_text(config.read_text() + "\n")
    answer = run("plan", "--detailed-exitcode", "--markdown", "plan.md")
    assert (answer.code, "1 drifted" in answer.out) == (2, True)
    assert (bench.root / "plan.md").read_text().splitlines()[1].startswith("**Drifted")
    assert run("plan").code == 0
    assert run("apply", "--refresh-only", "--auto-approve").code == 0


def test_saved_drift_check_does_what_it_says(applied: Bench, run: Run) -> None:
    (applied.home / "promoted" / "champion").unlink()
    run("plan", "--refresh-only", "--out", "check.plan.json")
    done = run("apply", "check.plan.json")
    assert done.code == 0
    assert not (applied.home / "promoted" / "champion").exists()
    assert run("apply", "--refresh-only", "--auto-approve").code == 0


def test_the_stream_names_drift(applied: Bench, run: Run) -> None:
    _edit(applied)
    lines = run("apply", "--auto-approve", "--json").out.splitlines()
    assert [line for line in lines if '"type":"drift"' in line.replace(" ", "")]
