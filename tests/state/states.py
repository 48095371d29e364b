"""Records and leases to fill a state with, and processes that open one."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from brewslm.contracts import Output
from brewslm.state.lease import wanted_lease
from brewslm.state.records import (
    DeploymentRecord,
    LeaseRecord,
    OperationRecord,
    OperationStatus,
    ResourceRecord,
    RevisionRecord,
    RunEvent,
)

LINEAGE = "0b9f7c1e-5a0e-4b52-8d61-3f0f4f3c2a11"
NOW = "2026-03-01T10:00:00Z"
SOON = "2026-03-01T10:00:20Z"
EXPIRY = "2026-03-01T10:01:00Z"
AFTER_EXPIRY = "2026-03-01T10:01:00Z"
DIGEST = "sha256:" + "0" * 64


def lease(**changes: Any) -> LeaseRecord:
    """A lease of this process, as a command would ask for it; expiry is told by the wall clock."""
    facts = {"host": "build-3", "git_commit": "3f9a2c1d", "run_url": ""}
    asked = wanted_lease("mira@build-3", "apply", NOW, EXPIRY, facts)
    return replace(asked, **({"renewed_boot_s": 0.0} | changes))


def dead_lease() -> LeaseRecord:
    """A lease of a process that ran here and is gone."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19]
    child.communicate()
    return lease(pid=child.pid, pid_started=started)


def operation(operation_id: str = "op-1", **changes: Any) -> OperationRecord:
    begun = OperationRecord(
        operation_id=operation_id,
        apply_id="apply-1",
        address="training_plan",
        kind="training_plan",
        operation="create",
        fingerprint=DIGEST,
        fence=1,
        folder=f"runs/{operation_id}",
        begun_at=NOW,
    )
    return replace(begun, **changes)


def ended(begun: OperationRecord) -> OperationRecord:
    return replace(begun, status=OperationStatus.ENDED, ended_at=SOON)


def resource(address: str = "training_plan", **changes: Any) -> ResourceRecord:
    record = ResourceRecord(
        address=address,
        kind="training_plan",
        spec_version=1,
        spec={"learning_rate": 0.0002, "note": "zürich"},
        facts={"kind": "training_plan", "inputs": ["a", "b"]},
        fingerprint=DIGEST,
        outputs={"lora_adapter": Output(DIGEST, 42, is_folder=True)},
        values={"loss": 1.5},
    )
    return replace(record, **changes)


def revision() -> RevisionRecord:
    return RevisionRecord(
        revision=0,
        serial=0,
        manifest_digest=DIGEST,
        git_commit="3f9a2c1d",
        actor="mira",
        plan_digest=DIGEST,
        finished_at=SOON,
        actions=({"address": "training_plan", "operation": "create"},),
    )


def deployment(alias: str = "production", digest: str = DIGEST) -> DeploymentRecord:
    return DeploymentRecord(
        alias=alias,
        sequence=0,
        digest=digest,
        base_digest=DIGEST,
        fingerprint=DIGEST,
        evidence_digest=DIGEST,
        revision=1,
        promoted_at=SOON,
    )


def run_event(**changes: Any) -> RunEvent:
    event = RunEvent(
        sequence=0,
        event_id="event-1",
        run_id="run-1",
        stage="training",
        severity="info",
        reason_code="",
        actor="mira",
        summary="training began",
        payload={"steps": 3},
        at=NOW,
    )
    return replace(event, **changes)


def start(program: str, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Run a program in a process of its own; its standard streams are pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        **options,
    )


def kill_when_ready(child: subprocess.Popen[str]) -> None:
    """Wait for the first line of a child, then end it as a power cut would."""
    assert child.stdout is not None
    line = child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    _, errors = child.communicate()
    assert line == "ready\n", errors
    assert child.returncode == -signal.SIGKILL
