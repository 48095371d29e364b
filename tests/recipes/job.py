"""A job that runs the scripts of the actions: its files, its environment, its outputs."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.recipes.forge import REPOSITORY, TOKEN, Forge

SCRIPTS = Path(__file__).parents[2] / ".github" / "actions" / "scripts"
_LONG = re.compile(r"^([a-z-]+)<<(\S+)\n(.*?)\n\2$", re.MULTILINE | re.DOTALL)
_SHORT = re.compile(r"^([a-z]+)=(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Done:
    """How a step ended."""

    code: int
    log: str
    outputs: dict[str, str]


@dataclass(frozen=True)
class Job:
    """A folder with what the runner gives to a step."""

    folder: Path
    environment: dict[str, str]

    @classmethod
    def make(cls, folder: Path, forge: Forge | None = None, **event: Any) -> "Job":
        """Return a job for an event; a forge is spoken to with the job's token."""
        folder.mkdir(parents=True)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "RUNNER_TEMP": str(folder),
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_RUN_ID": "4711",
            "GITHUB_EVENT_PATH": str(folder / "event.json"),
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        }
        if forge is not None:
            environment |= {"GITHUB_API_URL": forge.url, "GH_TOKEN": TOKEN}
        (folder / "event.json").write_text(json.dumps(event))
        return cls(folder, environment)

    @property
    def summary(self) -> str:
        """What the job's page shows."""
        path = self.folder / "summary.md"
        return path.read_text("utf-8") if path.exists() else ""

    def run(self, script: str, *arguments: str | Path, **environment: str) -> Done:
        """Run a script of the actions."""
        program = [SCRIPTS / script]
        if script.endswith(".py"):
            program = [Path(sys.executable), Path("-E"), Path("-s"), *program]
        return self._done([*program, *arguments], self.folder, environment)

    def shell(self, line: str, environment: Mapping[str, str], folder: Path | None = None) -> Done:
        """Run the words of a step in the shell of a runner; folder: that of the job by default."""
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", line]
        return self._done(shell, folder or self.folder, environment)

    def _done(
        self, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str]
    ) -> Done:
        (self.folder / "output").write_text("")
        done = subprocess.run(
            command,
            cwd=folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        written = (self.folder / "output").read_text("utf-8")
        outputs = {name: value for name, _, value in _LONG.findall(written)}
        outputs |= dict(_SHORT.findall(written))
        return Done(done.returncode, done.stdout + done.stderr, outputs)
