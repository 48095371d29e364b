"""What the schema knows and nothing here implements: an error of `validate` and `plan` alike, one
finding for each value.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, get_args

from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.manifest.project import Wanted
from brewslm.rows.dataset import DatasetSpec, TaskProfile
from brewslm.rows.mapper import MAPPERS
from brewslm.rows.source import find_source, scheme_of_path
from brewslm.stages.data_source import DataSourceSpec
from brewslm.stages.eval_pack import EvalPackSpec
from brewslm.stages.export import ExportFormatSpec
from brewslm.stages.export_format import FORMATS, ExportFormat
from brewslm.stages.mode import MODES, TrainingMode
from brewslm.stages.recipe.loading import Tracker
from brewslm.stages.training_config import TrainingConfig
from brewslm.stages.training_plan import TrainingPlanSpec
from brewslm.tasks.task import TASKS

_TRAINED = tuple(name for name, mode in MODES.all().items() if mode.is_trained)
_WRITTEN = tuple(name for name, item in FORMATS.all().items() if item.is_written)
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
"""Optimizers of libraries that the extra train does not install."""
_BASE_INITS = ("pissa", "olora")
"""Starts that rewrite base weights, so that the adapter fits no untouched base afterwards."""


def _except(supported: Iterable[str], every: Any) -> tuple[str, ...]:
    return tuple(name for name in get_args(every) if name not in supported)


_CONFIG = "spec.training_plan.config"
NOT_SUPPORTED: dict[str, tuple[str, ...]] = {
    "spec.adapters[].base_adapter_id": tuple(
        name for name, mapper in MAPPERS.all().items() if not {*mapper.profiles} & {*TASKS.names()}
    ),
    "spec.adapters[].task_profile": _except(TASKS.names(), TaskProfile),
    "spec.dataset.task_profile": _except(TASKS.names(), TaskProfile),
    "spec.export.formats[]": _except(_WRITTEN, ExportFormat),
    "spec.training_plan.training_mode": _except(_TRAINED, TrainingMode),
    "spec.training_plan.pin_environment": ("toolchain", "device"),
    f"{_CONFIG}.training_mode": _except(_TRAINED, TrainingMode),
    f"{_CONFIG}.trainer_backend": ("hf_trainer",),
    f"{_CONFIG}.optimizer": _FOREIGN_OPTIMIZERS,
    f"{_CONFIG}.lora_bias": ("all", "lora_only"),
    f"{_CONFIG}.packing_strategy": ("bfd_split", "wrapped"),
    f"{_CONFIG}.resume": ("never",),
    f"{_CONFIG}.report_to[]": get_args(Tracker),
}
"""Members of closed lists that nothing implements, by the path of their field."""
_INSTEAD = {
    "spec.adapters[].base_adapter_id": "write base_adapter_id: prompt_completion_passthrough, "
    "or another mapper of a supported task",
    "spec.adapters[].task_profile": "write one of " + ", ".join(TASKS.names()),
    "spec.dataset.task_profile": "write one of " + ", ".join(TASKS.names()),
    "spec.export.formats[]": "write formats: [safetensors], or [adapter]",
    "spec.training_plan.training_mode": f"write training_mode: {_TRAINED[0]}",
    "spec.training_plan.pin_environment": "write pin_environment: none",
    f"{_CONFIG}.training_mode": f"write training_mode: {_TRAINED[0]}",
    f"{_CONFIG}.trainer_backend": "write trainer_backend: trl_sft",
    f"{_CONFIG}.optimizer": "write optimizer: adamw_torch",
    f"{_CONFIG}.lora_bias": "write lora_bias: none",
    f"{_CONFIG}.packing_strategy": "write packing_strategy: bfd",
    f"{_CONFIG}.resume": "delete the line; to train from the first step: brewslm apply --no-resume",
    f"{_CONFIG}.report_to[]": "write report_to: none",
}
"""What to write in their place."""
_TEXT_ONLY = "delete the line; rows are text only"
_SEQ_SHRINK = TrainingConfig.model_fields["oom_retry_seq_shrink"].default
_REFUSED: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("use_lora", lambda value: not value, "delete the line; export.formats: [safetensors] merges"),
    ("recommended_starting_checkpoint", bool, "delete the line; name that model in base_model"),
    (
        "init_lora_weights",
        lambda value: str(value).startswith(_BASE_INITS),
        "write init_lora_weights: true",
    ),
    ("padding_free", bool, "write padding_free: false"),
    ("use_liger_kernel", bool, "write use_liger_kernel: false"),
    ("torch_compile", bool, "write torch_compile: false"),
    ("kl_lambda", lambda value: value > 0, "write kl_lambda: 0"),
    (
        "oom_retry_seq_shrink",
        lambda value: value != _SEQ_SHRINK,
        "delete the line; a retry after memory ran out halves batch_size and doubles "
        "gradient_accumulation_steps, lengths never change",
    ),
    ("multimodal_require_media", bool, _TEXT_ONLY),
    ("multimodal_native_beta", bool, _TEXT_ONLY),
    ("multimodal_media_loading", bool, _TEXT_ONLY),
)
"""Further fields of the recipe, which of their values nothing implements, and what to do."""
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
    "cosine_with_min_lr": (_COSINE_FLOOR, "lr_scheduler_kwargs: {min_lr_rate: 0.1}"),
    "cosine_warmup_with_min_lr": (_COSINE_FLOOR, "lr_scheduler_kwargs: {min_lr_rate: 0.1}"),
    "warmup_stable_decay": (("num_decay_steps",), "lr_scheduler_kwargs: {num_decay_steps: 10}"),
}


def supported(path: str, names: Iterable[str]) -> list[str]:
    """Return those of some values of a field that are implemented; path: indices left empty."""
    refused = {*NOT_SUPPORTED.get(path, ()), *NOT_SUPPORTED.get(f"{path}[]", ())}
    return [name for name in names if name not in refused]


def is_supported(section: str, name: str, value: Any) -> bool:
    """Return whether a value of a field is implemented, whatever is written beside it."""
    path = f"{section}.{name}"
    if section.endswith(".lr_scheduler_kwargs"):
        return False
    if section == _CONFIG and any(name == own and is_no(value) for own, is_no, _ in _REFUSED):
        return False
    return not isinstance(value, str) or bool(supported(path, [value]))


def unavailable(resources: Iterable[Wanted]) -> list[Finding]:
    """Return an error finding for each value that is asked for and not implemented."""
    return [finding for wanted in resources for finding in (*_members(wanted), *_of(wanted))]


def _members(wanted: Wanted) -> Iterator[Finding]:
    """Yield the members of closed lists."""
    section = re.sub(r"\[\d+\]", "[]", wanted.section)
    for pattern, refused in NOT_SUPPORTED.items():
        if not pattern.startswith(f"{section}."):
            continue
        path = pattern.removeprefix(f"{section}.")
        if isinstance(wanted.spec, ExportFormatSpec):
            yield from _export_member(wanted, path, refused, _INSTEAD[pattern])
            continue
        value: Any = wanted.spec
        for step in path.removesuffix("[]").split("."):
            value = getattr(value, step)
        for item in value if isinstance(value, tuple) else (value,):
            if item in refused:
                if path == "training_mode":
                    yield _mode(wanted, item)
                else:
                    yield _finding(wanted, path.removesuffix("[]"), item, _INSTEAD[pattern])


def _mode(wanted: Wanted, mode: str) -> Finding:
    """Return the finding about a training mode, at the value that asks for it."""
    switch = MODES.load(mode).switch
    if f"config.{switch}" in wanted.written:
        return _finding(wanted, f"config.{switch}", mode, f"write {switch}: false")
    is_in_config = "config.training_mode" in wanted.written
    field = "config.training_mode" if is_in_config else "training_mode"
    return _finding(wanted, field, mode, f"write training_mode: {_TRAINED[0]}")


def _export_member(
    wanted: Wanted, path: str, refused: tuple[str, ...], fix: str
) -> Iterator[Finding]:
    name = wanted.spec.format if isinstance(wanted.spec, ExportFormatSpec) else ""
    if name in refused:
        yield _finding(wanted, path.removesuffix("[]"), name, fix)


def _of(wanted: Wanted) -> Iterator[Finding]:
    """Yield what depends on more than one value, or on a value of no closed list."""
    match wanted.spec:
        case DataSourceSpec() as source:
            yield from _rows(wanted, source)
        case DatasetSpec() as dataset:
            if dataset.curriculum != "none":
                yield _finding(wanted, "curriculum", dataset.curriculum, "write curriculum: none")
        case TrainingPlanSpec() as plan:
            yield from _training(wanted, plan)
        case EvalPackSpec() as pack:
            if pack.epochs > 1:
                yield _finding(wanted, "epochs", str(pack.epochs), "write epochs: 1")
        case ExportFormatSpec() as export:
            if export.verify.rerun_gates:
                yield _finding(wanted, "verify.rerun_gates", "true", "write rerun_gates: false")
        case _:
            return


def _rows(wanted: Wanted, source: DataSourceSpec) -> Iterator[Finding]:
    named = find_source((source.locator or "").partition(":")[0])
    if source.locator and named is not None and named.read is None:
        fix = "write locator: jsonl:data/FILE.jsonl, and save the rows there"
        yield _finding(wanted, "locator", source.locator, fix)
    path = source.file_path
    if path and not source.locator and not scheme_of_path(path):
        fix = "write file_path: data/FILE.jsonl, and save the rows there"
        yield _finding(wanted, "file_path", path, fix)


def _training(wanted: Wanted, plan: TrainingPlanSpec) -> Iterator[Finding]:
    config = plan.config
    for name, is_refused, fix in _REFUSED:
        value = getattr(config, name)
        if is_refused(value):
            yield _finding(wanted, f"config.{name}", _shown(value), fix)
    if config.assistant_only_loss is False and config.completion_only_loss == "auto":
        yield _finding(
            wanted,
            "config.assistant_only_loss",
            "false",
            "write completion_only_loss: true for the last answer, false for every token",
        )
    yield from _schedule(wanted, plan)
    if plan.preferred_runtime_id not in (None, "local", "auto"):
        fix = "delete the line"
        yield _finding(wanted, "preferred_runtime_id", str(plan.preferred_runtime_id), fix)
    if config.training_runtime_id not in ("auto", "local"):
        fix = "delete the line"
        yield _finding(wanted, "config.training_runtime_id", config.training_runtime_id, fix)


def _schedule(wanted: Wanted, plan: TrainingPlanSpec) -> Iterator[Finding]:
    """Yield what the chosen scheduler does not take, or cannot do without."""
    scheduler = plan.config.lr_scheduler
    options = plan.config.lr_scheduler_kwargs.model_dump(exclude_none=True)
    taken = _SCHEDULE_OPTIONS.get(scheduler, ())
    for name in sorted(options.keys() - set(taken)):
        fix = "delete the line" + (f"; {scheduler} takes " + ", ".join(taken) if taken else "")
        found = f"{name} of {scheduler}"
        yield _finding(wanted, f"config.lr_scheduler_kwargs.{name}", found, fix)
    needed, example = _NEEDED_OPTIONS.get(scheduler, ((), ""))
    if needed and not options.keys() & set(needed):
        yield _finding(
            wanted, "config.lr_scheduler", f"{scheduler} without options", f"write {example}"
        )


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _finding(wanted: Wanted, field: str, found: str, fix: str) -> Finding:
    return Finding(
        code=FindingCode.VALUE_UNAVAILABLE,
        severity=Severity.ERROR,
        message=f"{found} is recognised but not supported yet",
        actionable_fix=fix,
        field=f"{wanted.section}.{field}",
        address=str(wanted.address),
        place=wanted.place(field),
        found=found,
    )
