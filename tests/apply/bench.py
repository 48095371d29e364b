"""A whole project in a folder, with everything real but the model: state, artifacts, data, plan,
executor, scoring and gates.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from brewslm.address import Address
from brewslm.apply.clock import Clock, SystemClock
from brewslm.apply.desk import Desk
from brewslm.apply.executor import ApplyFacts, apply_plan
from brewslm.apply.interruption import Stop
from brewslm.apply.outcome import Outcome
from brewslm.apply.scripted import ScriptedWorker
from brewslm.apply.worker import Message
from brewslm.artifacts.store import ArtifactStore
from brewslm.cli.session import Session
from brewslm.contracts import Job, Result
from brewslm.engine import score
from brewslm.events import Event
from brewslm.fingerprint import digest_bytes, digest_value
from brewslm.manifest.host import HostFacts
from brewslm.manifest.load import load_manifest
from brewslm.plan.build import Built, PlanOptions, build
from brewslm.plan.digest_cache import DigestCache
from brewslm.plan.placed import MODELS, short_name
from brewslm.state.empty import EmptyState
from brewslm.state.lease import LIFETIME_S, wanted_lease
from brewslm.state.records import DeploymentRecord, ResourceRecord
from brewslm.state.store import StateSession, StateStore

TOKENS_A_S, SETUP_S = 500.0, 2.0
"""How fast the scripted worker says that it trains, and what it needs beside."""
ANSWER_S, EXPORT_S = 0.25, 3.0
"""Seconds that it says an answer and an export take."""
_NOUNS = ("lamp", "chair", "table", "sofa", "shelf", "stool")
_FAULTS = {"late": "came late", "torn": "is torn", "lost": "was lost"}

MANIFEST = """\
api_version: brewslm/v1
kind: Project
metadata: {name: parcels, description: sorts complaints}
spec:
  model: {base_model: builtin:nano}
  data_sources:
    - {name: rows, type: raw, file_path: data/rows.jsonl}
    - {name: gold, type: gold_test, file_path: data/gold.jsonl}
  dataset: {leak_check: {near: null, ngram: 0}}
  training_plan:
    config:
      learning_rate: 2.0e-3
      num_epochs: 2
      max_seq_length: 256
      dtype: float32
      optimizer: adamw_torch
  eval_pack:
    gates:
      - {gate_id: right, metric_id: accuracy, threshold: 0.8, operator: gte}
  export: {formats: [adapter, safetensors]}
  deployment: {target_profile_id: cpu_local}
"""


class NoReport:
    """A reporter that nobody listens to."""

    def progress(self, *_: Any) -> None:
        """Take it and say nothing."""

    def log(self, text: str) -> None:
        """Take it and say nothing."""

    def checkpoint(self, step: int, path: str, superseded: Any = ()) -> None:
        """Take it and say nothing."""

    def warn(self, reason_code: str, text: str, facts: Any) -> None:
        """Take it and say nothing."""

    def is_stop_requested(self) -> bool:
        """Nobody asks."""
        return False


@dataclass
class Bench:
    """The project and the doubles around it."""

    root: Path
    skill: Callable[[int], bool] = lambda _index: True
    """Whether the candidate gets the row of this index right."""
    speech: Callable[[int, str], tuple[str, str]] | None = None
    """In place of `skill`: what the candidate answers, given the index and the right answer, and
    how the answer ends.
    """
    deaths: dict[int, str] = field(default_factory=dict)
    clock: Clock = field(default_factory=SystemClock)
    leaves_checkpoint: bool = False
    """Whether a job that dies keeps a checkpoint before."""
    messages: dict[int, list[Message]] = field(default_factory=dict)
    """What a job of this index sends before it ends."""
    jobs: list[Job] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    hear: Callable[[Event], object] = lambda _event: None
    """Told of every event at the moment it happens."""

    @classmethod
    def make(cls, root: Path) -> Self:
        """Write manifest and data into an empty folder."""
        (root / "data").mkdir(parents=True)
        (root / "brewslm.yaml").write_text(MANIFEST)
        bench = cls(root)
        bench.write_rows("rows", range(60))
        bench.write_rows("gold", range(100, 130))
        return bench

    @property
    def home(self) -> Path:
        """The folder of state and artifacts."""
        return self.root / ".brewslm"

    def write_rows(self, name: str, numbers: Any) -> None:
        """Write rows that differ in their numbers."""
        lines = [json.dumps(row(number)) for number in numbers]
        (self.root / "data" / f"{name}.jsonl").write_text("\n".join(lines) + "\n")

    def edit(self, before: str, after: str) -> None:
        """Replace a text of the manifest, which has to be there."""
        path = self.root / "brewslm.yaml"
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))

    def store(self) -> StateStore:
        """Return the state store that the manifest names."""
        return Session(self.root).store()

    def artifacts(self) -> ArtifactStore:
        """Return the artifact store that the manifest names."""
        return Session(self.root).artifacts()

    def records(self) -> dict[str, ResourceRecord]:
        """Return what the state remembers."""
        reader = self.store().read()
        try:
            return reader.resources()
        finally:
            reader.close()

    def deployments(self) -> list[DeploymentRecord]:
        """Return every promotion that the state remembers, the newest first."""
        reader = self.store().read()
        try:
            return reader.deployments()
        finally:
            reader.close()

    def built(self, **wanted: Any) -> Built:
        """Plan the project; wanted: plan options that differ from those of a plain plan."""
        manifest = load_manifest(self.root, host=HostFacts())
        cache = self.home / "cache"
        cache.mkdir(parents=True, exist_ok=True)
        digests = DigestCache(time.time_ns(), trusts_stat=wanted.get("refresh") != "full")
        options = PlanOptions(
            scratch=cache, digests=wanted.pop("digests", digests), home=self.home, **wanted
        )
        store = self.store()
        if not store.exists():
            return build(manifest, EmptyState(), self.artifacts(), options)
        reader = store.read()
        try:
            return build(manifest, reader, self.artifacts(), options)
        finally:
            reader.close()

    @contextmanager
    def lease(self) -> Iterator[StateSession]:
        """Lend a session under a lease."""
        clock = self.clock
        wanted = wanted_lease("ana@desk", "apply", clock.now(), clock.after(LIFETIME_S), {})
        session = self.store().acquire(wanted, clock.now())
        try:
            yield session
        finally:
            session.release()

    def apply(
        self,
        built: Built | None = None,
        stop: Stop | None = None,
        *,
        is_fail_fast: bool = False,
    ) -> Outcome:
        """Carry out a plan; `jobs` and `events` hold those of this call."""
        built = built or self.built()
        store = self.store()
        if not store.exists():
            store.create("0aa2b4c6-0000-4000-8000-000000000001")
        clock = self.clock
        worker = ScriptedWorker(
            self.answer,
            self.deaths,
            leaves_checkpoint=self.leaves_checkpoint,
            messages=self.messages,
        )
        self.events = []
        wanted = wanted_lease("ana@desk", "apply", clock.now(), clock.after(LIFETIME_S), {})
        session = store.acquire(wanted, clock.now())
        desk = Desk(
            root=self.root,
            home=self.home,
            artifacts=self.artifacts(),
            worker=worker,
            tell=self._tell,
            clock=clock,
            stop=stop or Stop(),
            specs=built.specs,
            outputs={},
            values={},
            base_folder=built.base.folder if built.base else None,
            prepare=lambda: built.prepared_folder or Path(),
        )
        try:
            facts = ApplyFacts("a1", "ana@desk", "", is_fail_fast=is_fail_fast)
            return apply_plan(built.plan, desk, session, facts)
        finally:
            session.release()
            self.jobs = worker.jobs

    def _tell(self, event: Event) -> None:
        self.events.append(event)
        self.hear(event)

    def doors(self) -> list[str]:
        """Return the doors that the last apply opened, roles and formats included."""
        return [_door_name(job) for job in self.jobs]

    def promoted(self) -> str | None:
        """Return what the promoted link names."""
        link = self.home / "promoted" / "champion"
        return link.readlink().name if link.is_symlink() else None

    def answer(self, job: Job, folder: Path) -> Result:
        """Do a job as a worker of this project would."""
        if job.door.startswith("brewslm.engine.run"):
            return _train(job, folder)
        if job.door.startswith("brewslm.engine.generate"):
            return self._generate(job, folder)
        if job.door.startswith("brewslm.engine.score"):
            return score.run(job, NoReport())
        return _export(job, folder)

    def _generate(self, job: Job, folder: Path) -> Result:
        role = job.options["role"]
        outputs = {}
        for name in job.options["sets"]:
            rows = sorted(_rows_of(job, name), key=_row_id)
            lines = [self._prediction(role, index, item) for index, item in enumerate(rows)]
            output = f"predictions.{role}.{name}"
            (folder / f"{output}.jsonl").write_text("".join(f"{json.dumps(x)}\n" for x in lines))
            outputs[output] = f"{output}.jsonl"
        answered = sum(len(_rows_of(job, name)) for name in job.options["sets"])
        values = {"tokens_per_s": 100.0, "rows": answered}
        return Result(outputs=outputs, values=values, work_s=answered * ANSWER_S)

    def _prediction(self, role: str, index: int, item: dict[str, Any]) -> dict[str, Any]:
        right = str(item["reference"]["label"])
        is_right = role != "baseline" and self.skill(index)
        output, finish = (right if is_right else "no idea"), "stop"
        if role != "baseline" and self.speech is not None:
            output, finish = self.speech(index, right)
        return {
            "row_id": item["row_id"],
            "role": role,
            "epoch": 0,
            "prompt_digest": "sha256:0",
            "prompt_tokens": 12,
            "output": output,
            "new_tokens": 3,
            "finish": finish,
            "nll_sum": 1.0,
            "nll_tokens": 3,
            "error_code": None,
            "attempts": 1,
        }


def _door_name(job: Job) -> str:
    match job.door.removeprefix("brewslm.engine.").removesuffix(":run"):
        case "run":
            return "train"
        case "export":
            return f"formats.{job.spec['format']}"
        case name:
            return f"{name} {job.options['role']}" if "role" in job.options else name


def row(number: int) -> dict[str, str]:
    """Return one row, made from its number."""
    label = sorted(_FAULTS)[number % 3]
    noun = _NOUNS[number // 3 % len(_NOUNS)]
    return {"text": f"the {noun} of order {number} {_FAULTS[label]}", "label": label}


def digest_of_model(text: str) -> str:
    """Return the digest of a model that is one small file."""
    entry = {"digest": digest_bytes(text.encode()), "size_bytes": len(text)}
    return digest_value({"content": entry})


def model_in(home: Path, text: str) -> str:
    """Lay out such a model as apply does and return its digest."""
    digest = digest_of_model(text)
    folder = home / MODELS / short_name(digest)
    folder.mkdir(parents=True)
    (folder / "content").write_text(text)
    return digest


def _row_id(item: dict[str, Any]) -> str:
    return str(item["row_id"])


def _train(job: Job, folder: Path) -> Result:
    identity = digest_value({"spec": job.spec["config"], "prepared": _listing(job)})
    for name in ("lora_adapter", "run"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "content").write_text(f"{name} {identity}")
    _write_run(job, folder / "run")
    tokens = len(_listing(job).splitlines()) * 100
    values = {
        "steps": 10,
        "train_loss": 0.5,
        "wall_s": 1.0,
        "peak_bytes": 1 << 20,
        "seen_tokens": tokens,
        "tokens_per_s": TOKENS_A_S,
    }
    outputs = {"lora_adapter": "lora_adapter", "run": "run"}
    return Result(outputs=outputs, values=values, work_s=SETUP_S + tokens / TOKENS_A_S)


def _write_run(job: Job, run: Path) -> None:
    """Write the curve and the origins of settings as a real run does."""
    points = ["step,epoch,loss,eval_loss,learning_rate"]
    points += [f"{step},0.1,{2 / step},{'' if step % 5 else 3 / step},0.00{step}"
               for step in range(1, 11)]  # fmt: skip
    (run / "train_log.csv").write_text("\n".join(points) + "\n")
    resolved = {"origins": job.options.get("origins", {})}
    (run / "config.resolved.json").write_text(json.dumps(resolved))


def _export(job: Job, folder: Path) -> Result:
    (folder / "files").mkdir()
    content = (Path(job.inputs["lora_adapter"]) / "content").read_text()
    (folder / "files" / "model").write_text(f"{job.address} {content}")
    return Result(outputs={"files": "files"}, values={"mean_kl": 0.0}, work_s=EXPORT_S)


def _rows_of(job: Job, name: str) -> list[dict[str, Any]]:
    path = Path(job.inputs["prepared"]) / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def _listing(job: Job) -> str:
    return (Path(job.inputs["prepared"]) / "train.jsonl").read_text()


DEPLOYMENT = Address("deployment")
