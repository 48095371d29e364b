"""Without the extra `train`, everything plans, and apply says what to install."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/brewslm.yaml"))
_EXTRA = (
    "accelerate",
    "bitsandbytes",
    "datasets",
    "numpy",
    "peft",
    "pyarrow",
    "safetensors",
    "tokenizers",
    "torch",
    "transformers",
    "trl",
)
_HEAVY = ("accelerate", "bitsandbytes", "datasets", "peft", "torch", "transformers", "trl")
_SCRIPT = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {_EXTRA!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return None

import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: (
    None if name.partition(".")[0] in {_EXTRA!r} else found(name, *rest)
)
sys.meta_path.insert(0, Absent())
from brewslm.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


_COMMANDS = ("--help", "validate", "plan", "show")


def _called(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _SCRIPT, "--chdir", str(project), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


@pytest.fixture(params=EXAMPLES)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a copy of an example."""
    target = tmp_path / "project"
    ignored = shutil.ignore_patterns(".brewslm")
    shutil.copytree(ROOT / "examples" / request.param, target, ignore=ignored)
    return target


@pytest.mark.case("UNT-10")
def test_example_plans_and_apply_names_the_extra(project: Path) -> None:
    plan = _called(project, "plan", "--detailed-exitcode")
    assert plan.returncode == 2, plan.stderr
    assert "# training_plan will be created" in plan.stdout
    done = _called(project, "apply", "--auto-approve")
    assert done.returncode == 1
    assert 'pip install "brewslm[train]"' in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project / ".brewslm" / "state.db").exists()


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """Return a copy of the first example."""
    target = tmp_path / "project"
    ignored = shutil.ignore_patterns(".brewslm")
    return Path(shutil.copytree(ROOT / "examples" / EXAMPLES[0], target, ignore=ignored))


@pytest.mark.case("UNT-10")
@pytest.mark.parametrize("command", _COMMANDS)
def test_absent_libraries_hinder_no_command_that_looks(command: str, example: Path) -> None:
    done = _called(example, command)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.case("UNT-10")
@pytest.mark.parametrize("command", _COMMANDS)
def test_libraries_that_cannot_be_imported_hinder_none_either(
    command: str, example: Path, tmp_path: Path
) -> None:
    for name in _HEAVY:
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "__init__.py").write_text("raise OSError('half there')\n")
    done = subprocess.run(
        [sys.executable, "-m", "brewslm", "--chdir", str(example), command],
        env={**os.environ, "PYTHONPATH": f"{tmp_path / 'broken'}:{ROOT}"},
        capture_output=True,
        text=True,
        cwd=example,
    )
    assert (done.returncode, done.stderr) == (0, "")
