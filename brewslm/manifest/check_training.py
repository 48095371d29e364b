"""Checks of the recipe: written fields against each other and against the mode."""

import re
from collections.abc import Iterator

from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.manifest.carried_out import supported
from brewslm.manifest.schema import ManifestFile
from brewslm.manifest.shape import Shaped
from brewslm.manifest.speaker import Say
from brewslm.manifest.yaml_file import Path as YamlPath
from brewslm.stages.mode import MODES, Mode
from brewslm.stages.training_config import TrainingConfig, has_warmup
from brewslm.stages.training_plan import mode_of
from brewslm.tasks.task import form_of

_TINY = "builtin:"
"""Bases that take far higher rates than usual."""
_CONFIG: YamlPath = ("spec", "training_plan", "config")


def check_training(file: ManifestFile, shaped: Shaped, say: Say) -> Iterator[Finding]:
    """Yield what is wrong with the recipe."""
    plan, config = file.spec.training_plan, file.spec.training_plan.config
    prefix = "spec.training_plan.config."
    written = {path.removeprefix(prefix) for path in shaped.written if path.startswith(prefix)}
    mode = mode_of(plan)
    yield from _conflicts(file, shaped, say)
    yield from _precision(file, written, say)
    yield from _of_mode(file, mode, written, say)
    yield from _stopping(file, written, say)
    yield from _idle(file, mode, written, say)
    profile = file.spec.dataset.task_profile
    if profile is not None and not mode.takes(form_of(profile)):
        able = [name for name, item in MODES.all().items() if item.takes(form_of(profile))]
        at = (*(_CONFIG if config.training_mode else _CONFIG[:-1]), "training_mode")
        yield _mismatch(mode.name, profile, able, at, say)


def _mismatch(mode: str, profile: str, able: list[str], at: YamlPath, say: Say) -> Finding:
    """Return the finding about rows that a mode cannot learn from; able: the modes that can."""
    modes = supported("spec.training_plan.training_mode", able)
    return say(
        FindingCode.MODE_TASK_MISMATCH,
        at if modes else ("spec", "dataset", "task_profile"),
        f"mode {mode} cannot learn from {profile} rows",
        f"write training_mode: {modes[0]}"
        if modes
        else "write task_profile: instruction_sft, and map the prompts and the chosen answers",
        f"mode {mode}",
        "mode " + " or ".join(able) + ("" if modes else " (not supported yet)"),
    )


def _conflicts(file: ManifestFile, shaped: Shaped, say: Say) -> Iterator[Finding]:
    plan, config = file.spec.training_plan, file.spec.training_plan.config
    if config.base_model and file.spec.model.base_model not in ("", config.base_model):
        yield say(
            FindingCode.CONFIG_CONFLICT,
            (*_CONFIG, "base_model"),
            "the config names another base model than spec.model",
            "delete it in config",
            config.base_model,
            file.spec.model.base_model,
        )
    mode_is_written = "spec.training_plan.training_mode" in shaped.written
    if config.training_mode is not None and mode_is_written:
        if config.training_mode != plan.training_mode:
            yield say(
                FindingCode.CONFIG_CONFLICT,
                (*_CONFIG, "training_mode"),
                "the config names another mode than the training plan",
                "delete it in config",
                config.training_mode,
                plan.training_mode,
            )
    runtime = plan.preferred_runtime_id
    if runtime not in (None, "auto") and config.training_runtime_id not in ("auto", runtime):
        yield say(
            FindingCode.CONFIG_CONFLICT,
            (*_CONFIG, "training_runtime_id"),
            "the config names another runtime than the training plan",
            "delete it in config",
            config.training_runtime_id,
            str(runtime),
        )
    starts_from_base = isinstance(config.init_lora_weights, str) and (
        config.init_lora_weights == "olora" or config.init_lora_weights.startswith("pissa")
    )
    if starts_from_base and config.quantization != "none":
        yield say(
            FindingCode.LORA_INIT_QUANTIZED,
            (*_CONFIG, "init_lora_weights"),
            "this start needs full base weights",
            "write init_lora_weights: true",
            str(config.init_lora_weights),
        )


def _precision(file: ManifestFile, written: set[str], say: Say) -> Iterator[Finding]:
    config = file.spec.training_plan.config
    if "dtype" in written and config.dtype != "auto":
        disagrees = ("bf16" in written and config.bf16 is not (config.dtype == "bfloat16")) or (
            "fp16" in written and config.fp16 is not (config.dtype == "float16")
        )
        if disagrees:
            yield say(
                FindingCode.PRECISION_CONFLICT,
                (*_CONFIG, "dtype"),
                "dtype and bf16 or fp16 disagree",
                "keep dtype",
                config.dtype,
            )
    if {"attn_implementation", "flash_attention"} <= written:
        is_flash = config.attn_implementation.startswith("flash")
        if config.attn_implementation != "auto" and is_flash is not config.flash_attention:
            yield say(
                FindingCode.ATTENTION_CONFLICT,
                (*_CONFIG, "attn_implementation"),
                "attn_implementation and flash_attention disagree",
                "keep attn_implementation",
                config.attn_implementation,
            )
    if {"group_by_length", "sequence_packing"} <= written:
        if config.group_by_length and config.sequence_packing:
            yield say(
                FindingCode.PACKING_GROUPING,
                (*_CONFIG, "group_by_length"),
                "packing and length grouping exclude each other",
                "switch one off",
            )
    if {"padding_free", "attn_implementation"} <= written and config.padding_free:
        if config.attn_implementation in ("eager", "sdpa"):
            yield say(
                FindingCode.PADDING_FREE_ATTENTION,
                (*_CONFIG, "padding_free"),
                "padding-free batches need flash attention",
                "switch one off",
            )


def _of_mode(file: ManifestFile, mode: Mode, written: set[str], say: Say) -> Iterator[Finding]:
    config = file.spec.training_plan.config
    if config.loss_type != "auto" and config.loss_type not in mode.losses:
        yield say(
            FindingCode.LOSS_TYPE_MODE,
            (*_CONFIG, "loss_type"),
            f"mode {mode.name} has no loss {config.loss_type}",
            f"write {mode.losses[0]}" if mode.losses else "delete the line",
            config.loss_type,
            ", ".join(mode.losses) or "no choice of losses",
        )
    problems = list(mode.check(config, written))
    for other in MODES.all().values():
        if other is not mode:
            problems += other.check_elsewhere(config, written)
    for problem in problems:
        yield say(
            problem.code,
            (*_CONFIG, problem.field) if problem.field else _CONFIG,
            problem.message,
            problem.remedy,
            problem.found,
            problem.expected,
            severity=problem.severity,
        )
    limit = mode.rate_limit
    is_tiny = file.spec.model.base_model.startswith(_TINY)
    if "learning_rate" in written and config.learning_rate > limit and not is_tiny:
        yield say(
            FindingCode.LEARNING_RATE_HIGH,
            (*_CONFIG, "learning_rate"),
            "this rate is far above what the mode usually takes",
            f"a usual value is {limit / 10:g}",
            f"{config.learning_rate:g}",
            f"at most {limit:g}",
            severity=Severity.WARNING,
        )


def _stopping(file: ManifestFile, written: set[str], say: Say) -> Iterator[Finding]:
    config = file.spec.training_plan.config
    if "early_stopping_patience" in written and config.early_stopping_patience:
        if config.eval_strategy == "no":
            yield say(
                FindingCode.EARLY_STOP_WITHOUT_EVAL,
                (*_CONFIG, "early_stopping_patience"),
                "patience counts evaluations, and there are none",
                "write eval_strategy: steps, or plateau_patience",
                severity=Severity.WARNING,
            )
    if {"warmup_ratio", "warmup_steps"} <= written and config.warmup_steps:
        yield say(
            FindingCode.WARMUP_TWICE,
            (*_CONFIG, "warmup_steps"),
            "warmup is given as share and as steps; the steps count",
            "keep one",
            severity=Severity.WARNING,
        )
    if "max_steps" in written and config.max_steps > 0 and "num_epochs" in written:
        yield say(
            FindingCode.STEPS_AND_EPOCHS,
            (*_CONFIG, "max_steps"),
            "max_steps overrides num_epochs",
            "nothing",
            severity=Severity.INFO,
        )
    if config.max_steps == 1 and has_warmup(config):
        yield say(
            FindingCode.AUTOFIX_WARMUP,
            (*_CONFIG, "max_steps"),
            "the run has 1 step, so there is no warm-up: it would begin at a rate of 0",
            "nothing; or write more max_steps",
            severity=Severity.INFO,
        )
    if config.max_minutes is not None:
        yield say(
            FindingCode.TIME_LIMIT_NOT_REPRODUCIBLE,
            (*_CONFIG, "max_minutes"),
            "where a time limit ends the run depends on the speed of the host",
            "nothing, or write max_steps",
            severity=Severity.INFO,
        )
    wants_best = config.load_best_model_at_end is True or (
        config.load_best_model_at_end == "auto" and config.eval_strategy != "no"
    )
    strategies_differ = config.save_strategy not in (config.eval_strategy, "best")
    if wants_best and {"eval_strategy", "save_strategy"} <= written and strategies_differ:
        yield say(
            FindingCode.BEST_MODEL_STEPS,
            (*_CONFIG, "save_strategy"),
            "the best model can only be kept where it is both evaluated and saved",
            f"write save_strategy: {config.eval_strategy}, or load_best_model_at_end: false",
            config.save_strategy,
            config.eval_strategy,
        )
    both = {"eval_steps", "save_steps"} <= written
    by_steps = config.eval_strategy == "steps" and config.save_strategy == "steps"
    if wants_best and both and by_steps and config.save_steps % config.eval_steps:
        fit = -(-config.save_steps // config.eval_steps) * config.eval_steps
        yield say(
            FindingCode.BEST_MODEL_STEPS,
            (*_CONFIG, "save_steps"),
            "the best model can only be kept where it is both evaluated and saved",
            f"write save_steps: {fit}",
            str(config.save_steps),
            f"a multiple of {config.eval_steps}",
        )


def _without_effect(config: TrainingConfig) -> Iterator[tuple[str, bool]]:
    """Yield fields that other fields switch off, and whether they do."""
    yield "kl_tau", config.kl_lambda == 0
    yield "eval_steps", config.eval_strategy != "steps"
    yield "save_steps", config.save_strategy != "steps"
    for name in ("eval_batch_size", "early_stopping_threshold"):
        yield name, config.eval_strategy == "no"
    for name in ("plateau_window", "plateau_min_delta", "plateau_min_steps"):
        yield name, config.plateau_patience == 0
    for name in ("adam_beta1", "adam_beta2", "adam_epsilon"):
        yield name, not re.search("adam|ademamix", config.optimizer)
    for name in ("warmup_ratio", "warmup_steps"):
        yield name, config.lr_scheduler == "constant"
    yield "max_oom_retries", not config.auto_oom_retry
    yield "dataloader_prefetch_factor", config.dataloader_num_workers == 0


def _ignored_in(mode: Mode) -> Iterator[str]:
    """Yield the fields that a mode does not read; what is wrong with losses is told apart."""
    yield from mode.ignored
    for other in MODES.all().values():
        foreign = other.fields.model_fields.keys() - mode.fields.model_fields.keys()
        yield from foreign - {"loss_type"}


def _idle(file: ManifestFile, mode: Mode, written: set[str], say: Say) -> Iterator[Finding]:
    config = file.spec.training_plan.config
    idle = []
    if config.quantization not in ("nf4", "fp4"):
        idle += [name for name in written if name.startswith("bnb_4bit_")]
    idle += [name for name in _ignored_in(mode) if name in written]
    idle += [name for name, is_idle in _without_effect(config) if is_idle and name in written]
    for name in sorted(set(idle)):
        yield say(
            FindingCode.FIELD_UNUSED,
            (*_CONFIG, name),
            "this field has no effect with these settings",
            "delete the line, or change the setting that it depends on",
            severity=Severity.WARNING,
        )
