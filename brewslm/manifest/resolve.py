"""From written to effective: default, mode, profile, manifest, later ones win; then what this host
swaps.

A value is written when its key stands in the manifest. The profile fills unwritten fields only.
Host fixes are provenance: the identity keeps the value before them.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from brewslm.contracts import spec_values
from brewslm.diagnostics import Finding, FindingCode, Place, Severity
from brewslm.manifest.host import HostFacts
from brewslm.stages.mode import MODES
from brewslm.stages.recipe.optimizer import BITSANDBYTES_OPTIMIZERS
from brewslm.stages.training_config import TrainingConfig
from brewslm.stages.training_plan import TrainingPlanSpec

_CONFIG = "spec.training_plan.config"


class Resolved(Struct, frozen=True):
    """An effective training plan, where its values come from, and what this host uses instead."""

    spec: TrainingPlanSpec
    origins: dict[str, str]
    """Dotted path in the spec to default, mode:NAME, profile:NAME, manifest or auto-fix:CODE."""
    host: dict[str, Any]
    findings: tuple[Finding, ...]


def resolve_training(
    written_plan: TrainingPlanSpec,
    written: frozenset[str],
    profile: str,
    mode: str,
    host: HostFacts | None,
    places: Mapping[str, Place],
) -> Resolved:
    """Return the effective training plan.

    written: dotted manifest paths that stand in the file; host: None swaps nothing; places:
    positions by dotted path in the spec.
    """
    names = {path.removeprefix(f"{_CONFIG}.") for path in written if path.startswith(f"{_CONFIG}.")}
    names = {_field_of(name) for name in names}
    values = spec_values(TrainingConfig())
    origins: dict[str, str] = {}
    for name, value in MODES.load(mode).defaults.items():
        _put(values, origins, name, value, f"mode:{mode}")
    findings: list[Finding] = []
    own = spec_values(written_plan.config)
    for name, value in _profile_values(profile, values).items():
        if name not in names:
            _put(values, origins, name, value, f"profile:{profile}")
        elif own[name] != value:
            findings.append(_overridden(name, own[name], value, profile, places))
    for name in names & set(own):
        values[name] = own[name]
        origins[name] = "manifest"
    for name, least in MODES.load(mode).least.items():
        if name not in names:
            _put(values, origins, name, max(least, values[name]), f"mode:{mode}")
    _settle(values, origins, names)
    values |= {"base_model": "", "training_mode": None}
    config = TrainingConfig.model_validate(values, strict=False)
    spec = written_plan.model_copy(
        update={"config": config, "plan_profile": profile, "training_mode": mode}
    )
    swapped, fixes = _host_fixes(config, names, profile, host, places) if host else ({}, {})
    origins_in_spec = {f"config.{name}": origin for name, origin in origins.items()}
    for name, code in fixes.items():
        origins_in_spec[f"host.{name}"] = f"auto-fix:{code}"
        findings.append(_fixed(name, values[name], swapped[name], code, names, places))
    for name in ("training_mode", "plan_profile", "preferred_runtime_id", "pin_environment"):
        if f"spec.training_plan.{name}" in written:
            origins_in_spec[name] = "manifest"
    return Resolved(spec, origins_in_spec, swapped, tuple(findings))


def _field_of(path: str) -> str:
    """Return the field of the recipe that a written path belongs to."""
    name = path.partition(".")[0].partition("[")[0]
    return "observability" if name.startswith("observability_") else name


def _put(
    values: dict[str, Any], origins: dict[str, str], name: str, value: Any, origin: str
) -> None:
    """Set a value; a rule that changes nothing leaves the origin."""
    if values[name] != value:
        values[name] = value
        origins[name] = origin


def _profile_values(profile: str, cur: Mapping[str, Any]) -> dict[str, Any]:
    if profile == "safe":
        return {
            "batch_size": 1,
            "gradient_accumulation_steps": max(8, cur["gradient_accumulation_steps"]),
            "max_seq_length": min(cur["max_seq_length"], 1024),
            "gradient_checkpointing": True,
            "sequence_packing": False,
            "flash_attention": False,
            "auto_oom_retry": True,
            "max_oom_retries": max(2, cur["max_oom_retries"]),
        }
    if profile == "balanced":
        return {
            "batch_size": max(1, min(cur["batch_size"], 2)),
            "gradient_accumulation_steps": max(4, cur["gradient_accumulation_steps"]),
            "max_seq_length": min(cur["max_seq_length"], 2048),
            "gradient_checkpointing": True,
            "auto_oom_retry": True,
            "max_oom_retries": max(2, cur["max_oom_retries"]),
        }
    return {"auto_oom_retry": True, "max_oom_retries": max(1, cur["max_oom_retries"])}


def _settle(values: dict[str, Any], origins: dict[str, str], names: set[str]) -> None:
    """Fill unwritten values that follow from written ones."""
    if values["group_by_length"] and "sequence_packing" not in names:
        _put(values, origins, "sequence_packing", False, "manifest")
    if values["fp16"] and "fp16" in names and "bf16" not in names:
        _put(values, origins, "bf16", False, "manifest")
    if values["dtype"] == "auto":
        chosen = "bfloat16" if values["bf16"] else "float16" if values["fp16"] else "float32"
        values["dtype"] = chosen


def _host_fixes(
    config: TrainingConfig,
    names: set[str],
    profile: str,
    host: HostFacts,
    places: Mapping[str, Place],  # noqa: ARG001  kept beside the other resolvers
) -> tuple[dict[str, Any], dict[str, FindingCode]]:
    """Return what this host uses instead, and the code of each swap that is told."""
    swapped: dict[str, Any] = {}
    codes: dict[str, FindingCode] = {}

    def swap(name: str, value: Any, code: FindingCode) -> None:
        swapped[name] = value
        codes[name] = code

    if config.optimizer in BITSANDBYTES_OPTIMIZERS and not (
        host.has_cuda and host.has_bitsandbytes
    ):
        swap("optimizer", "adamw_torch", FindingCode.AUTOFIX_OPTIMIZER)
    if config.bf16 and config.fp16:
        swap("fp16" if host.has_bf16 else "bf16", False, FindingCode.AUTOFIX_TWO_PRECISIONS)
    is_native = host.is_accelerated and (config.dtype != "bfloat16" or host.has_bf16)
    if config.dtype in ("bfloat16", "float16") and not is_native:
        swap("dtype", "float16" if host.has_cuda else "float32", FindingCode.AUTOFIX_PRECISION)
    is_flash_written = config.attn_implementation.startswith("flash")
    wants_flash = is_flash_written or (
        config.flash_attention and config.attn_implementation == "auto"
    )
    if wants_flash and not (host.has_cuda and host.has_flash_attention):
        if is_flash_written:
            swap("attn_implementation", "auto", FindingCode.AUTOFIX_ATTENTION)
        else:
            swap("flash_attention", False, FindingCode.AUTOFIX_ATTENTION)
        if config.sequence_packing:
            swap("sequence_packing", False, FindingCode.AUTOFIX_PACKING)
        if config.padding_free:
            swap("padding_free", False, FindingCode.AUTOFIX_PADDING_FREE)
    elif config.sequence_packing and not wants_flash:
        swap("sequence_packing", False, FindingCode.AUTOFIX_PACKING)
    is_large = config.batch_size > 2 and "batch_size" not in names
    if profile == "max_quality" and not host.has_cuda and is_large:
        swap("batch_size", 2, FindingCode.AUTOFIX_BATCH_NO_CUDA)
        accumulated = config.batch_size * config.gradient_accumulation_steps
        swapped["gradient_accumulation_steps"] = max(1, accumulated // 2)
    if config.gradient_checkpointing and not host.is_accelerated:
        swapped["gradient_checkpointing"] = "gradient_checkpointing" in names
    return swapped, codes


def _overridden(
    name: str, own: Any, rule: Any, profile: str, places: Mapping[str, Place]
) -> Finding:
    return Finding(
        code=FindingCode.PROFILE_OVERRIDDEN,
        severity=Severity.INFO,
        message=f"{own} is used; profile {profile} would give {rule}",
        actionable_fix="nothing, or delete the line to follow the profile",
        field=f"{_CONFIG}.{name}",
        place=places.get(f"config.{name}", Place()),
        found=str(own),
        expected=str(rule),
    )


_REASONS = {
    FindingCode.AUTOFIX_OPTIMIZER: "this optimizer needs bitsandbytes and CUDA",
    FindingCode.AUTOFIX_TWO_PRECISIONS: "only one of bf16 and fp16 can be used",
    FindingCode.AUTOFIX_PRECISION: "this host does not compute that precision natively",
    FindingCode.AUTOFIX_ATTENTION: "flash attention is not available here",
    FindingCode.AUTOFIX_PACKING: "the attention here can't keep packed rows apart",
    FindingCode.AUTOFIX_PADDING_FREE: "padding-free batches need flash attention",
    FindingCode.AUTOFIX_BATCH_NO_CUDA: "without CUDA smaller passes are used",
}


def _fixed(
    name: str,
    before: Any,
    after: Any,
    code: FindingCode,
    names: set[str],
    places: Mapping[str, Place],
) -> Finding:
    return Finding(
        code=code,
        severity=Severity.WARNING if name in names else Severity.INFO,
        message=f"this host uses {_yaml(after)} instead of {_yaml(before)}: {_REASONS[code]}",
        actionable_fix="nothing; the identity keeps the manifest's value",
        field=f"{_CONFIG}.{name}",
        place=places.get(f"config.{name}", Place()),
        found=_yaml(before),
        expected=_yaml(after),
    )


def _yaml(value: Any) -> str:
    """Return a plain value as the manifest writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
