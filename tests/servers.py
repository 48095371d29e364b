"""Servers for tests: each a process of its own, in a folder of its own, gone with the tests."""

import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_USER = "nobody"


def postgresql_binaries() -> Path | None:
    """Return the folder of the newest PostgreSQL server installed here."""
    beside = shutil.which("initdb")
    if beside is not None:
        return Path(beside).resolve().parent
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((path.parent for path in found), key=_version, default=None)


@contextmanager
def postgresql_server(binaries: Path) -> Iterator[Path]:
    """Run a server and lend the folder of its socket; its owner is the user `brewslm`."""
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            shutil.chown(folder, _USER)
        _as_user(
            binaries / "initdb", "-D", folder / "data", "-A", "trust", "-U", "brewslm", "--no-sync"
        )
        control = (binaries / "pg_ctl", "-D", folder / "data", "-w")
        _as_user(*control, "-l", folder / "log", "-o", f"-k {folder} -h '' -F", "start")
        try:
            yield folder
        finally:
            _as_user(*control, "-m", "immediate", "stop")


@contextmanager
def object_server() -> Iterator[str]:
    """Run an S3 with one bucket named `brewslm` and lend its address."""
    program = Path(__file__).with_name("object_server.py")
    child = subprocess.Popen(
        [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout is not None
        address = f"http://127.0.0.1:{int(child.stdout.readline())}"
        ask(f"{address}/brewslm", "PUT")
        yield address


def ask(address: str, method: str) -> None:
    """Send a request without a body to a server of the tests."""
    request = urllib.request.Request(address, method=method)  # noqa: S310  on loopback
    with urllib.request.urlopen(request) as answer:  # noqa: S310  on loopback
        assert answer.status == 200


def _as_user(*command: str | Path) -> None:
    """Run a command as somebody whom a server accepts as its owner."""
    is_root = os.geteuid() == 0
    prefix = ["setpriv", f"--reuid={_USER}", "--regid=nogroup", "--clear-groups"] if is_root else []
    done = subprocess.run(
        [*prefix, *map(str, command)],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in folder.parent.name.split(".") if part.isdecimal())
