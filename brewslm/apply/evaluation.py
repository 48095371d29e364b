"""Carry out an eval_pack: generate what is not there, score it, decide the gates, write the note.

Predictions, metrics and the verdict are reused one by one, each by its own fingerprint, so a new
threshold opens no door and a new candidate never makes the base model answer again.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brewslm.address import Address
from brewslm.apply.base import base_to_load
from brewslm.apply.desk import Desk, Done, Running
from brewslm.apply.yielded import check_answers
from brewslm.artifacts.store import Produced
from brewslm.contracts import Job, Kind, Output, spec_values
from brewslm.errors import ApplyError, ArtifactError
from brewslm.events import GateEvent
from brewslm.files import make_private_folder
from brewslm.fingerprint import canonical_json
from brewslm.plan.action import Action
from brewslm.plan.evaluation import Part, verdict_part
from brewslm.plan.evaluation_shape import EvaluationShape, shape_of
from brewslm.plan.judging import failing_gates
from brewslm.stages.training_config import loading_values
from brewslm.stages.training_plan import TrainingPlanSpec
from brewslm.state.records import Status
from brewslm.tasks.deciding import decide
from brewslm.tasks.note import decision_note, failure_clusters, note_text

_DATASET = Address("dataset")
_TRAINING = Address("training_plan")
_SCORE_DOOR = "brewslm.engine.score:run"
_CANDIDATE = "candidate"


def evaluate(desk: Desk, action: Action, kind: Kind, running: Running, looks: int) -> Done:
    """Evaluate base and candidate on the same rows and decide the gates.

    looks: how many candidates were judged on these rows, this one included. Raises: WorkerError,
    ArtifactError, ApplyError.
    """
    prepared = desk.input_folder(running, "prepared", desk.output(_DATASET, "prepared"))
    manifest = json.loads((prepared / "manifest.json").read_bytes())
    shape = shape_of(desk.specs, manifest, desk.outputs)
    if not shape.decisive:
        raise ApplyError(
            "there is no row to evaluate on",
            code="eval_dataset_missing",
            expected="a gold_test source, or a test share",
            remedy="add a data source of type gold_test, or raise dataset.split.test",
        )
    return _Evaluation(desk, action, kind, running, shape, prepared).run(looks)


def reused(produced: Produced, desk: Desk) -> Done:
    """Return an evaluation that was made before, its gates told again."""
    _tell_gates(desk, produced.values.get("gates", []))
    return _done(produced.outputs, produced.values, parts=produced.parts, is_reused=True, actual={})


def loading_of(desk: Desk) -> dict[str, Any]:
    """Return the values of the training config that say how the base model is loaded."""
    spec = desk.specs[_TRAINING]
    if not isinstance(spec, TrainingPlanSpec):
        raise TypeError("training_plan has another spec")
    return loading_values(spec.config)


class _Evaluation:
    """One evaluation, from predictions to the note."""

    def __init__(
        self,
        desk: Desk,
        action: Action,
        kind: Kind,
        running: Running,
        shape: EvaluationShape,
        prepared: Path,
    ) -> None:
        self._desk = desk
        self._action = action
        self._kind = kind
        self._running = running
        self._shape = shape
        self._prepared = prepared
        self._candidate = desk.output(_TRAINING, "lora_adapter")
        self._outputs: dict[str, Output] = {}
        self._parts: dict[str, Any] = {}
        self._speeds: dict[str, Any] = {}
        self._answered_rows = 0
        self._answering_s = 0.0
        self._scoring_s = 0.0

    def run(self, looks: int) -> Done:
        """Predictions, metrics, verdict, note."""
        predictions = self._predictions()
        metrics = self._metrics(predictions)
        document = json.loads(self._desk.artifacts.read_bytes(metrics.digest))
        verdict = self._verdict(metrics, document, looks)
        _tell_gates(self._desk, verdict["gates"])
        self._write_note(verdict, document)
        values = {
            "verdict": verdict["verdict"],
            "dataset": verdict["dataset"],
            "rows": verdict["rows"],
            "gates": verdict["gates"],
            "blocking": verdict["blocking"],
            "metrics": _summary(document, verdict["dataset"]),
            "generation": self._speeds,
            "contract_of_gates": {
                "gates": [gate.model_dump(mode="json") for gate in self._shape.gates],
                "policy": dict(self._shape.policy),
            },
        }
        produced = Produced(
            self._running.fingerprint,
            self._kind.name,
            self._running.facts,
            self._outputs,
            values,
            self._parts,
        )
        self._desk.artifacts.record_produced(produced)
        return _done(
            self._outputs, values, parts=self._parts, is_reused=False, actual=self._actual()
        )

    def _actual(self) -> dict[str, Any]:
        """Return what it took, as far as rows were answered: a later plan scales it."""
        if not self._answering_s:
            return {}
        return {
            "work_s": round(self._answering_s + self._scoring_s, 3),
            "rows": self._answered_rows,
            "rows_per_s": round(self._answered_rows / self._answering_s, 3),
        }

    def _predictions(self) -> dict[str, Output]:
        parts = self._shape.prediction_parts(self._candidate.digest)
        found: dict[str, Output] = {}
        missing: dict[str, dict[str, Part]] = {}
        for (role, name), part in parts.items():
            kept = self._kept(part)
            if kept is None:
                missing.setdefault(role, {})[name] = part
            else:
                found[part.name] = next(iter(kept.outputs.values()))
                self._speeds[role] = _speeds(kept.values)
        for role, wanted in missing.items():
            found |= self._generate(role, wanted)
        for part in parts.values():
            self._note_part(part, found[part.name])
        return found

    def _generate(self, role: str, wanted: Mapping[str, Part]) -> dict[str, Output]:
        folder = make_private_folder(self._running.folder / f"answers.{role}")
        base = base_to_load(self._desk, self._running)
        inputs = {"model": str(base), "prepared": str(self._prepared)}
        if role == _CANDIDATE:
            inputs["lora_adapter"] = str(self._lora("candidate", self._candidate))
        elif role == "promoted":
            inputs["lora_adapter"] = str(self._lora("promoted", self._promoted()))
        job = Job(
            job_id=f"{self._running.operation_id}.{role}",
            door=self._kind.door or "",
            address=self._action.address,
            spec=spec_values(self._desk.specs[self._action.parsed_address]),
            inputs=inputs,
            options={
                "role": role,
                "sets": sorted(wanted),
                "loading": loading_of(self._desk),
                "host": self._action.host,
            },
            folder=str(folder),
        )
        names = [part.name for part in wanted.values()]
        result = self._desk.run_job(job, self._running, names, phase=f"answering: {role}")
        for name, part in wanted.items():
            check_answers(folder / result.outputs[part.name], self._prepared / f"{name}.jsonl")
        self._answered_rows += int(result.values.get("rows") or 0)
        self._answering_s += result.work_s or 0.0
        self._speeds[role] = _speeds(result.values)
        made: dict[str, Output] = {}
        for part in wanted.values():
            output = self._desk.artifacts.put_file(folder / result.outputs[part.name])
            self._remember(part, "predictions", {part.name: output}, result.values)
            made[part.name] = output
        return made

    def _metrics(self, predictions: Mapping[str, Output]) -> Output:
        part = self._shape.metrics({name: item.digest for name, item in predictions.items()})
        kept = self._kept(part)
        outputs = kept.outputs if kept else self._score(part, predictions)
        self._outputs |= dict(outputs)
        self._note_part(part, outputs["metrics"])
        return outputs["metrics"]

    def _score(self, part: Part, predictions: Mapping[str, Output]) -> dict[str, Output]:
        folder = make_private_folder(self._running.folder / "scores")
        inputs = {"prepared": str(self._prepared)}
        for name, output in predictions.items():
            path = self._desk.input_folder(self._running, name, output)
            inputs[name] = str(path)
        job = Job(
            job_id=f"{self._running.operation_id}.score",
            door=_SCORE_DOOR,
            address=self._action.address,
            spec={},
            inputs=inputs,
            options={
                "profile": self._shape.profile,
                "contract": dict(self._shape.contract),
                "roles": list(self._shape.roles),
                "sets": {
                    name: list(names) if names else None for name, names in self._shape.sets.items()
                },
                "options": dict(self._shape.options),
                "reported": list(self._shape.reported),
            },
            folder=str(folder),
        )
        scores = [
            f"scores.{role}.{name}" for role in self._shape.roles for name in self._shape.sets
        ]
        result = self._desk.run_job(job, self._running, ["metrics", *scores], phase="scoring")
        self._scoring_s += result.work_s or 0.0
        outputs = {
            name: self._desk.artifacts.put_file(folder / path)
            for name, path in sorted(result.outputs.items())
        }
        self._remember(part, "metrics", outputs, result.values)
        return outputs

    def _verdict(self, metrics: Output, document: Mapping[str, Any], looks: int) -> dict[str, Any]:
        gates = [gate.model_dump(mode="json") for gate in self._shape.gates]
        part = verdict_part(metrics.digest, self._candidate.digest, gates, self._shape.policy)
        verdict = decide(
            self._shape.gates,
            document,
            on_inconclusive=str(self._shape.policy["on_inconclusive"]),
            dataset=self._shape.decisive,
            required_metrics=self._shape.policy["required_metrics"],
            was_ever_promoted=self._shape.promoted_digest is not None,
            looks=looks,
        )
        verdict["gates"] = [_with_base(gate, document) for gate in verdict["gates"]]
        verdict |= {"candidate_digest": self._candidate.digest, "metrics_digest": metrics.digest}
        output = self._desk.artifacts.put_bytes(canonical_json(verdict) + b"\n")
        self._outputs["verdict"] = output
        self._note_part(part, output)
        return verdict

    def _write_note(self, verdict: Mapping[str, Any], document: Mapping[str, Any]) -> None:
        scores = self._outputs[f"scores.{_CANDIDATE}.{verdict['dataset']}"]
        lines = self._desk.artifacts.read_bytes(scores.digest).splitlines()
        note = decision_note(
            verdict,
            document,
            clusters=failure_clusters(json.loads(line) for line in lines),
            digests={
                "candidate": self._candidate.digest,
                "base": self._shape.answering.base_digest,
                "promoted": self._shape.promoted_digest,
                "rows": self._shape.rows.get(str(verdict["dataset"])),
            },
        )
        self._outputs["decision"] = self._desk.artifacts.put_bytes(note_text(note).encode())

    def _kept(self, part: Part) -> Produced | None:
        """Return what a piece yielded before, every byte verified; None when it has to be made."""
        identity = None if self._action.replaces else part.fingerprint
        produced = self._desk.artifacts.find_produced(identity) if identity else None
        if produced is None:
            return None
        try:
            for output in produced.outputs.values():
                self._desk.artifacts.verify(output)
        except ArtifactError:
            return None
        return produced

    def _remember(
        self, part: Part, kind: str, outputs: dict[str, Output], values: dict[str, Any]
    ) -> None:
        if part.fingerprint is None or part.facts is None:
            raise ValueError(f"{part.name} was made from unknown facts")
        self._desk.artifacts.record_produced(
            Produced(part.fingerprint, kind, part.facts, outputs, values)
        )

    def _note_part(self, part: Part, output: Output) -> None:
        self._parts[part.name] = {"fingerprint": part.fingerprint, "digest": output.digest}
        if part.name.startswith("predictions."):
            self._outputs[part.name] = output

    def _lora(self, role: str, output: Output) -> Path:
        return self._desk.input_folder(self._running, f"lora_adapter.{role}", output)

    def _promoted(self) -> Output:
        return self._desk.output(Address("deployment"), "promoted")


def _speeds(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: values.get(name) for name in ("tokens_per_s", "max_new_tokens", "batch_parity_rate")
    }


def _done(
    outputs: dict[str, Output],
    values: dict[str, Any],
    *,
    parts: dict[str, Any],
    is_reused: bool,
    actual: dict[str, Any],
) -> Done:
    is_passed = values.get("verdict") == "PASS"
    blocking = values.get("blocking") or failing_gates(values.get("gates", []))
    return Done(
        outputs=outputs,
        values=values,
        parts=parts,
        status=Status.CURRENT if is_passed else Status.QUARANTINED,
        reason="" if is_passed else "gates not passed: " + ", ".join(blocking),
        is_reused=is_reused,
        actual=actual,
    )


def _with_base(gate: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a gate's outcome with the base model's value of the same metric beside it."""
    roles = document["sets"].get(gate["dataset"], {}).get("roles", {})
    base = roles.get("baseline", {})
    place = base.get("slices", {}).get(gate["slice"], {}) if gate.get("slice") else base
    found = place.get("metrics", {}).get(gate.get("resolved_metric_key"), {})
    return {**gate, "base_actual": found.get("value")}


def _summary(document: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """Return the plain metric values of each role on the deciding set."""
    roles = document["sets"][dataset]["roles"]
    return {
        role: {
            name: item["value"]
            for name, item in found["metrics"].items()
            if not name.startswith("per_")
        }
        for role, found in roles.items()
    }


def _tell_gates(desk: Desk, gates: list[dict[str, Any]]) -> None:
    for gate in gates:
        interval = gate.get("interval")
        desk.tell(
            GateEvent(
                address="eval_pack",
                gate_id=str(gate["gate_id"]),
                metric=str(gate["metric_id"]),
                slice=gate.get("slice"),
                verdict=str(gate.get("verdict") or "not_enforced"),
                reason=str(gate.get("reason") or ""),
                value=gate.get("actual"),
                bound=interval[0] if interval else None,
                threshold=gate.get("threshold"),
                n=int(gate.get("n") or 0),
                required=bool(gate.get("required")),
                outcome=gate,
            )
        )
