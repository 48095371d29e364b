"""A whole project in the current folder, and the program called in this process."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from brewslm.apply.scripted import ScriptedWorker
from brewslm.apply.worker import Message, worker_environment
from brewslm.cli.main import main
from brewslm.contracts import Job, Result
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


@dataclass
class Doubles:
    """The workers that calls of `apply` have started, and what they do."""

    answer: Callable[[Job, Path], Result] | None = None
    """In place of the bench's own answer."""
    messages: dict[int, list[Message]] = field(default_factory=dict)
    """What a job of this index sends before it ends."""
    started: list[ScriptedWorker] = field(default_factory=list)
    environments: list[dict[str, str]] = field(default_factory=list)
    """The variables that each worker process would have had."""

    @property
    def doors(self) -> list[str]:
        """The doors that were opened, in order."""
        return [job.door for worker in self.started for job in worker.jobs]

    def start(self, log_path: Path, environment: Mapping[str, str]) -> ScriptedWorker:
        """Take the place of a worker process; its log lies below the project's home."""
        self.environments.append(worker_environment(environment))
        project = log_path.parents[2]
        worker = ScriptedWorker(self.answer or Bench(project).answer, messages=self.messages)
        self.started.append(worker)
        return worker


@pytest.fixture
def doubles(monkeypatch: pytest.MonkeyPatch) -> Doubles:
    """Let `apply` start scripted workers instead of processes."""
    made = Doubles()
    monkeypatch.setattr("brewslm.cli.applying.ProcessWorker", made.start)
    return made
