"""What the files of a LoRA adapter that was trained elsewhere say; nothing of it is ever run.

Only `adapter_config.json` and the header of `adapter_model.safetensors` are read.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brewslm.errors import PlanError, RefusedError
from brewslm.plan.base_model import REFUSED_SUFFIXES
from brewslm.plan.safetensors import read_header
from brewslm.stages.training_plan import TrainingPlanSpec
from brewslm.strict_json import StrictJsonError, parse_strict

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_MAX_CONFIG_BYTES = 1 << 20
_NAMES = {"r": "lora_r", "lora_alpha": "lora_alpha", "use_dora": "use_dora"}
"""Keys of an adapter's configuration to those of ours that have to say the same."""
_NAMES |= {"use_rslora": "use_rslora"}
_DESCRIBED = {
    "lora_dropout": "lora_dropout",
    "bias": "lora_bias",
    "target_modules": "target_modules",
    "modules_to_save": "modules_to_save",
}
"""Further keys that say how an adapter was trained."""
_INDESCRIBABLE = ("rank_pattern", "alpha_pattern", "layers_to_transform", "layer_replication")
"""Keys of a form that no field of ours has."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def check_lora_adapter(folder: Path, spec: TrainingPlanSpec) -> None:
    """Refuse a folder that is no LoRA adapter of the form that the manifest trains.

    Raises: RefusedError with format_refused or config_key_refused; PlanError with
    MODEL_NOT_SAFETENSORS or usage_error.
    """
    _check_form(_adapter_config(folder), spec)


def recipe_of(folder: Path) -> dict[str, Any]:
    """Return what a LoRA adapter says of its training, under the names of `training_plan.config`.

    `base_model` and `revision` are there only where they name a model of the Hub.

    Raises: RefusedError with format_refused or config_key_refused; PlanError with
    MODEL_NOT_SAFETENSORS or usage_error.
    """
    config = _adapter_config(folder)
    foreign = [name for name in _INDESCRIBABLE if config.get(name)]
    modules = config.get("target_modules")
    if isinstance(modules, str) and modules != "all-linear":
        foreign.append("target_modules")
    if config.get("peft_type") != "LORA" or foreign:
        raise PlanError(
            "no manifest can describe that adapter",
            code="usage_error",
            found=f"peft_type {config.get('peft_type')}" + "".join(f", {item}" for item in foreign),
            expected="peft_type LORA, with one rank for modules that are listed",
            remedy="import an adapter that was trained with such a configuration",
        )
    recipe = {ours: config.get(theirs) or False for theirs, ours in _NAMES.items()}
    for theirs, ours in _DESCRIBED.items():
        if config.get(theirs) is not None:
            value = config[theirs]
            recipe[ours] = sorted(value) if isinstance(value, list) else value
    base, revision = config.get("base_model_name_or_path"), config.get("revision")
    if isinstance(base, str) and _HUB_ID.fullmatch(base):
        recipe["base_model"] = base
        if isinstance(revision, str) and revision:
            recipe["revision"] = revision
    return recipe


def _adapter_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of an adapter whose files hold nothing that could be run."""
    refused = [path.name for path in sorted(folder.rglob("*")) if path.suffix in REFUSED_SUFFIXES]
    if refused:
        raise RefusedError(
            "the folder holds files that could run code",
            code="format_refused",
            found=", ".join(refused[:8]),
            expected=f"{_CONFIG} and {_WEIGHTS}",
            remedy="save the adapter as safetensors, and import that",
        )
    if not (folder / _CONFIG).is_file() or not (folder / _WEIGHTS).is_file():
        raise PlanError(
            f"{folder} holds no LoRA adapter",
            code="MODEL_NOT_SAFETENSORS",
            found=", ".join(sorted(path.name for path in folder.glob("*"))[:8]) or "nothing",
            expected=f"{_CONFIG} and {_WEIGHTS}",
            remedy="name the folder that PEFT wrote",
        )
    config = _config(folder / _CONFIG)
    read_header(folder / _WEIGHTS)
    if config.get("auto_mapping") is not None:
        raise RefusedError(
            f"{_CONFIG} names code to load",
            code="config_key_refused",
            found="auto_mapping",
            expected="an adapter that needs no code of its own",
            remedy="save the adapter with a task_type, which leaves auto_mapping empty",
        )
    return config


def _config(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            return dict(parse_strict(stream.read(_MAX_CONFIG_BYTES), require_object=True))
    except StrictJsonError as error:
        raise PlanError(
            f"{path.name} cannot be read",
            code="usage_error",
            found=error.message,
            expected="one JSON object",
            remedy="name the folder that PEFT wrote",
        ) from error


def _check_form(config: Mapping[str, Any], spec: TrainingPlanSpec) -> None:
    found = {ours: config.get(theirs) or False for theirs, ours in _NAMES.items()}
    wanted = {ours: getattr(spec.config, ours) for ours in _NAMES.values()}
    differing = [name for name in wanted if found[name] != wanted[name]]
    if config.get("peft_type") != "LORA" or differing:
        raise PlanError(
            "that is not what the manifest trains",
            code="usage_error",
            found=f"peft_type {config.get('peft_type')}"
            + "".join(f", {name} {found[name]}" for name in differing),
            expected="peft_type LORA" + "".join(f", {name} {wanted[name]}" for name in differing),
            remedy="write the adapter's values into training_plan.config, or have a new manifest "
            "written with them: --write-manifest FILE",
        )
