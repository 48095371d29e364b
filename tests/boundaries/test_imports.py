"""Quick commands load no accelerator library, in a fresh interpreter."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_HEAVY = ("torch", "transformers", "peft", "trl", "datasets", "bitsandbytes", "accelerate", "numpy")
_SCRIPT = """
import json, sys
from brewslm.cli.main import main
code = main(sys.argv[1:])
loaded = sorted({name.split(".")[0] for name in sys.modules})
print("\\n" + json.dumps({"code": code, "loaded": loaded}))
"""


def _loaded(*arguments: str) -> tuple[int, set[str]]:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["code"], set(answer["loaded"])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    target = tmp_path / "project"
    shutil.copytree(
        ROOT / "examples" / "support-triage", target, ignore=shutil.ignore_patterns(".brewslm")
    )
    return target


@pytest.mark.parametrize("arguments", [["--help"], ["validate"], ["plan"], ["show"]])
def test_no_heavy_library_is_loaded(project: Path, arguments: list[str]) -> None:
    code, loaded = _loaded("--chdir", str(project), *arguments)
    assert code == 0
    assert loaded.isdisjoint(_HEAVY)
