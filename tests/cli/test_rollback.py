"""rollback and gc on the command line."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from brewslm.plan.base_model import BUILTIN
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


@pytest.fixture
def on_own_base(bench: Bench) -> Bench:
    """Return a project with a base model in its own folder that promoted two candidates."""
    shutil.copytree(BUILTIN / "nano", bench.root / "base")
    bench.edit("builtin:nano", "./base")
    assert bench.apply().exit_code == 0
    bench.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    assert bench.apply().exit_code == 0
    return bench


def _edit(base: Path) -> None:
    path = base / "config.json"
    path.write_text(path.read_text() + " ")


def _drop_weights(base: Path) -> None:
    for path in base.glob("*.safetensors"):
        path.unlink()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (shutil.rmtree, "there is no model folder"),
        (_edit, "has changed"),
        (_drop_weights, "no config.json and safetensors weights"),
    ],
)
def test_rollback_to_another_base_than_it_was_trained_on_is_refused(
    on_own_base: Bench, run: Run, change: Callable[[Path], None], what: str
) -> None:
    base, before = on_own_base.root / "base", on_own_base.promoted()
    digest = on_own_base.records()["model"].outputs["base"].digest
    kept = shutil.copytree(base, on_own_base.root / "kept")
    change(base)
    for command in (("--dry-run",), ("--auto-approve",), ("1", "--auto-approve")):
        answer = run("rollback", *command)
        answer.says(1, "deployment_target_invalid", "base model ./base", what, digest)
        answer.says(1, "put the files back", "then: brewslm rollback 1")
    assert on_own_base.promoted() == before
    shutil.rmtree(base, ignore_errors=True)
    kept.rename(base)
    assert run("rollback", "1", "--auto-approve").code == 0
    assert on_own_base.promoted() != before


def test_rollback_names_the_base_model_of_then(on_own_base: Bench, run: Run) -> None:
    on_own_base.edit("./base", "builtin:nano")
    assert on_own_base.apply().exit_code == 0
    _edit(on_own_base.root / "base")
    run("rollback", "1", "--dry-run").says(
        1, "revision 1 can't be promoted again: its base model ./base has changed"
    )


@pytest.mark.usefixtures("doubles")
def test_rollback_names_revision_and_place_of_a_base_model_of_the_hub(
    bench: Bench,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commit, hub = "b" * 40, tmp_path / "hub"
    model = hub / "models--org--name"
    shutil.copytree(BUILTIN / "nano", model / "snapshots" / commit)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(commit)
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))
    bench.edit("builtin:nano", "org/name")
    run("apply", "--auto-approve").says(0)
    bench.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    run("apply", "--auto-approve").says(0)
    shutil.rmtree(model)
    run("rollback", "--auto-approve").says(
        1,
        f"its base model org/name at revision {commit} is not on this machine",
        f"in {model}/snapshots/{commit}",
        f"hf download org/name --revision {commit}, then: brewslm rollback 1",
    )


def test_rollback_names_the_artifact_that_is_damaged(twice: Bench, run: Run) -> None:
    digest = twice.deployments()[-1].details["exports"]["export.adapter"]
    name = next(iter(twice.artifacts().listing(digest).values())).digest[7:]
    (twice.home / "store" / "objects" / name[:2] / name[2:]).unlink()
    run("rollback").says(1, "export.adapter of revision 1 is missing", name)


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
