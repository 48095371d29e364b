"""Calls of the program as forked processes that may be killed, stopped or met by a failing disk."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ending:
    """How a call ended: exit code, or minus the signal, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Everything that it printed."""
        return self.out + self.err

    def is_clean(self) -> bool:
        """Return whether no traceback and no internal error was printed."""
        return "Traceback" not in self.said and "internal error" not in self.said


@dataclass
class Call:
    """A call under way."""

    launcher: "Launcher"
    pid: int
    out: Path
    err: Path

    def ended(self) -> Ending:
        """Wait for the end."""
        code = self.launcher.ask({"await": self.pid})
        return Ending(code, self.out.read_text(), self.err.read_text())

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)


class Launcher:
    """A process that has loaded the program and forks a child for each call."""

    def __init__(self) -> None:
        """Start it and wait until everything is loaded."""
        self._calls = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.launcher"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            env={
                **os.environ,
                "PYTHONPATH": str(_ROOT),
                "NO_COLOR": "1",
                "OMP_NUM_THREADS": "1",
                "TOKENIZERS_PARALLELISM": "false",
            },
        )
        self._line()

    def __enter__(self) -> Self:
        """Return the launcher."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """End it."""
        self._process.communicate()

    def begin(self, project: Path, *arguments: str, **wanted: Any) -> Call:
        """Begin a call; wanted: trouble, user, environment, wait_s and lifetime_s of the child."""
        self._calls += 1
        name = f"{project.name}.{self._calls}"
        out, err = project.parent / f"{name}.out", project.parent / f"{name}.err"
        request = {"project": str(project), "arguments": arguments, "out": str(out)}
        pid = self.ask({**request, "err": str(err), **wanted})
        return Call(self, pid, out, err)

    def call(self, project: Path, *arguments: str, **wanted: Any) -> Ending:
        """Make a call and wait for its end."""
        return self.begin(project, *arguments, **wanted).ended()

    def apply(self, project: Path, **wanted: Any) -> Ending:
        """Plan and apply in one call."""
        return self.call(project, "apply", "--auto-approve", **wanted)

    def ask(self, request: dict[str, Any]) -> int:
        """Send a request and return the number that is answered."""
        stream = self._process.stdin
        assert stream is not None
        stream.write(json.dumps(request) + "\n")
        stream.flush()
        return int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the launcher ended"
        return line
