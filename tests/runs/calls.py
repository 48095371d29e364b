"""Calling the program as people do: in a process of its own, on a copy of an example."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def copied(name: str, into: Path) -> Path:
    """Copy an example without anything that was applied there before."""
    target = into / name
    shutil.copytree(EXAMPLES / name, target, ignore=shutil.ignore_patterns(".brewslm"))
    return target


def command(project: Path, *arguments: str) -> list[str]:
    """Return the command line of a call."""
    return [sys.executable, "-m", "brewslm", "--chdir", str(project), *arguments]


def environment() -> dict[str, str]:
    """Return the environment of a call: this checkout, no colour."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


def called(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the program and wait for it."""
    return subprocess.run(
        command(project, *arguments), capture_output=True, text=True, env=environment()
    )


def begun(project: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Call the program in a process group of its own and do not wait."""
    return subprocess.Popen(
        command(project, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )


def settled(plan: str) -> str:
    """Return a plan's text without what differs from machine to machine: digests, commit, prices
    and notes about this host.
    """
    text = re.sub(r"sha256:[0-9a-f]+", "sha256:…", plan)
    text = re.sub(r"^(Plan for \S+).*$", r"\1", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*price .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^Price: .*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^\s*\d+ notes? hidden.*\n", "", text, flags=re.MULTILINE)
