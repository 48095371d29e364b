"""The plan of a pull request's files, as the action makes it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.apply.bench import MANIFEST, Bench
from tests.cli.repository import begin, commit, git
from tests.recipes.job import Done, Job

Plan = Callable[..., Done]

_WEAKER = MANIFEST.replace("threshold: 0.8", "threshold: 0.5")
_FASTER = MANIFEST.replace("2.0e-3", "1.0e-3")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a repository whose project lies in the folder `model`."""
    root = tmp_path / "source"
    Bench.make(root / "model")
    shutil.rmtree(root / "model" / ".brewslm", ignore_errors=True)
    begin(root)
    return root


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job.make(tmp_path / "job")


@pytest.fixture
def plan(job: Job, source: Path, python: Path) -> Plan:
    """Return the script: files of a pull request in, log and outputs out."""

    def call(*arguments: str | Path, program: Path = python, **environment: str) -> Done:
        return job.run(
            "plan.py",
            *("--python", program, "--source", source, "--out", job.folder / "plan"),
            *(arguments or ("--directory", "model")),
            **environment,
        )

    return call


def _changed(source: Path, manifest: str) -> str:
    """Commit another manifest and return the commit before."""
    (source / "model" / "brewslm.yaml").write_text(manifest)
    commit(source)
    return git(source, "rev-parse", "HEAD^1")


def test_pending_changes_are_a_success(job: Job, plan: Plan) -> None:
    done = plan()
    assert done.code == 0, done.log
    assert (done.outputs["exit-code"], done.outputs["has-changes"]) == ("2", "true")
    saved = json.loads((job.folder / "plan" / "plan.json").read_bytes())
    assert f"digest={saved['digest'].removeprefix('sha256:')} -->" in job.summary.split("\n")[0]
    assert f"**{done.outputs['verdict']}**" in job.summary.split("\n")


def test_weaker_gate_fails_the_step_and_leaves_its_plan(job: Job, plan: Plan, source: Path) -> None:
    done = plan("--directory", "model", "--against", _changed(source, _WEAKER))
    assert (done.code, done.outputs["exit-code"]) == (6, "6"), done.log
    assert (job.folder / "plan" / "plan.json").exists()
    assert "GATE_WEAKENED" in job.summary


def test_broken_manifest_fails_the_step_without_a_plan(job: Job, plan: Plan, source: Path) -> None:
    _changed(source, MANIFEST.replace("learning_rate", "::error::rate"))
    done = plan()
    assert (done.code, done.outputs["verdict"]) == (1, "no plan")
    assert not (job.folder / "plan" / "plan.json").exists()


def test_applied_state_says_what_is_pending(
    plan: Plan, promoted: Path, python: Path, source: Path, tmp_path: Path
) -> None:
    snapshot = tmp_path / "snapshot.json"
    command = [str(python), "-I", "-m", "brewslm", "--chdir", str(promoted)]
    subprocess.run([*command, "state", "pull", "--out", str(snapshot)], check=True)
    done = plan("--directory", "model", "--against", "HEAD", "--snapshot", snapshot)
    assert (done.code, done.outputs["has-changes"]) == (0, "false"), done.log
    _changed(source, _FASTER)
    done = plan("--directory", "model", "--against", "HEAD^1", "--snapshot", snapshot)
    assert done.outputs["has-changes"] == "true", done.log
    assert "training_plan" in done.log


@pytest.mark.parametrize("directory", ["missing", "..", "/etc", "way-out"])
def test_folder_outside_of_the_commit_is_refused(plan: Plan, source: Path, directory: str) -> None:
    (source / "way-out").symlink_to("/etc")
    done = plan("--directory", directory)
    assert done.code == 1
    assert f'there is no folder "{directory}" in this commit' in done.log


@pytest.mark.case("RND-02")
def test_program_gets_no_token_and_says_no_command(job: Job, plan: Plan, tmp_path: Path) -> None:
    program = tmp_path / "talkative"
    program.write_text(
        '#!/bin/sh\nenv > "$PWD/seen"\nprintf "::error::x\\n##[error]y\\n"\nexit 6\n'
    )
    program.chmod(0o755)
    others = {"GH_TOKEN": "ghs_x", "ACTIONS_RUNTIME_TOKEN": "y", "PYTHONPATH": "/evil"}
    done = plan(program=program, **others)
    assert done.code == 6
    assert done.log == "| ::error::x\n| # #[error]y\n"
    seen = {line.split("=")[0] for line in (job.folder / "plan" / "seen").read_text().splitlines()}
    assert seen - {"PWD", "OLDPWD", "SHLVL", "_"} == {
        *("PATH", "GITHUB_RUN_ID", "LC_ALL", "PYTHONUTF8")
    }
