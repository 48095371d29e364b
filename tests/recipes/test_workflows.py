"""The YAML of workflows, actions, pipelines and hooks: its published schemas, and our own rules."""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import brewslm
from tests.recipes.actions import ACTIONS, ROOT, loaded

_RECIPES = sorted((ROOT / "examples" / "ci" / "github").glob("*.yml"))
_WORKFLOWS = [*_RECIPES, *sorted((ROOT / ".github" / "workflows").glob("*.yml"))]
_ACTION_FILES = sorted(ACTIONS.glob("*/action.yml"))
_PIPELINE = ROOT / "examples" / "ci" / "gitlab" / ".gitlab-ci.yml"
_PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
_OWN = re.compile(r"OWNER/brewslm/\.github/actions/([a-z]+)@COMMIT")
_FROM_OUTSIDE = re.compile(r"github\.(?:event|head_ref|ref_name)")


def _ids(path: Path) -> str:
    return path.parent.name if path.name == "action.yml" else path.name


def _runs(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the steps of a workflow or of an action."""
    document = loaded(path)
    if "runs" in document:
        yield from document["runs"]["steps"]
    for job in document.get("jobs", {}).values():
        yield from job["steps"]


def _events(document: Mapping[str, Any]) -> set[str]:
    on = document["on"]
    return {on} if isinstance(on, str) else set(on)


def _may_write(permissions: Mapping[str, str]) -> bool:
    return "write" in permissions.values()


def test_every_face_is_there() -> None:
    assert [path.stem for path in _RECIPES] == ["brewslm-apply", "brewslm-comment", "brewslm-plan"]
    assert [path.parent.name for path in _ACTION_FILES] == ["comment", "plan", "setup"]


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("github-workflows", _WORKFLOWS),
        ("github-actions", _ACTION_FILES),
        ("gitlab-ci", [_PIPELINE]),
    ],
)
def test_file_follows_its_published_schema(schema: str, paths: list[Path]) -> None:
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed here")
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *paths],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", _WORKFLOWS, ids=_ids)
def test_every_job_says_what_it_may_do_and_how_long(path: Path) -> None:
    document = loaded(path)
    assert not _may_write(document["permissions"])
    for job in document["jobs"].values():
        assert isinstance(job["permissions"], dict)
        assert job["timeout-minutes"] > 0


@pytest.mark.parametrize("path", _WORKFLOWS, ids=_ids)
def test_no_job_of_a_pull_request_holds_anything(path: Path) -> None:
    document = loaded(path)
    assert "pull_request_target" not in path.read_text()
    if "pull_request" not in _events(document):
        return
    assert "secrets." not in path.read_text()
    for job in document["jobs"].values():
        assert not _may_write(job["permissions"])
        assert "environment" not in job


@pytest.mark.parametrize("path", _WORKFLOWS, ids=_ids)
def test_job_that_may_write_or_holds_secrets_reads_no_file_of_a_pull_request(path: Path) -> None:
    document = loaded(path)
    for job in document["jobs"].values():
        if not _may_write(job["permissions"]) and "secrets." not in str(job):
            continue
        assert _events(document) <= {"push", "workflow_run"}
        used = [_OWN.fullmatch(step["uses"]) for step in job["steps"] if "uses" in step]
        names = {match[1] for match in used if match}
        assert names == ({"setup"} if _events(document) == {"push"} else {"comment"})
        assert "checkout" not in str(job)
    comment = (ACTIONS / "comment" / "action.yml").read_text()
    assert "checkout" not in comment


@pytest.mark.parametrize("path", [*_WORKFLOWS, *_ACTION_FILES], ids=_ids)
def test_no_expression_stands_in_a_shell_line(path: Path) -> None:
    for step in _runs(path):
        assert "${{" not in str(step.get("run", ""))


@pytest.mark.parametrize("path", [*_WORKFLOWS, *_ACTION_FILES], ids=_ids)
def test_of_the_event_only_numbers_reach_a_step(path: Path) -> None:
    for step in _runs(path):
        found = [text for text in step.get("env", {}).values() if _FROM_OUTSIDE.search(str(text))]
        assert found in ([], ["${{ github.event.workflow_run.id }}"])


@pytest.mark.parametrize("path", [*_WORKFLOWS, *_ACTION_FILES], ids=_ids)
def test_foreign_actions_are_pinned_by_commit(path: Path) -> None:
    for step in _runs(path):
        if used := step.get("uses"):
            assert _OWN.fullmatch(used) or _PINNED.fullmatch(used), used
            assert "checkout" not in used


@pytest.mark.parametrize("path", _RECIPES, ids=_ids)
def test_recipe_gives_only_inputs_that_the_action_has(path: Path) -> None:
    for step in _runs(path):
        if match := _OWN.fullmatch(step.get("uses", "")):
            inputs = loaded(ACTIONS / match[1] / "action.yml")["inputs"]
            assert set(step.get("with", {})) <= set(inputs)


@pytest.mark.parametrize(
    ("name", "is_cancelled"),
    [("brewslm-plan", True), ("brewslm-comment", True), ("brewslm-apply", False)],
)
def test_newer_plans_cancel_older_ones_and_applies_wait(name: str, is_cancelled: bool) -> None:
    document = loaded(next(path for path in _RECIPES if path.stem == name))
    assert document["name"] == name
    assert document["concurrency"]["cancel-in-progress"] is is_cancelled
    assert ("${{" in document["concurrency"]["group"]) is is_cancelled


def test_comments_follow_plans_and_only_applies_have_an_environment() -> None:
    plan, comment, apply = (
        loaded(next(path for path in _RECIPES if path.stem == f"brewslm-{name}"))
        for name in ("plan", "comment", "apply")
    )
    assert comment["on"]["workflow_run"] == {"workflows": [plan["name"]], "types": ["completed"]}
    assert apply["jobs"]["apply"]["environment"] == "production"
    inputs = loaded(ACTIONS / "plan" / "action.yml")["inputs"]
    assert inputs["apply-workflow"]["default"] == f"{apply['name']}.yml"
    upload = apply["jobs"]["apply"]["steps"][-1]
    assert (upload["if"], upload["with"]["name"]) == (
        "always()",
        inputs["snapshot-artifact"]["default"],
    )


def test_pipeline_queues_applies_and_replaces_plans() -> None:
    pipeline = loaded(_PIPELINE)
    plan, apply = pipeline["brewslm-plan"], pipeline["brewslm-apply"]
    assert (plan["interruptible"], apply["interruptible"]) == (True, False)
    assert (apply["resource_group"], apply["environment"]) == ("brewslm-apply", "production")
    assert not {"resource_group", "environment", "secrets"} & set(plan)
    assert "--untrusted" in plan["script"][0]
    installed = pipeline[".brewslm"]["before_script"][-1]
    assert installed.endswith(f'"brewslm$EXTRAS=={brewslm.__version__}"')


def test_own_workflow_runs_the_one_command_on_every_python() -> None:
    test = loaded(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]["test"]
    assert test["strategy"]["matrix"] == {"python": ["3.11", "3.12", "3.13"]}
    assert test["steps"][-1] == {"run": ".ci/run"}
