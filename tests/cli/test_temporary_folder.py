"""What is made elsewhere first is never renamed across file systems."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apply.bench import Bench
from tests.cli.conftest import Run

_OTHER = Path("/dev/shm")  # noqa: S108  another file system, where there is one


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a temporary folder that is not on the file system of the project."""
    if not _OTHER.is_dir() or _OTHER.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one file system here")
    with tempfile.TemporaryDirectory(dir=_OTHER) as name:
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
