"""A run that is killed loses nothing, and one that is asked to stop says what is left."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.runs.calls import begun, called, copied

pytestmark = pytest.mark.slow

_DEADLINE_S = 120.0


def _await_checkpoint(project: Path) -> None:
    """Wait until a checkpoint is complete."""
    begun_s = time.monotonic()
    while time.monotonic() - begun_s < _DEADLINE_S:
        if list(project.glob(".brewslm/runs/*/checkpoints/*/watch.json")):
            time.sleep(1.0)
            return
        time.sleep(0.1)
    raise AssertionError("no checkpoint was written")


def _kill_group(pid: int, number: signal.Signals) -> None:
    os.killpg(os.getpgid(pid), number)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return an example that was never applied."""
    return copied("support-triage", tmp_path)


@pytest.mark.case("CRA-12")
def test_killed_training_goes_on_from_its_checkpoint_to_the_same_bytes(
    project: Path, tmp_path: Path
) -> None:
    manifest = project / "brewslm.yaml"
    manifest.write_text(manifest.read_text().replace("lora_dropout: 0.0", "lora_dropout: 0.1"))
    undisturbed = Path(shutil.copytree(project, tmp_path / "undisturbed"))
    process = begun(project, "apply", "--auto-approve")
    _await_checkpoint(project)
    _kill_group(process.pid, signal.SIGKILL)
    process.communicate()
    plan = called(project, "plan", "--detailed-exitcode")
    assert plan.returncode == 2, plan.stderr
    assert "# training_plan will be resumed" in plan.stdout
    done = called(project, "apply", "--auto-approve")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "training_plan: goes on from step" in done.stderr
    trained = called(undisturbed, "apply", "--auto-approve", "--target", "training_plan")
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert _candidate(project) == _candidate(undisturbed)
    assert (project / ".brewslm" / "promoted" / "champion").is_symlink()
    assert called(project, "plan", "--detailed-exitcode").returncode == 0


def _candidate(project: Path) -> str:
    """Return the digest of the LoRA adapter that was trained."""
    shown = json.loads(called(project, "show", "training_plan", "--json").stdout)
    return str(shown["outputs"]["lora_adapter"]["digest"])


@pytest.mark.case("CRA-05")
def test_interrupt_saves_a_checkpoint_and_exits_130(project: Path) -> None:
    process = begun(project, "apply", "--auto-approve")
    _await_checkpoint(project)
    asked_s = time.monotonic()
    _kill_group(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=_DEADLINE_S)
    assert process.returncode == 130, out + err
    assert time.monotonic() - asked_s < 15
    assert "brewslm apply" in out
    assert "Traceback" not in out + err
    plan = called(project, "plan", "--detailed-exitcode")
    assert plan.returncode == 2
    assert "resume    from the checkpoint at step" in plan.stdout
    assert called(project, "lock", "show").stdout == "The lease is free.\n"


@pytest.mark.case("CRA-05")
def test_second_interrupt_ends_at_once(project: Path) -> None:
    process = begun(project, "apply", "--auto-approve")
    _await_checkpoint(project)
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    asked_s = time.monotonic()
    process.communicate(timeout=_DEADLINE_S)
    assert process.returncode == 130
    assert time.monotonic() - asked_s < 5
    assert called(project, "apply", "--auto-approve").returncode == 0
