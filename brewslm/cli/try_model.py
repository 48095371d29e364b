"""`brewslm try`: answer a text with the promoted model, the candidate or the base."""

import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from brewslm.apply.base import Place, verified_base
from brewslm.apply.discreet import DiscreetWorker
from brewslm.apply.interruption import Stop
from brewslm.apply.worker import ProcessWorker
from brewslm.cli.planning import Planned, PlanWishes, check_libraries, make_plan, open_state
from brewslm.cli.session import Session
from brewslm.contracts import Job, Output
from brewslm.diagnostics import Finding, Severity, exit_code_of
from brewslm.errors import ApplyError, PlanError, RefusedError
from brewslm.plan.digest_cache import DigestCache
from brewslm.render.errors import render_findings
from brewslm.rows.mapper import MAPPERS
from brewslm.stages.training_config import TrainingConfig, loading_on_host, loading_values
from brewslm.state.records import ResourceRecord
from brewslm.tasks.asking import asked


@click.command("try")
@click.argument("text")
@click.option("--base", "role", flag_value="base", help="Ask the base model.")
@click.option("--candidate", "role", flag_value="candidate", help="Ask the newest candidate.")
@click.option("--promoted", "role", flag_value="promoted", default=True, help="The default.")
@click.option("--max-new-tokens", type=click.IntRange(1), default=128, show_default=True)
@click.pass_obj
def command(session: Session, text: str, role: str, max_new_tokens: int) -> int:
    """Answer TEXT, put into the prompt that the project's task is trained on."""
    with open_state(session) as state:
        records = state.resources()
    training, dataset = records.get("training_plan"), records.get("dataset")
    if training is None or dataset is None:
        raise PlanError(
            "nothing was applied here yet",
            code="nothing_applied",
            expected="a project with a trained model",
            remedy="brewslm apply",
        )
    check_libraries("brewslm try", training.spec["config"]["quantization"])
    planned = make_plan(session, PlanWishes())
    unfit = [item for item in planned.plan.finding_values if _is_of_base(item)]
    if unfit:
        session.put(render_findings(unfit))
        return exit_code_of(unfit)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="brewslm-")))
        log_path = session.make_home() / "runs" / "worker.log"
        environment = planned.host.device.shown_alone(session.environment)
        worker = DiscreetWorker(ProcessWorker(log_path, environment), session.redact)
        stack.callback(worker.close)
        inputs = _inputs(session, planned, role, records, folder)
        options = _options(planned, training, dataset, text) | {"max_new_tokens": max_new_tokens}
        job = Job(
            job_id="try",
            door="brewslm.engine.answer:run",
            address="training_plan",
            spec={},
            inputs=inputs,
            options=options,
            folder=str(folder),
        )
        result = worker.run(job, lambda _message: None, Stop())
    session.put(f"{result.values['text']}\n")
    return 0


def _inputs(
    session: Session,
    planned: Planned,
    role: str,
    records: Mapping[str, ResourceRecord],
    folder: Path,
) -> dict[str, str]:
    inputs = {"model": str(_recorded_base(session, planned, records["model"], folder / "model"))}
    if role != "base":
        output = _adapter(role, records)
        inputs["lora_adapter"] = str(session.artifacts().materialise(output, folder / "adapter"))
    return inputs


def _is_of_base(finding: Finding) -> bool:
    return finding.address == "model" and finding.severity is Severity.ERROR


def _recorded_base(
    session: Session, planned: Planned, record: ResourceRecord, parent: Path
) -> Path:
    """Return a folder with the base model that was applied last, every byte of which is verified.

    Raises: RefusedError with base_mismatch where the project holds or names another one by now.
    """
    place = Place(planned.base_folder, session.root, DigestCache(time.time_ns()))
    expected = record.outputs["base"].digest
    try:
        return verified_base(place, expected, record.values.get("files", {}), parent)
    except ApplyError as error:
        if error.code != "artifact_corrupt":
            raise
        raise RefusedError(
            "the base model is not the one that was applied last",
            code="base_mismatch",
            found=error.found,
            expected=expected,
            remedy="put the recorded files back and name that base model; or, for the new one: "
            "brewslm apply",
        ) from error


def _adapter(role: str, records: Mapping[str, ResourceRecord]) -> Output:
    address, name = (
        ("training_plan", "lora_adapter") if role == "candidate" else ("deployment", "promoted")
    )
    record = records.get(address)
    if record is None or name not in record.outputs:
        raise PlanError(
            f"there is no {role} model yet",
            code="nothing_promoted",
            found=f"no {name} of {address}",
            expected="a model whose required gates passed",
            remedy="brewslm apply, or brewslm try --candidate, or --base",
        )
    return record.outputs[name]


def _options(
    planned: Planned, training: ResourceRecord, dataset: ResourceRecord, text: str
) -> dict[str, Any]:
    prepared = dataset.values["manifest"]
    adapters = prepared["adapters"]
    config = TrainingConfig.model_validate(training.spec["config"], strict=False)
    host = next((item.host for item in planned.plan.actions if item.target == "training_plan"), {})
    return {
        "messages": asked(
            str(prepared["task_profile"]),
            text,
            prepared["contract"],
            str(dataset.spec.get("system_prompt") or ""),
            is_of_turns=all(MAPPERS.load(item["adapter_id"]).makes_turns for item in adapters),
        ),
        "loading": loading_values(config),
        "host": loading_on_host(host),
    }
