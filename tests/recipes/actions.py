"""Runs an action as a runner does: its steps in order, with their conditions and expressions.

Of the expressions only what the actions use is known; anything else fails the test.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.recipes.forge import TOKEN
from tests.recipes.job import Done, Job

ROOT = Path(__file__).parents[2]
ACTIONS = ROOT / ".github" / "actions"
_EXPRESSION = re.compile(r"\$\{\{ *([a-z_.-]+) *\}\}", re.IGNORECASE)
_IS_SET = re.compile(r"inputs\.([a-z-]+) != ''")


def loaded(path: Path) -> dict[str, Any]:
    """Return a YAML 1.2 file, in which `on` is a word."""
    document = YAML(typ="safe", pure=True).load(path.read_text("utf-8"))
    assert isinstance(document, dict)
    return document


@dataclass
class Ran:
    """How an action ended."""

    code: int = 0
    logs: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    used: dict[str, dict[str, str]] = field(default_factory=dict)
    """What other actions would have been given."""


def run_action(
    name: str, job: Job, python: Path, event: Mapping[str, Any], inputs: Mapping[str, str]
) -> Ran:
    """Run an action of this repository in a job; python: what its installation would give."""
    action = loaded(ACTIONS / name / "action.yml")
    steps: dict[str, dict[str, Any]] = {}
    context: dict[str, Any] = {
        "github": {"action_path": str(ACTIONS / name), "token": TOKEN, "event": event},
        "runner": {"temp": str(job.folder)},
        "steps": steps,
    }
    assert set(inputs) <= set(action["inputs"])
    defaults = {key: _filled(held["default"], context) for key, held in action["inputs"].items()}
    context["inputs"] = {**defaults, **inputs}
    ran = Ran()
    for step in action["runs"]["steps"]:
        if not _is_wanted(str(step.get("if", "success()")), context, ran):
            continue
        if "uses" in step:
            ran.used[step["uses"].partition("@")[0]] = _all_filled(step["with"], context)
            continue
        done = _step(step, job, context, python)
        ran.logs[step.get("id", "")] = done.log
        ran.code = ran.code or done.code
        steps[step.get("id", "")] = {"outputs": done.outputs}
    found = {key: held["value"] for key, held in action.get("outputs", {}).items()}
    ran.outputs = _all_filled(found, context)
    return ran


def _step(step: Mapping[str, Any], job: Job, context: Mapping[str, Any], python: Path) -> Done:
    if step.get("id") == "install":
        return Done(0, "", {"python": str(python)})
    return job.shell(str(step["run"]), _all_filled(step.get("env", {}), context))


def _is_wanted(condition: str, context: Mapping[str, Any], ran: Ran) -> bool:
    if condition == "always()":
        return True
    match = _IS_SET.fullmatch(condition)
    assert match or condition == "success()", condition
    return ran.code == 0 and (match is None or context["inputs"][match[1]] != "")


def _all_filled(texts: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, str]:
    return {key: _filled(str(text), context) for key, text in texts.items()}


def _filled(text: str, context: Mapping[str, Any]) -> str:
    filled = _EXPRESSION.sub(lambda match: _value(match[1], context), text)
    assert "${{" not in filled, text
    return filled


def _value(path: str, context: Mapping[str, Any]) -> str:
    """Return a value by its path; what a step that did not run would have said is empty."""
    value: Any = context
    for name in path.split("."):
        value = value.get(name, {})
    return str(value) if value != {} else ""
