"""What the handlers of actions share: the tools of one apply, and what an action yields."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brewslm.address import Address
from brewslm.apply.clock import Clock
from brewslm.apply.interruption import Stop
from brewslm.apply.worker import Message, Worker
from brewslm.apply.yielded import check_outputs
from brewslm.artifacts.store import ArtifactStore, Produced
from brewslm.contracts import Job, Output, Result, Spec
from brewslm.events import ActionLogEvent, ActionProgressEvent, Listener
from brewslm.files import make_private_folder
from brewslm.plan.digest_cache import DigestCache
from brewslm.state.records import DeploymentRecord, Status

_TEXT_CHARS = 4096
_UNITS = {"rows", "steps", "examples", "bytes"}


@dataclass(frozen=True)
class Place:
    """Where a project keeps what it made."""

    home: Path
    """Its .brewslm folder."""
    artifacts: ArtifactStore


@dataclass(frozen=True)
class Done:
    """What carrying out an action yielded.

    `deployment` is set when a promoted pointer moves with the action's End. `is_blocked` says that
    a required gate did not pass, so that whatever waits for the verdict is left alone.
    """

    outputs: dict[str, Output] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)
    status: Status = Status.CURRENT
    reason: str = ""
    is_reused: bool = False
    deployment: DeploymentRecord | None = None
    actual: dict[str, Any] = field(default_factory=dict)

    @property
    def is_blocked(self) -> bool:
        """Whether a required gate did not pass."""
        return self.status is Status.QUARANTINED


@dataclass(frozen=True)
class Running:
    """An action that has begun: its journal entry, its folder, and where checkpoints are
    recorded.
    """

    operation_id: str
    folder: Path
    """Absolute; only this action uses it."""
    fingerprint: str
    facts: dict[str, Any]
    on_checkpoint: Callable[[int, str, Collection[str]], None]
    """Called with the step and the checkpoint's path below `folder` once it is durable, and with
    the paths of older ones that are not needed once it is recorded.
    """
    on_warning: Callable[[str, str, dict[str, Any]], None]
    """Called with reason code, text and facts of trouble that the work goes on after."""


@dataclass(frozen=True)
class Desk:
    """The tools of one apply."""

    root: Path
    """The project folder."""
    home: Path
    """Its .brewslm folder."""
    artifacts: ArtifactStore
    worker: Worker
    tell: Listener
    clock: Clock
    stop: Stop
    specs: Mapping[Address, Spec]
    """Effective specs of all resources of the plan."""
    outputs: dict[Address, dict[str, Output]]
    """Outputs known so far, by resource; grows while the plan is walked."""
    values: dict[Address, dict[str, Any]]
    """Small results known so far, by resource."""
    base_folder: Path | None
    """Where the base model's files lie."""
    prepare: Callable[[], Path]
    """Returns the folder of prepared rows, made anew where the cache does not hold it."""
    base_digests: DigestCache = field(default_factory=lambda: DigestCache(time.time_ns()))
    """Digests of the base model's files that this apply read itself."""
    rescue_folders: Sequence[Path] = ()
    """Where the record of finished work goes that the state cannot take, the first one first."""
    redact: Callable[[str], str] = str
    """Returns a text without the values of secrets."""

    def output(self, address: Address, name: str) -> Output:
        """Return a known output of a resource.

        Raises: KeyError when it has not been yielded.
        """
        return self.outputs[address][name]

    def input_folder(self, running: Running, name: str, output: Output) -> Path:
        """Lay a kept folder or file below the action's folder for a job to read, once."""
        target = make_private_folder(running.folder / "inputs") / name
        return target if target.exists() else self.artifacts.materialise(output, target)

    def warn(self, address: str, text: str) -> None:
        """Tell of trouble that the work goes on after."""
        self.tell(
            ActionLogEvent(
                level="warning",
                address=address,
                stream="library",
                text=text,
                message=f"{address}: {text}",
            )
        )

    def run_job(
        self, job: Job, running: Running, wanted: Collection[str], phase: str = ""
    ) -> Result:
        """Give a job to the worker and tell about its progress.

        wanted: names of the outputs that it has to yield. Raises: WorkerError.
        """
        started_s = self.clock.steady_s()

        def on_message(message: Message) -> None:
            match message["type"]:
                case "progress":
                    elapsed_s = self.clock.steady_s() - started_s
                    self.tell(_progress(job.address, message, elapsed_s, phase))
                case "checkpoint":
                    superseded = [str(item) for item in message.get("superseded") or ()]
                    step, path = int(message["step"]), str(message["path"])
                    running.on_checkpoint(step, path, superseded)
                case "warning":
                    code, text = str(message["reason_code"]), str(message["text"])[:_TEXT_CHARS]
                    running.on_warning(code, text, dict(message.get("facts") or {}))
                case "log":
                    text = str(message.get("text", ""))[:_TEXT_CHARS]
                    self.tell(ActionLogEvent(address=job.address, stream="library", text=text))

        result = self.worker.run(job, on_message, self.stop)
        check_outputs(result, Path(job.folder), wanted)
        return result

    def keep(self, running: Running, result: Result, kind: str) -> dict[str, Output]:
        """Put a job's outputs into the artifact store and remember what produced them."""
        outputs = {
            name: self._kept(running.folder / path) for name, path in sorted(result.outputs.items())
        }
        self.remember(running, kind, outputs, result.values)
        return outputs

    def remember(
        self, running: Running, kind: str, outputs: dict[str, Output], values: dict[str, Any]
    ) -> None:
        """Record which outputs the action's fingerprint produced."""
        self.artifacts.record_produced(
            Produced(running.fingerprint, kind, running.facts, outputs, values)
        )

    def _kept(self, path: Path) -> Output:
        return self.artifacts.put_folder(path) if path.is_dir() else self.artifacts.put_file(path)


def _progress(address: str, message: Message, elapsed_s: float, phase: str) -> ActionProgressEvent:
    done, total = int(message.get("done", 0)), message.get("total")
    unit = message.get("unit")
    return ActionProgressEvent(
        address=address,
        unit=unit if unit in _UNITS else "steps",
        phase=str(message.get("phase") or phase),
        done=done,
        total=total,
        elapsed_s=round(elapsed_s, 1),
        eta_s=round(elapsed_s / done * (total - done), 1) if done and total else None,
        metrics=message.get("metrics") or {},
    )
