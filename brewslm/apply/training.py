"""Carry out training_plan and export actions: one job of the worker each."""

import os
from pathlib import Path
from typing import Any

from brewslm.address import Address
from brewslm.apply.base import base_to_load
from brewslm.apply.desk import Desk, Done, Running
from brewslm.apply.evaluation import loading_of
from brewslm.contracts import Job, Kind, Output, Result, spec_values
from brewslm.files import make_private_folder
from brewslm.plan.action import Action
from brewslm.plan.counts import planned_run
from brewslm.plan.model_card import stated_licence
from brewslm.plan.placed import EXPORTS
from brewslm.stages.model import ModelSpec

_DATASET = Address("dataset")
_EVAL_PACK = Address("eval_pack")
_MODEL = Address("model")
_TRAINING = Address("training_plan")


def train(desk: Desk, action: Action, kind: Kind, running: Running, resume_from: str) -> Done:
    """Train a candidate LoRA adapter, going on from a verified checkpoint folder if one is named.

    Raises: WorkerError, ArtifactError.
    """
    job = Job(
        job_id=running.operation_id,
        door=_door(kind),
        address=action.address,
        fingerprint=running.fingerprint,
        spec=spec_values(desk.specs[action.parsed_address]),
        inputs=_inputs(desk, running),
        options={
            "host": action.host,
            "origins": action.origins,
            "predicted": action.estimate.model_dump(mode="json"),
            "planned": planned_run(action.data),
            "resume_from": resume_from,
            "base": base_facts(desk),
        },
        folder=str(running.folder),
    )
    result = desk.run_job(job, running, ("lora_adapter", "run"), phase="training")
    outputs = desk.keep(running, result, kind.name)
    speed = {
        "tokens": result.values.get("seen_tokens"),
        "tokens_per_s": result.values.get("tokens_per_s"),
    }
    return Done(outputs=outputs, values=result.values, actual=_actual(result, outputs) | speed)


def export(desk: Desk, action: Action, kind: Kind, running: Running) -> Done:
    """Write one export format, verified against the trained model.

    Raises: WorkerError, ArtifactError.
    """
    inputs = _inputs(desk, running)
    lora_adapter = desk.output(_TRAINING, "lora_adapter")
    inputs["lora_adapter"] = str(desk.input_folder(running, "lora_adapter", lora_adapter))
    job = Job(
        job_id=running.operation_id,
        door=_door(kind),
        address=action.address,
        fingerprint=running.fingerprint,
        spec=spec_values(desk.specs[action.parsed_address]),
        inputs=inputs,
        options={
            "host": action.host,
            "loading": loading_of(desk),
            "card": card_facts(desk),
            "base_path": _base_path(desk),
            "folder": _seen_from_project(desk.home / EXPORTS / action.name, desk),
        },
        folder=str(make_private_folder(running.folder)),
    )
    result = desk.run_job(job, running, ("files",), phase="exporting")
    outputs = desk.keep(running, result, kind.name)
    return Done(outputs=outputs, values=result.values, actual=_actual(result, outputs))


def card_facts(desk: Desk) -> dict[str, Any]:
    """Return what a model card says about where the model comes from."""
    facts: dict[str, Any] = {}
    for kind in ("project", "model", "training_plan"):
        spec = desk.specs.get(Address(kind))
        if spec is not None:
            facts[kind] = spec_values(spec)
    for kind in ("dataset", "training_plan"):
        facts[f"{kind}_values"] = desk.values.get(Address(kind), {})
    evaluation = desk.values.get(_EVAL_PACK, {})
    facts["evaluation"] = {
        "gates": evaluation.get("gates", []),
        "dataset": evaluation.get("dataset"),
        "verdict": evaluation.get("verdict"),
    }
    licence = stated_licence(desk.base_folder) if desk.base_folder else None
    facts["base"] = base_facts(desk) | ({"license": licence} if licence else {})
    return facts


def base_facts(desk: Desk) -> dict[str, str | None]:
    """Return the base model as the manifest names it, with the commit of one of the Hub."""
    spec = desk.specs.get(_MODEL)
    if not isinstance(spec, ModelSpec):
        raise TypeError("model has another spec")
    commit = desk.values.get(_MODEL, {}).get("commit")
    return {"name": spec.base_model, "revision": None if commit is None else str(commit)}


def _base_path(desk: Desk) -> str:
    """Return what a library loads the base model by when it is called in the project folder."""
    name = str(base_facts(desk)["name"])
    if desk.base_folder is None or not name.startswith("builtin:"):
        return name
    return _seen_from_project(desk.base_folder, desk)


def _seen_from_project(path: Path, desk: Desk) -> str:
    return Path(os.path.relpath(path, desk.root)).as_posix()


def _inputs(desk: Desk, running: Running) -> dict[str, str]:
    base = base_to_load(desk, running)
    prepared = desk.input_folder(running, "prepared", desk.output(_DATASET, "prepared"))
    return {"model": str(base), "prepared": str(prepared)}


def _door(kind: Kind) -> str:
    if kind.door is None:
        raise ValueError(f"{kind.name} has no door")
    return kind.door


def _actual(result: Result, outputs: dict[str, Output]) -> dict[str, Any]:
    return {
        "work_s": result.work_s,
        "memory_bytes": result.values.get("peak_bytes"),
        "disk_bytes": sum(output.size_bytes for output in outputs.values()),
    }
