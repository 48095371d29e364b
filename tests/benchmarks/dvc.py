"""A DVC repository of the files of a project: data tracked, one stage that yields the model."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.measured import Run, run

_VARIABLES = {"DVC_NO_ANALYTICS": "1"}


@dataclass(frozen=True)
class DvcRepository:
    """A repository in which nothing changed since its stage was recorded."""

    dvc: Path
    root: Path

    @classmethod
    def make(cls, dvc: Path, project: Path, root: Path) -> "DvcRepository":
        """Copy manifest, data and exported model of an applied project, and record them."""
        root.mkdir(parents=True)
        shutil.copy(project / "brewslm.yaml", root)
        shutil.copytree(project / "data", root / "data")
        shutil.copytree(project / ".brewslm" / "exports", root / "model", symlinks=False)
        repository = cls(dvc, root)
        data = [f"data/{path.name}" for path in sorted((root / "data").iterdir())]
        repository._run("init", "--no-scm", "--quiet")
        repository._run("config", "core.check_update", "false")
        repository._run("add", "--quiet", *data)
        inputs = [word for path in (*data, "brewslm.yaml") for word in ("-d", path)]
        repository._run("stage", "add", "-q", "-n", "train", *inputs, "-o", "model", "true")
        repository._run("commit", "--force", "--quiet")
        return repository

    def status(self) -> Run:
        """Ask what changed."""
        return self._run("status")

    def _run(self, *words: str) -> Run:
        return run((str(self.dvc), *words), self.root, _VARIABLES)
