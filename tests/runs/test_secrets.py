"""A whole run beside secrets: no child is handed one, and nothing that is left behind holds one."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.canaries import NAMES, PASSWORD, TOKEN, found_in, kept_below, open_below
from tests.runs.calls import begun, called, copied

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="children are watched in /proc"),
]

_PROC = Path("/proc")
_CREDENTIALS = {
    "AWS_SECRET_ACCESS_KEY": TOKEN,
    "HF_TOKEN": TOKEN,
    "PGPASSWORD": PASSWORD,
    **NAMES,
}


@dataclass
class Watched:
    """What the children of a run were started with."""

    arguments: dict[str, bytes] = field(default_factory=dict)
    environments: dict[str, bytes] = field(default_factory=dict)

    def look(self, parent: int) -> None:
        """Note the arguments of a process and all below it, and the environments below it."""
        for pid in (parent, *_below(parent)):
            try:
                arguments = (_PROC / f"{pid}/cmdline").read_bytes()
                environment = (_PROC / f"{pid}/environ").read_bytes()
            except OSError:
                continue
            if not arguments:  # it has ended, and nobody has asked how
                continue
            self.arguments[f"arguments of {pid}"] = arguments
            if pid != parent:
                self.environments[f"environment of {pid}"] = environment

    def follow(self, process: "subprocess.Popen[str]", until: Path | None = None) -> None:
        """Watch a run until it ends, or until a file below its folder is there."""
        while process.poll() is None:
            self.look(process.pid)
            if until is not None and list(until.glob(".brewslm/runs/*/checkpoints/*/watch.json")):
                return
            time.sleep(0.02)


def _below(parent: int) -> list[int]:
    """Return the processes that a process started, and those that these started."""
    try:
        threads = list((_PROC / f"{parent}/task").iterdir())
        children = [pid for item in threads for pid in (item / "children").read_text().split()]
    except OSError:
        return []
    return [pid for child in map(int, children) for pid in (child, *_below(child))]


@pytest.mark.case("SEC-01", "SEC-04", "SEC-06")
@pytest.mark.usefixtures("no_umask")
def test_run_that_is_interrupted_and_finished_holds_no_secret_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copied("support-triage", tmp_path)
    for name, value in _CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    for name in ("TMPDIR", "HOME", "BREWSLM_RESCUE_DIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    watched, said = Watched(), {}
    words = ("--debug", "apply", "--auto-approve")

    process = begun(project, *words)
    watched.follow(process, until=project)
    process.send_signal(signal.SIGINT)
    said["interrupted"] = "".join(process.communicate()).encode()
    assert process.returncode == 130
    assert any((project / ".brewslm" / "runs").glob("*/checkpoints/*"))
    assert found_in(kept_below(tmp_path)) == []

    process = begun(project, *words, "--json-into", str(tmp_path / "run.jsonl"))
    watched.follow(process)
    said["finished"] = "".join(process.communicate()).encode()
    assert process.returncode == 0, said["finished"].decode()
    for line in ("plan --json", "state pull", "show eval_pack --json", "events --json"):
        said[line] = called(project, *line.split()).stdout.encode()
    assert json.loads(said["state pull"])["deployments"]
    assert open_below(project / ".brewslm") == [".gitignore"], "of what libraries wrote, too"

    workers = [item for item in watched.arguments.values() if b"brewslm.engine.worker" in item]
    assert len(workers) >= 2, "one of each run"
    assert found_in(said | watched.arguments | watched.environments | kept_below(tmp_path)) == []
    handed = b"\0".join(watched.environments.values()).split(b"\0")
    assert {item.partition(b"=")[0].decode() for item in handed}.isdisjoint(_CREDENTIALS)
