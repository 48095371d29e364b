"""What the schema accepts and this version does not carry out: refused by plan, named one by
one.
"""

from collections.abc import Iterator

from brewslm.address import Address
from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.manifest.project import Manifest, Wanted
from brewslm.stages.adapter import AdapterSpec
from brewslm.stages.data_source import DataSourceSpec
from brewslm.stages.dataset import DatasetSpec
from brewslm.stages.eval_pack import EvalPackSpec
from brewslm.stages.export import ExportFormatSpec
from brewslm.stages.training_plan import TrainingPlanSpec
from brewslm.stages.workflow import WorkflowSpec

PROFILES = ("classification", "structured_extraction", "qa", "instruction_sft", "chat_sft")
"""Task profiles that are trained and evaluated."""
FORMATS = ("adapter", "safetensors")
"""Export formats that are written."""
_LOCAL = ("jsonl:", "json:", "csv:", "tsv:", "parquet:", "file:")


def unavailable(manifest: Manifest) -> tuple[Finding, ...]:
    """Return an error finding for everything that is asked for and not carried out."""
    return tuple(finding for wanted in manifest.resources.values() for finding in _of(wanted))


def _of(wanted: Wanted) -> Iterator[Finding]:
    match wanted.spec:
        case DataSourceSpec() as source:
            locator = source.locator or ""
            if locator and not locator.startswith(_LOCAL):
                yield _finding(wanted, "locator", locator, "save the rows as jsonl:data/FILE.jsonl")
            if not locator and source.file_path is None:
                yield _missing_rows(wanted)
        case AdapterSpec() as adapter:
            if adapter.task_profile and adapter.task_profile not in PROFILES:
                yield _profile(wanted, adapter.task_profile)
        case DatasetSpec() as dataset:
            if dataset.task_profile and dataset.task_profile not in PROFILES:
                yield _profile(wanted, dataset.task_profile)
            if dataset.curriculum != "none":
                yield _finding(wanted, "curriculum", dataset.curriculum, "write curriculum: none")
        case TrainingPlanSpec() as plan:
            yield from _training(wanted, plan)
        case EvalPackSpec() as pack:
            if pack.epochs > 1:
                yield _finding(wanted, "epochs", str(pack.epochs), "write epochs: 1")
        case ExportFormatSpec() as export:
            if export.format not in FORMATS:
                yield _finding(wanted, "formats", export.format, "write adapter or safetensors")
            if export.verify.rerun_gates:
                yield _finding(wanted, "verify.rerun_gates", "true", "write rerun_gates: false")
        case WorkflowSpec() as workflow:
            for name in ("state", "artifacts"):
                url = getattr(workflow.backend, name)
                if url is not None:
                    yield _finding(wanted, f"backend.{name}", "a remote store", "delete the line")
        case _:
            return


def _training(wanted: Wanted, plan: TrainingPlanSpec) -> Iterator[Finding]:
    config = plan.config
    if plan.training_mode != "sft":
        yield _finding(wanted, "training_mode", plan.training_mode, "write training_mode: sft")
    if config.kl_lambda > 0:
        yield _finding(wanted, "config.kl_lambda", f"{config.kl_lambda:g}", "write kl_lambda: 0")
    if not config.use_lora:
        yield _finding(wanted, "config.use_lora", "false", "train an adapter, export safetensors")
    if config.trainer_backend == "hf_trainer":
        yield _finding(wanted, "config.trainer_backend", "hf_trainer", "write trl_sft")
    if plan.pin_environment != "none":
        yield _finding(wanted, "pin_environment", plan.pin_environment, "write none")
    for name in ("use_liger_kernel", "torch_compile"):
        if getattr(config, name):
            yield _finding(wanted, f"config.{name}", "true", f"write {name}: false")
    if config.report_to not in ((), "none"):
        yield _finding(wanted, "config.report_to", str(config.report_to), "write report_to: none")
    if config.recommended_starting_checkpoint:
        yield _finding(
            wanted,
            "config.recommended_starting_checkpoint",
            config.recommended_starting_checkpoint,
            "name that model in base_model",
        )
    for name in (
        "multimodal_require_media",
        "multimodal_native_beta",
        "multimodal_media_loading",
    ):
        if getattr(config, name):
            yield _finding(wanted, f"config.{name}", "true", "text rows only; delete the line")
    if config.packing_strategy != "bfd" and config.sequence_packing:
        yield _finding(wanted, "config.packing_strategy", config.packing_strategy, "write bfd")
    if plan.preferred_runtime_id not in (None, "local", "auto"):
        yield _finding(
            wanted, "preferred_runtime_id", str(plan.preferred_runtime_id), "delete the line"
        )


def _finding(wanted: Wanted, field: str, found: str, fix: str) -> Finding:
    return Finding(
        code=FindingCode.VALUE_UNAVAILABLE,
        severity=Severity.ERROR,
        message=f"{field}: {found} is part of the schema and not carried out by this version",
        actionable_fix=fix,
        field=f"spec.{_section(wanted.address)}.{field}",
        address=str(wanted.address),
        place=wanted.place(field),
        found=found,
    )


def _profile(wanted: Wanted, profile: str) -> Finding:
    return _finding(wanted, "task_profile", profile, "write one of " + ", ".join(PROFILES))


def _missing_rows(wanted: Wanted) -> Finding:
    return Finding(
        code=FindingCode.SOURCE_LOCATOR_MISSING,
        severity=Severity.ERROR,
        message="the source names no rows",
        actionable_fix="add locator: jsonl:data/FILE.jsonl",
        field="spec.data_sources[].locator",
        address=str(wanted.address),
        place=wanted.place(),
    )


def _section(address: Address) -> str:
    return {"data_source": "data_sources[]", "adapter": "adapters[]"}.get(
        address.kind, address.kind
    )
