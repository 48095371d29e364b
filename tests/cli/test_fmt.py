"""`brewslm fmt`: check, show, write."""

import pytest

from tests.apply.bench import Bench
from tests.cli.conftest import Run


@pytest.mark.case("YAM-16")
def test_it_writes_once_and_finds_nothing_to_do_then(bench: Bench, run: Run) -> None:
    path = bench.root / "brewslm.yaml"
    bench.edit("      learning_rate: 2.0e-3\n", "      # high\n      learning_rate: 2.0e-3\n")
    path.chmod(0o640)
    run("fmt").says(0, "rewritten")
    text = path.read_text()
    assert "      num_epochs: 2\n      # high\n      learning_rate: 2.0e-3\n" in text
    assert path.stat().st_mode & 0o777 == 0o640
    run("fmt", "--check").says(0, "is in canonical layout")
    run("fmt").says(0, "is in canonical layout")
    assert path.read_text() == text


@pytest.mark.usefixtures("applied")
def test_laying_out_changes_no_plan(run: Run) -> None:
    assert run("fmt").code == 0
    assert run("plan", "--detailed-exitcode").code == 0


def test_check_and_diff_write_nothing(bench: Bench, run: Run) -> None:
    path = bench.root / "brewslm.yaml"
    before = path.read_text()
    run("fmt", "--check").says(1, "would change. brewslm fmt writes it")
    shown = run("fmt", "--diff")
    assert shown.code == 0
    assert "-      num_epochs: 2\n" in shown.out
    assert "+      num_epochs: 2\n" in shown.out
    assert run("fmt", "--check", "--diff").code == 1
    assert path.read_text() == before


def test_findings_of_syntax_are_told_and_nothing_is_written(bench: Bench, run: Run) -> None:
    bench.edit("kind: Project", "kind: Project\nkind: Project")
    before = (bench.root / "brewslm.yaml").read_bytes()
    answer = run("fmt")
    assert answer.code == 1
    assert "brewslm.yaml:3:1: error[YAML_DUPLICATE_KEY]" in answer.out
    assert (bench.root / "brewslm.yaml").read_bytes() == before


def test_a_link_inside_the_project_stays_a_link(bench: Bench, run: Run) -> None:
    path = bench.root / "brewslm.yaml"
    path.rename(bench.root / "real.yaml")
    path.symlink_to("real.yaml")
    assert run("fmt").code == 0
    assert path.is_symlink()
    assert run("fmt", "--check").code == 0
