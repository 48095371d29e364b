"""A forge, an installed program, and a plan that a job left."""

import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apply.bench import Bench
from tests.recipes.forge import Forge, running_forge

ROOT = Path(__file__).parents[2]


@pytest.fixture
def forge() -> Iterator[Forge]:
    """Lend a GitHub with nothing in it."""
    with running_forge() as held:
        yield held


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an interpreter that has this brewslm in isolation, as an installation does."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    (site / "brewslm.pth").write_text("\n".join([str(ROOT), *libraries]))
    return folder / "bin" / "python"


@pytest.fixture(scope="session")
def plan_file(tmp_path_factory: pytest.TempPathFactory, python: Path) -> Path:
    """Return a saved plan with changes."""
    bench = Bench.make(tmp_path_factory.mktemp("planned") / "project")
    path = bench.root.parent / "plan.json"
    subprocess.run(
        [python, "-I", "-m", "brewslm", "--chdir", bench.root, "plan", "--out", path],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return path
