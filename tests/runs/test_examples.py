"""Every example plans as expected, passes its gates where the base fails some, and has
nothing left to do afterwards.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.runs.calls import EXAMPLES, called, copied, settled

NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/brewslm.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_plan_is_the_expected_one(name: str, tmp_path: Path) -> None:
    done = called(copied(name, tmp_path), "plan")
    assert done.returncode == 0, done.stderr
    assert settled(done.stdout) == (EXAMPLES / name / "expected-plan.txt").read_text()


def test_there_are_examples() -> None:
    assert NAMES == ["house-style", "intent-routing", "support-triage"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_example_trains_passes_its_gates_and_settles(name: str, tmp_path: Path) -> None:
    project = copied(name, tmp_path)
    done = called(project, "apply", "--auto-approve")
    assert done.returncode == 0, done.stdout + done.stderr
    gates = _gates(project)
    assert all(gate["verdict"] == "PASS" for gate in gates)
    assert any(_base_fails(gate) for gate in gates)
    link = project / ".brewslm" / "promoted" / "champion"
    assert (link / "adapter_model.safetensors").exists()
    assert called(project, "plan", "--detailed-exitcode").returncode == 0
    before = _written(project)
    again = called(project, "apply", "--auto-approve")
    assert again.returncode == 0
    assert "Nothing had to be done." in again.stdout
    assert _written(project) == before
    answered = called(project, "try", _question(project))
    assert answered.returncode == 0, answered.stderr
    assert answered.stdout.strip()


def _gates(project: Path) -> list[dict[str, Any]]:
    shown = called(project, "show", "eval_pack", "--json")
    gates: list[dict[str, Any]] = json.loads(shown.stdout)["values"]["gates"]
    return gates


def _base_fails(gate: dict[str, Any]) -> bool:
    value, bar = gate["base_actual"], gate["threshold"]
    if value is None or bar is None:
        return False
    return bool(value < bar if gate["operator"].endswith("gte") else value > bar)


def _written(project: Path) -> dict[str, int]:
    """Return every file but the state's own and the cache's with its time of change.

    The next plan hashes files younger than two seconds again, and notes that in the cache.
    """
    home = project / ".brewslm"
    return {
        str(path.relative_to(home)): path.lstat().st_mtime_ns
        for path in sorted(home.rglob("*"))
        if not path.name.startswith("state.db")
        and not path.is_relative_to(home / "cache")
        and path.is_file()
    }


def _question(project: Path) -> str:
    prepared = next((project / ".brewslm" / "cache" / "prepared").glob("*/gold_test.jsonl"))
    row = json.loads(prepared.read_text().splitlines()[0])
    return str(row["messages"][row["completion_from"] - 1]["content"])
