"""The actions and the recipes, their steps run one after the other as a runner does."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import brewslm
from tests.apply.bench import MANIFEST
from tests.cli.repository import commit, git
from tests.recipes.actions import ROOT, loaded, run_action
from tests.recipes.forge import REPOSITORY, Forge
from tests.recipes.job import SCRIPTS, Job

pytestmark = pytest.mark.slow
_RECIPES = ROOT / "examples" / "ci"
_APPLY = _RECIPES / "github" / "brewslm-apply.yml"
_PIPELINE = _RECIPES / "gitlab" / ".gitlab-ci.yml"


@pytest.fixture
def upstream(tmp_path: Path, promoted: Path) -> Path:
    """Return the repository of an applied project, with a pull request that changes its rate."""
    root = tmp_path / "server" / REPOSITORY
    shutil.copytree(promoted, root, ignore=shutil.ignore_patterns(".brewslm"))
    git(root, "init", "-q", "-b", "main")
    commit(root)
    git(root, "switch", "-q", "-c", "lower-rate")
    (root / "brewslm.yaml").write_text(MANIFEST.replace("2.0e-3", "1.0e-3"))
    commit(root)
    git(root, "switch", "-q", "--detach", "main")
    git(root, "merge", "-q", "--no-ff", "--no-verify", "-m", "try", "lower-rate")
    git(root, "update-ref", "refs/pull/7/merge", "HEAD")
    return root


def _job(folder: Path, forge: Forge, upstream: Path, ref: str, **event: Any) -> Job:
    job = Job.make(folder, forge, repository={"default_branch": "main"}, **event)
    job.environment["GITHUB_SERVER_URL"] = upstream.parents[1].as_uri()
    job.environment["GITHUB_SHA"] = git(upstream, "rev-parse", ref)
    return job


def _pulled(python: Path, project: Path, target: Path) -> bytes:
    command = [str(python), "-I", "-m", "brewslm", "--chdir", str(project)]
    subprocess.run([*command, "state", "pull", "--out", str(target)], check=True)
    return target.read_bytes()


def _ended(head: str) -> dict[str, Any]:
    """Return the event that a run planned a head commit and says that all is well."""
    run = {
        "id": 12,
        "event": "pull_request",
        "html_url": "https://x",
        "conclusion": "success",
        "head_sha": head,
        "head_branch": "lower-rate",
        "head_repository": {"owner": {"login": "ana"}},
    }
    return {"workflow_run": run}


def test_pull_request_is_planned_without_trust_and_commented_with_it(
    tmp_path: Path, forge: Forge, python: Path, upstream: Path, promoted: Path
) -> None:
    head = git(upstream, "rev-parse", "lower-rate")
    forge.pull(7, head)
    forge.runs["brewslm-apply.yml"] = [{"id": 3, "event": "push", "head_branch": "main"}]
    snapshot = _pulled(python, promoted, tmp_path / "pulled.json")
    forge.upload(3, "snapshot", {"snapshot.json": snapshot})
    planning = _job(tmp_path / "planning", forge, upstream, "refs/pull/7/merge")
    planned = run_action("plan", planning, python, {}, {})
    assert planned.code == 0, planned.logs
    assert planned.outputs["has-changes"] == "true"
    assert planned.outputs["verdict"].startswith("Would retrain once")

    kept = planned.used["actions/upload-artifact"]
    forge.upload(12, kept["name"], {"plan.json": Path(kept["path"]).read_bytes()})
    event = _ended(head)
    commenting = _job(tmp_path / "commenting", forge, upstream, "main", **event)
    commented = run_action("comment", commenting, python, event, {})
    assert commented.code == 0, commented.logs
    assert f"**{planned.outputs['verdict']}**" in forge.said[0]
    assert (forge.statuses[0]["commit"], forge.statuses[0]["state"]) == (head, "success")


def test_refused_plan_is_told_although_its_run_claims_success(
    tmp_path: Path, forge: Forge, python: Path, upstream: Path
) -> None:
    (upstream / "brewslm.yaml").write_text(MANIFEST.replace("0.8", "0.1"))
    commit(upstream)
    job = _job(tmp_path / "planning", forge, upstream, "HEAD")
    planned = run_action("plan", job, python, {}, {"apply-workflow": ""})
    assert (planned.code, planned.outputs["exit-code"]) == (6, "6"), planned.logs
    kept = Path(planned.used["actions/upload-artifact"]["path"])
    forge.upload(12, "plan", {"plan.json": kept.read_bytes()})
    forge.pull(7, head := git(upstream, "rev-parse", "HEAD"))
    event = _ended(head)
    commenting = _job(tmp_path / "commenting", forge, upstream, "main", **event)
    commented = run_action("comment", commenting, python, event, {})
    assert commented.code == 0, commented.logs
    assert forge.said[0].split("\n")[1].startswith("**Refused")
    assert forge.statuses[0]["state"] == "failure"


def test_own_workflow_lays_out_its_commit(tmp_path: Path, forge: Forge, upstream: Path) -> None:
    job = _job(tmp_path / "testing", forge, upstream, "refs/pull/7/merge")
    step = loaded(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["test"]["steps"][0]
    environment = {name: str(value) for name, value in step["env"].items()}
    done = job.shell(step["run"], {**environment, "TOKEN": "t"})
    assert done.code == 0, done.log
    assert git(job.folder, "rev-parse", "HEAD") == job.environment["GITHUB_SHA"]
    assert (job.folder / "brewslm.yaml").exists()


def test_apply_recipe_applies_what_was_merged(
    tmp_path: Path, forge: Forge, python: Path, upstream: Path, promoted: Path
) -> None:
    job = _job(tmp_path / "applying", forge, upstream, "main")
    steps = loaded(_APPLY)["jobs"]["apply"]["steps"]
    assert run_action("setup", job, python, {}, steps[0]["with"]).outputs == {"python": str(python)}
    project = job.folder / "src"
    shutil.copytree(promoted / ".brewslm", project / ".brewslm")
    for step in steps[1:-1]:
        assert step["env"] == {"PYTHON": "${{ steps.setup.outputs.python }}"}
        done = job.shell(step["run"], {"PYTHON": str(python)}, project)
        assert done.code == 0, done.log
    uploaded = Path(steps[-1]["with"]["path"].replace("${{ runner.temp }}", str(job.folder)))
    assert uploaded.read_bytes() == _pulled(python, project, tmp_path / "pulled.json")
    assert (job.folder / "events.ndjson").read_text().count("\n") > 1


@pytest.mark.parametrize(
    ("name", "refs", "left"),
    [
        ("brewslm-plan", ("refs/pull/7/merge", "main"), {"plan.json", "plan.md"}),
        ("brewslm-apply", ("main", "main"), {"snapshot.json"}),
    ],
)
def test_pipeline_runs_its_lines(
    tmp_path: Path,
    python: Path,
    upstream: Path,
    promoted: Path,
    name: str,
    refs: tuple[str, str],
    left: set[str],
) -> None:
    job = Job.make(tmp_path / "pipeline")
    project = job.folder / "builds"
    git(tmp_path, "clone", "-q", str(upstream), str(project))
    git(project, "fetch", "-q", "origin", refs[0])
    git(project, "switch", "-q", "--detach", "FETCH_HEAD")
    if name == "brewslm-apply":
        shutil.copytree(promoted / ".brewslm", project / ".brewslm")
    held = loaded(_PIPELINE)[name]
    base = git(project, "rev-parse", f"origin/{refs[1]}")
    for line in [*held["script"], *held.get("after_script", [])]:
        words = line.replace("/opt/brewslm/bin/python", str(python))
        done = job.shell(words, {"CI_MERGE_REQUEST_DIFF_BASE_SHA": base}, project)
        assert done.code == 0, done.log
    assert set(held["artifacts"]["paths"]) == left
    assert all((project / path).stat().st_size for path in left)


def test_installation_is_the_pinned_source_in_isolation(tmp_path: Path) -> None:
    (tmp_path / "brewslm.py").write_text("raise SystemExit('a file of the project ran')")
    done = subprocess.run(
        [SCRIPTS / "install.sh"],
        cwd=tmp_path,
        env={**os.environ, "RUNNER_TEMP": str(tmp_path), "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    python = done.stdout.strip()
    assert python == str(tmp_path / "brewslm" / "bin" / "python")
    command = [python, "-I", "-m", "brewslm", "--version"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == f"brewslm {brewslm.__version__}"
