"""What the schema accepts and this version does not carry out: refused by plan, named one by
one.
"""

from collections.abc import Callable, Iterator
from typing import Any

from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.manifest.project import Manifest, Wanted
from brewslm.stages.adapter import AdapterSpec
from brewslm.stages.data_source import DataSourceSpec
from brewslm.stages.dataset import DatasetSpec
from brewslm.stages.eval_pack import EvalPackSpec
from brewslm.stages.export import ExportFormatSpec
from brewslm.stages.training_config import TrainingConfig
from brewslm.stages.training_plan import TrainingPlanSpec
from brewslm.stages.workflow import WorkflowSpec

PROFILES = ("classification", "structured_extraction", "qa", "instruction_sft", "chat_sft")
"""Task profiles that are trained and evaluated."""
FORMATS = ("adapter", "safetensors")
"""Export formats that are written."""
_LIMITS = ("max_gpu_hours", "max_minutes", "auto_cancel")
_FOREIGN_OPTIMIZERS = (
    "adamw_torch_4bit",
    "adamw_torch_8bit",
    "adamw_anyprecision",
    "adamw_apex_fused",
    "adamw_torch_xla",
    "adamw_torch_npu_fused",
    "stable_adamw",
    "grokadamw",
    "schedule_free_adamw",
    "schedule_free_radam",
    "schedule_free_sgd",
)
"""Optimizers of libraries that the extra train does not bring."""
_BASE_INITS = ("pissa", "olora")
"""Starts that rewrite base weights, so that the adapter fits no untouched base afterwards."""
_TEXT_ONLY = "text rows only; delete the line"
_SEQ_SHRINK = TrainingConfig.model_fields["oom_retry_seq_shrink"].default
_KEPT_LENGTH = (
    "delete the line: a try after memory ran out halves batch_size and doubles "
    "gradient_accumulation_steps, lengths never change by themselves"
)
_REFUSED: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("use_lora", lambda value: not value, "train an adapter, export safetensors"),
    ("trainer_backend", lambda value: value == "hf_trainer", "write trl_sft"),
    ("training_runtime_id", lambda value: value not in ("auto", "local"), "delete the line"),
    ("recommended_starting_checkpoint", bool, "name that model in base_model"),
    ("optimizer", lambda value: value in _FOREIGN_OPTIMIZERS, "write adamw_torch"),
    ("init_lora_weights", lambda value: str(value).startswith(_BASE_INITS), "write true"),
    ("lora_bias", lambda value: value != "none", "write lora_bias: none"),
    ("padding_free", bool, "write padding_free: false"),
    ("use_liger_kernel", bool, "write use_liger_kernel: false"),
    ("torch_compile", bool, "write torch_compile: false"),
    ("oom_retry_seq_shrink", lambda value: value != _SEQ_SHRINK, _KEPT_LENGTH),
    ("resume", lambda value: value == "never", "run brewslm apply --no-resume"),
    ("report_to", lambda value: value not in ((), "none"), "write report_to: none"),
    ("multimodal_require_media", bool, _TEXT_ONLY),
    ("multimodal_native_beta", bool, _TEXT_ONLY),
    ("multimodal_media_loading", bool, _TEXT_ONLY),
)
"""Fields of the recipe, which of their values the engine does not carry out, and what to do."""
_COSINE_FLOOR = ("min_lr", "min_lr_rate")
_SCHEDULE_OPTIONS = {
    "cosine": ("num_cycles",),
    "cosine_with_restarts": ("num_cycles",),
    "polynomial": ("lr_end", "power"),
    "inverse_sqrt": ("timescale",),
    "cosine_with_min_lr": ("num_cycles", *_COSINE_FLOOR),
    "cosine_warmup_with_min_lr": ("num_cycles", *_COSINE_FLOOR),
    "warmup_stable_decay": ("num_stable_steps", "num_decay_steps", "decay_type", "num_cycles"),
}
_NEEDED_OPTIONS = {
    "cosine_with_min_lr": _COSINE_FLOOR,
    "cosine_warmup_with_min_lr": _COSINE_FLOOR,
    "warmup_stable_decay": ("num_decay_steps",),
}
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
            for name in _LIMITS:
                limit = getattr(workflow.budget_settings, name)
                if limit:
                    fix = "write training_plan.config.max_minutes, or delete the line"
                    yield _finding(wanted, f"budget_settings.{name}", _shown(limit), fix)
        case _:
            return


def _training(wanted: Wanted, plan: TrainingPlanSpec) -> Iterator[Finding]:
    config = plan.config
    if plan.training_mode != "sft":
        yield _finding(wanted, "training_mode", plan.training_mode, "write training_mode: sft")
    if config.kl_lambda > 0:
        yield _finding(wanted, "config.kl_lambda", f"{config.kl_lambda:g}", "write kl_lambda: 0")
    if plan.pin_environment != "none":
        yield _finding(wanted, "pin_environment", plan.pin_environment, "write none")
    for name, refused, fix in _REFUSED:
        value = getattr(config, name)
        if refused(value):
            yield _finding(wanted, f"config.{name}", _shown(value), fix)
    if config.packing_strategy != "bfd" and config.sequence_packing:
        yield _finding(wanted, "config.packing_strategy", config.packing_strategy, "write bfd")
    if config.assistant_only_loss is False and config.completion_only_loss == "auto":
        yield _finding(
            wanted,
            "config.assistant_only_loss",
            "false",
            "write completion_only_loss too: true for the last answer, false for every token",
        )
    yield from _schedule(wanted, plan)
    if plan.preferred_runtime_id not in (None, "local", "auto"):
        yield _finding(
            wanted, "preferred_runtime_id", str(plan.preferred_runtime_id), "delete the line"
        )


def _schedule(wanted: Wanted, plan: TrainingPlanSpec) -> Iterator[Finding]:
    """Yield what the chosen scheduler does not take, or cannot do without."""
    scheduler = plan.config.lr_scheduler
    options = plan.config.lr_scheduler_kwargs.model_dump(exclude_none=True)
    taken = _SCHEDULE_OPTIONS.get(scheduler, ())
    for name in sorted(options.keys() - set(taken)):
        fix = "write one of " + ", ".join(taken) if taken else "delete the line"
        found = f"{name} of {scheduler}"
        yield _finding(wanted, f"config.lr_scheduler_kwargs.{name}", found, fix)
    needed = _NEEDED_OPTIONS.get(scheduler, ())
    if needed and not options.keys() & set(needed):
        fix = "write lr_scheduler_kwargs with " + " or ".join(needed)
        yield _finding(wanted, "config.lr_scheduler", f"{scheduler} without options", fix)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _finding(wanted: Wanted, field: str, found: str, fix: str) -> Finding:
    return Finding(
        code=FindingCode.VALUE_UNAVAILABLE,
        severity=Severity.ERROR,
        message=f"{field}: {found} is part of the schema and not carried out by this version",
        actionable_fix=fix,
        field=f"{wanted.section}.{field}",
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
        field=wanted.section,
        address=str(wanted.address),
        place=wanted.place(),
    )
