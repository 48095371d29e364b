"""Whole processes, measured from outside: wall seconds and the memory that they needed at most."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BREWSLM = (sys.executable, "-m", "brewslm")


class Run(NamedTuple):
    """A process that ended."""

    wall_s: float
    peak_bytes: int
    """Resident memory of the process or of one of its children, whichever needed more."""
    exit_code: int
    output: str


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    what: str
    measured: str
    beside: str = ""
    """What it is compared with, in the same run."""
    ratio: float | None = None
    target: str = ""


class UnexpectedExitError(RuntimeError):
    """A measured command did not do what it was there for."""


def run(command: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None) -> Run:
    """Run a command to its end and measure it.

    Raises: UnexpectedExitError unless it exits with 0.
    """
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    environment = {**os.environ, "PYTHONPATH": paths, **(variables or {})}
    with tempfile.TemporaryFile() as output:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode != 0:
        shown = " ".join(command)
        raise UnexpectedExitError(f"{shown} exited with {process.returncode}:\n{text[-2000:]}")
    return Run(wall_s, usage.ru_maxrss * 1024, process.returncode, text)


def medians(cases: Mapping[str, Callable[[], Run]], repeats: int) -> dict[str, float]:
    """Return the median wall seconds of each case; the cases take turns, after one warm-up each."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for repeat in range(repeats + 1):
        for name, case in cases.items():
            wall_s = case().wall_s
            if repeat:
                times[name].append(wall_s)
    return {name: statistics.median(own) for name, own in times.items()}


def brewslm(root: Path, *words: str) -> Run:
    """Run a command of brewslm in a project."""
    return run((*BREWSLM, "--chdir", str(root), *words), root, {"OMP_WAIT_POLICY": "PASSIVE"})


def plan_without_changes(root: Path) -> Run:
    """Plan a project in which nothing is to be done.

    Raises: UnexpectedExitError where the plan says otherwise.
    """
    found = brewslm(root, "plan", "--detailed-exitcode")
    if "No changes." not in found.output:
        raise UnexpectedExitError(f"the plan has changes:\n{found.output[-2000:]}")
    return found


def seconds(value: float) -> str:
    """Return seconds as the table shows them."""
    return f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


def mebibytes(value: int) -> str:
    """Return bytes as the table shows them."""
    return f"{value / (1 << 20):.0f} MiB"
