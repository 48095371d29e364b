"""Processes that run what strangers wrote: with no secret, and no package but the parent's own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from brewslm.rows.confined_program import NO_LIBRARY

_PROGRAM = Path(__file__).with_name("confined_program.py")
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH")
_STALL_S = 120.0
"""Silence after which a process is ended that may not even use processor time."""
_END_S = 5.0
_TAIL_BYTES = 4096
_MOST_WORDS = 300


class EndedError(Exception):
    """A confined process ended instead of answering."""

    def __init__(self, status: int, last_words: str, *, is_stalled: bool) -> None:
        """status: as subprocess gives it; last_words: the last line that it wrote as an error."""
        super().__init__(status, last_words)
        self.status = status
        self._last_words = last_words
        self._is_stalled = is_stalled

    @property
    def is_over_cpu(self) -> bool:
        """Whether the process used up its processor time."""
        return self.status == -signal.SIGXCPU

    def __str__(self) -> str:
        """Say how it ended."""
        if self._is_stalled:
            return f"no answer within {_STALL_S:.0f} s"
        if self._last_words:
            return self._last_words
        if self.status < 0:
            return f"its process was ended by {signal.Signals(-self.status).name}"
        return f"exit status {self.status}"


class Confined:
    """A program that answers JSON lines with JSON lines, in a process of its own."""

    def __init__(self, module: str, libraries: Sequence[str]) -> None:
        """Start the program of a module, which may import this package and the libraries.

        Raises: ImportError where a library is not installed.
        """
        folders = dict.fromkeys(map(_folder_of, (module.partition(".")[0], *libraries)))
        self._errors = TemporaryFile()  # noqa: SIM115  closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_PROGRAM), module, *folders],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ}
            | {"TOKENIZERS_PARALLELISM": "false"},
        )

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def ask(self, request: bytes) -> Any:
        """Return the answer to a request, a JSON document without line breaks.

        Raises: EndedError, or ImportError where the process could not import a library; the process
        is closed after both.
        """
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise ValueError("a confined process has no pipes")
        line = b""
        is_stalled = False
        try:
            process.stdin.write(request + b"\n")
            process.stdin.flush()
            is_stalled = not wait([process.stdout.fileno()], _STALL_S)
            line = b"" if is_stalled else process.stdout.readline()
        except BrokenPipeError:
            pass
        if line.endswith(b"\n"):
            return json.loads(line)
        raise self._ending(is_stalled=is_stalled)

    def close(self) -> None:
        """End the process; doing so twice is harmless."""
        self._process.kill()
        self._process.communicate(timeout=_END_S)
        self._errors.close()

    def _ending(self, *, is_stalled: bool) -> EndedError | ImportError:
        if is_stalled:
            self._process.kill()
        status = self._process.wait()
        size_bytes = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size_bytes - _TAIL_BYTES))
        lines = self._errors.read().decode(errors="replace").splitlines()
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")[:_MOST_WORDS]
        self.close()
        if status == NO_LIBRARY:
            return ImportError(last)
        return EndedError(status, last, is_stalled=is_stalled)


def _folder_of(package: str) -> str:
    """Return the folder that holds the package that this process would import.

    Raises: ImportError.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ImportError(f"no package {package}", name=package)
    return str(Path(spec.origin).parents[1])
