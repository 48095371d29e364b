"""A whole project in the current folder, and the program called in this process."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from brewslm.cli.main import main
from tests.apply.bench import Bench


@dataclass(frozen=True)
class Answer:
    """What a call printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Standard output as one JSON object."""
        return dict(json.loads(self.out))

    def says(self, code: int, *texts: str) -> None:
        """Check the exit code and that each text is in the talk, which is never a traceback."""
        assert self.code == code, self.err
        assert [text for text in texts if text not in self.err] == [], self.err
        assert "Traceback" not in self.err
        assert "internal error" not in self.err


Run = Callable[..., Answer]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return the program: words of a command line in, code and output out."""

    def call(*arguments: str | Path) -> Answer:
        capsys.readouterr()
        code = main([str(item) for item in arguments])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture
def bench(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a project in the current folder that was never applied."""
    monkeypatch.chdir(bench.root)
    return bench


@pytest.fixture
def applied(applied: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a project in the current folder whose candidate was promoted."""
    monkeypatch.chdir(applied.root)
    return applied


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a current folder with nothing in it."""
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
