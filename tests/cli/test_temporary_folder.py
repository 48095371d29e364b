"""What is made elsewhere first is never renamed across file systems."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apply.bench import Bench
from tests.cli.conftest import Run
from tests.conftest import MEMORY

_DISK = Path("/var/tmp")  # noqa: S108  another file system than memory is


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a temporary folder that is not on the file system of the project."""
    device = tmp_path.stat().st_dev
    others = [at for at in (MEMORY, _DISK) if at.is_dir() and at.stat().st_dev != device]
    if not others:
        pytest.skip("there is one file system here")
    with tempfile.TemporaryDirectory(dir=others[0]) as name:
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(name)
        monkeypatch.undo()


@pytest.mark.case("DSK-06")
@pytest.mark.usefixtures("doubles")
def test_temporary_folder_on_another_file_system_changes_nothing(
    bench: Bench, run: Run, elsewhere: Path
) -> None:
    run("apply", "--auto-approve").says(0)
    bench.edit("2.0e-3", "1.0e-3")
    run("apply", "--auto-approve").says(0)
    run("rollback", "--auto-approve").says(0)
    run("state", "pull", "--out", "state.json").says(0)
    run("gc", "--delete").says(0)
    run("plan", "--detailed-exitcode").says(0)
    assert (bench.home / "exports" / "adapter" / "model").exists()
    assert tempfile.gettempdir() == str(elsewhere)
    assert list(elsewhere.iterdir()) == []
