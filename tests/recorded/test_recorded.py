"""A project that an earlier version applied: nothing changes, work is reused, plans still open."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.recorded.make import ARCHIVE, FASTER, LEARNED, NEVER_APPLIED


@pytest.fixture
def project(tmp_path: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="fully_trusted")  # noqa: S202  our own, in the tree
    return tmp_path


def call(project: Path, *arguments: str, expected: int = 0) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "brewslm", "--chdir", str(project), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == expected, done.stdout + done.stderr
    return done


def planned(project: Path, *arguments: str, expected: int) -> Any:
    return json.loads(call(project, "plan", "--json", *arguments, expected=expected).stdout)


def edit(project: Path, before: str, after: str) -> None:
    path = project / "brewslm.yaml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def promoted(project: Path) -> str:
    shown: str = json.loads(call(project, "show", "deployment", "--json").stdout)["outputs"][
        "promoted"
    ]
    return shown


@pytest.mark.parametrize("refresh", ["auto", "full"])
def test_nothing_changes(project: Path, refresh: str) -> None:
    plan = planned(project, "--detailed-exitcode", "--refresh", refresh, expected=0)
    assert {action["operation"] for action in plan["actions"]} == {"noop"}
    assert len(plan["actions"]) == 13
    assert plan["drift"] == []


def test_edited_export_is_found(project: Path) -> None:
    exported = project / ".brewslm" / "exports" / "safetensors" / "model.safetensors"
    content = bytearray(exported.read_bytes())
    content[-1] ^= 1
    exported.write_bytes(content)
    plan = planned(project, "--detailed-exitcode", "--refresh", "full", expected=2)
    assert [item["address"] for item in plan["drift"]] == ["export.safetensors"]


def test_earlier_recipe_is_reused_without_training(project: Path) -> None:
    latest = promoted(project)
    edit(project, FASTER, LEARNED)
    actions = {
        action["address"]: action
        for action in planned(project, "--detailed-exitcode", expected=2)["actions"]
    }
    changed = {address for address, action in actions.items() if action["operation"] != "noop"}
    assert changed == {
        "training_plan",
        "eval_pack",
        "export.adapter",
        "export.safetensors",
        "deployment",
    }
    assert all(actions[address]["reuse"] for address in changed - {"deployment"})
    said = call(project, "apply", "--auto-approve").stdout
    assert "0 failed, 0 skipped, 0 pending" in said
    earlier = promoted(project)
    assert earlier != latest
    call(project, "plan", "--detailed-exitcode")
    edit(project, LEARNED, FASTER)
    call(project, "apply", "--auto-approve")
    assert promoted(project) == latest


def test_pointer_moves_back(project: Path) -> None:
    latest = promoted(project)
    call(project, "rollback", "--auto-approve")
    assert promoted(project) != latest


def test_saved_plan_opens(project: Path) -> None:
    shown = json.loads(call(project, "show", "saved.plan.json", "--json").stdout)
    edit(project, "lora_r: 4", NEVER_APPLIED)
    assert planned(project, expected=0)["digest"] == shown["digest"]


@pytest.mark.slow
def test_saved_plan_applies(project: Path) -> None:
    latest = promoted(project)
    edit(project, "lora_r: 4", NEVER_APPLIED)
    call(project, "apply", "saved.plan.json", "--auto-approve")
    assert promoted(project) != latest
    call(project, "plan", "--detailed-exitcode")
