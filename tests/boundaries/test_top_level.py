"""The top level holds what was agreed, and nothing else."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_AGREED = {
    "brewslm",
    "schemas",
    "examples",
    "tests",
    "README.md",
    "pyproject.toml",
    "LICENSE",
    "CHANGELOG.md",
}


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="only a git checkout has tracked files")
def test_tracked_files_lie_where_agreed() -> None:
    git = shutil.which("git")
    assert git is not None
    listed = subprocess.run(
        [git, "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True
    )
    tops = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert {top for top in tops if not top.startswith(".")} <= _AGREED
