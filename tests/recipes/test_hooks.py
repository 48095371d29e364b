"""The hooks for pre-commit, their entries run over a repository."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from brewslm.cli.main import COMMANDS
from tests.apply.bench import MANIFEST, Bench
from tests.recipes.actions import ROOT
from tests.recipes.job import Done, Job


def _hooks() -> list[dict[str, Any]]:
    document = YAML(typ="safe", pure=True).load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert isinstance(document, list)
    return document


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Bench.make(tmp_path / "repository" / "models" / "parcels").root


def _run(hook: str, python: Path, folder: Path, *arguments: str) -> Done:
    """Run a hook's entry as pre-commit does: arguments behind it, no file names."""
    entry = next(item["entry"] for item in _hooks() if item["id"] == hook)
    program, *words = shlex.split(entry)
    assert program == "brewslm"
    job = Job.make(folder.parent / f"job-{hook}-{len(list(folder.parent.iterdir()))}")
    command = [str(python), "-I", "-m", "brewslm", *words, *arguments]
    return job.shell(shlex.join(command), {}, folder)


@pytest.mark.parametrize("hook", _hooks(), ids=lambda hook: str(hook["id"]))
def test_hook_names_a_command_and_takes_no_file_names(hook: dict[str, Any]) -> None:
    assert hook["entry"].split()[1] in COMMANDS
    assert (hook["language"], hook["pass_filenames"]) == ("python", False)
    own, others = ("brewslm.yaml", "a/brewslm.yaml"), ("a.brewslm.yaml", "brewslm-yaml")
    assert all(re.search(hook["files"], path) for path in own)
    assert not any(re.search(hook["files"], path) for path in others)


def test_fmt_changes_the_manifest_which_fails_the_commit_once(python: Path, project: Path) -> None:
    manifest = project / "brewslm.yaml"
    assert _run("brewslm-fmt", python, project).code == 0
    tidy = manifest.read_bytes()
    manifest.write_text("kind: Project\n" + tidy.decode().replace("kind: Project\n", ""))
    assert _run("brewslm-fmt", python, project).code == 0
    assert manifest.read_bytes() == tidy


def test_validate_fails_on_findings_of_a_project_in_a_folder(python: Path, project: Path) -> None:
    root = project.parents[1]
    assert _run("brewslm-validate", python, root, "--chdir", "models/parcels").code == 0
    (project / "brewslm.yaml").write_text(MANIFEST.replace("learning_rate", "lerning_rate"))
    done = _run("brewslm-validate", python, root, "--chdir", "models/parcels")
    assert done.code == 1
    assert "lerning_rate" in done.log
