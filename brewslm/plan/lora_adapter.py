"""What the files of a LoRA adapter that was trained elsewhere say; nothing of it is ever run, and
no place that it names is opened.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brewslm.errors import BrewError, PlanError, RefusedError
from brewslm.plan.base_tensors import base_shapes
from brewslm.plan.file_forms import is_of_its_form
from brewslm.plan.hub_cache import COMMIT, commit_of
from brewslm.plan.lora_weights import check_lora_weights
from brewslm.plan.model_files import MAX_CONFIG_BYTES, is_model_file, refused_key
from brewslm.plan.safetensors import read_header
from brewslm.stages.model import ModelSpec
from brewslm.stages.training_plan import TrainingPlanSpec
from brewslm.strict_json import StrictJsonError, parse_strict

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_OWN = (_CONFIG, _WEIGHTS, "brewslm.json", "run.json", "SHA256SUMS")
"""Files of an adapter, those that an export writes beside it included."""
_NAMES = {
    "r": "lora_r",
    "lora_alpha": "lora_alpha",
    "use_dora": "use_dora",
    "use_rslora": "use_rslora",
}
"""Keys of an adapter's configuration to those of ours that have to say the same."""
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
_SNAPSHOT = re.compile(
    r".*[/\\]models--(?P<name>[\w.-]+)[/\\]snapshots[/\\](?P<commit>[0-9a-f]{40})[/\\]?"
)
"""A path into a cache of the Hub."""
_BASE, _REVISION = "base_model_name_or_path", "revision"
_AGAIN = "then take the digest again"
_BASE_INITS = ("pissa", "olora", "corda", "mica", "loftq", "lora_ga")
"""Starts for which PEFT rewrites the weights of the base model whenever it loads the adapter."""
_REMEDIES = {
    "auto_mapping": f'set auto_mapping to null and task_type to "CAUSAL_LM" in {_CONFIG}, {_AGAIN}',
    _REVISION: f"write the commit of its base, or null, as {_REVISION} in {_CONFIG}, {_AGAIN}",
    _BASE: f"write the base of the manifest as {_BASE} in {_CONFIG}, {_AGAIN}",
    "init_lora_weights": "convert it to an adapter of the untouched base: "
    "model.save_pretrained(FOLDER, path_initial_model_for_weight_conversion=FIRST)",
    "rank_pattern": f"write whole numbers above 0 as its values, {_AGAIN}",
    "alpha_pattern": f"write numbers above 0 as its values, {_AGAIN}",
    "layers_to_transform": f"write a list of whole numbers, {_AGAIN}",
    "trainable_token_indices": f"write lists of whole numbers, {_AGAIN}",
}

_TEXT, _FLAG, _COUNT, _NUMBER = (str,), (bool,), (int,), (int, float)
_NAME_OR_NAMES = (str, list)
_KEYS: Mapping[str, tuple[type, ...]] = {
    "alora_invocation_tokens": (list,),
    "alpha_pattern": (dict,),
    "arrow_config": (),
    "auto_mapping": (),
    _BASE: _TEXT,
    "bias": _TEXT,
    "corda_config": (dict,),
    "ensure_weight_tying": _FLAG,
    "eva_config": (dict,),
    "exclude_modules": _NAME_OR_NAMES,
    "fan_in_fan_out": _FLAG,
    "inference_mode": _FLAG,
    "init_lora_weights": (bool, str),
    "kasa_config": (),
    "layer_replication": (),
    "layers_pattern": _NAME_OR_NAMES,
    "layers_to_transform": (int, list),
    "loftq_config": (dict,),
    "lora_alpha": _NUMBER,
    "lora_bias": _FLAG,
    "lora_dropout": _NUMBER,
    "lora_ga_config": (dict,),
    "megatron_config": (),
    "megatron_core": _TEXT,
    "modules_to_save": (list,),
    "monteclora_config": (),
    "peft_type": _TEXT,
    "peft_version": _TEXT,
    "qalora_group_size": _COUNT,
    "r": _COUNT,
    "rank_pattern": (dict,),
    _REVISION: _TEXT,
    "runtime_config": (dict,),
    "target_modules": _NAME_OR_NAMES,
    "target_parameters": (list,),
    "task_type": _TEXT,
    "trainable_token_indices": (list, dict),
    "use_bdlora": (),
    "use_dora": _FLAG,
    "use_qalora": _FLAG,
    "use_rslora": _FLAG,
    "velora_config": (),
}
"""Keys that PEFT writes for LoRA, with the types of their values; null and false are allowed
everywhere, and nothing else where there is no type.
"""


def check_lora_adapter(
    folder: Path, spec: TrainingPlanSpec, model: ModelSpec, base_folder: Path
) -> None:
    """Refuse a folder that is no LoRA adapter of the form that the manifest trains, on its base.

    Raises: RefusedError with format_refused,
    config_key_refused or base_mismatch; PlanError with MODEL_NOT_SAFETENSORS or usage_error;
    ArtifactError with artifact_corrupt for weights that the configuration does not describe, or
    that do not fit the base model.
    """
    config = _adapter_config(folder)
    _check_form(config, spec)
    _check_base(config, model, commit_of(base_folder))
    check_lora_weights(folder / _WEIGHTS, config, base_shapes(base_folder))


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
    base, commits = _named_base(config)
    if _HUB_ID.fullmatch(base):
        recipe["base_model"] = base
        if commits:
            recipe["revision"] = commits[0]
    return recipe


def _adapter_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of an adapter whose files hold nothing that could be run."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_symlink() or not path.is_dir()]
    odd = [path.relative_to(folder).as_posix() for path in files if not _is_expected(path, folder)]
    if odd:
        raise RefusedError(
            "the folder holds links, files that could run code, or what no adapter needs",
            code="format_refused",
            found=", ".join(odd[:8]),
            expected=f"{_CONFIG} and {_WEIGHTS}",
            remedy=f"copy {_CONFIG} and {_WEIGHTS} into a folder of their own (cp -L)"
            if (folder / _WEIGHTS).is_file()
            else "save the adapter as safetensors, and import that",
        )
    other = [path.name for path in files if path.name not in (_CONFIG, _WEIGHTS)]
    if unfit := [name for name in other if not is_of_its_form(folder / name)]:
        raise RefusedError(
            "a file of the adapter is not what its name says",
            code="format_refused",
            found=", ".join(unfit[:8]),
            expected="JSON, text, pictures and SentencePiece models under such names",
            remedy=f"copy {_CONFIG} and {_WEIGHTS} into a folder of their own",
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
    _check_keys(config)
    read_header(folder / _WEIGHTS)
    return config


def _is_expected(path: Path, folder: Path) -> bool:
    is_of_adapter = path.name in _OWN or is_model_file(path.name)
    return path.parent == folder and is_of_adapter and not path.is_symlink()


def _config(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            return dict(parse_strict(stream.read(MAX_CONFIG_BYTES), require_object=True))
    except StrictJsonError as error:
        raise PlanError(
            f"{path.name} cannot be read",
            code="usage_error",
            found=error.message,
            expected="one JSON object",
            remedy="name the folder that PEFT wrote",
        ) from error


def _check_keys(config: Mapping[str, Any]) -> None:
    """Refuse what is no key of a LoRA adapter, and values that name code or a place."""
    for key, value in config.items():
        if value is None or value is False:
            continue
        if type(value) not in _KEYS.get(key, ()) or not _is_usable(key, value):
            raise _key_refused(key)
    refused = refused_key({name: value for name, value in config.items() if name != _BASE})
    revision = config.get(_REVISION)
    if refused is None and revision is not None and not COMMIT.fullmatch(revision):
        refused = _REVISION
    if refused is not None:
        raise _key_refused(refused)


def _is_usable(key: str, value: Any) -> bool:
    """Return whether a value of the right type holds what it has to."""
    match key:
        case "rank_pattern" | "alpha_pattern":
            numbers = _COUNT if key == "rank_pattern" else _NUMBER
            return all(type(item) in numbers and item > 0 for item in value.values())
        case "target_modules" | "exclude_modules" | "modules_to_save" if isinstance(value, list):
            return all(isinstance(name, str) for name in value)
        case "layers_to_transform" if isinstance(value, list):
            return all(type(layer) is int for layer in value)
        case "trainable_token_indices":
            lists = value.values() if isinstance(value, dict) else [value]
            return all(
                isinstance(tokens, list) and all(type(token) is int for token in tokens)
                for tokens in lists
            )
        case "init_lora_weights" if isinstance(value, str):
            return not value.lower().startswith(_BASE_INITS)
    return True


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


def _check_base(config: Mapping[str, Any], model: ModelSpec, commit: str | None) -> None:
    """Refuse an adapter of another base model, whose weights may well have the same shapes."""
    base, commits = _named_base(config)
    if "://" in base:
        raise _key_refused(_BASE)
    is_local = model.base_model.startswith(("builtin:", "./"))
    is_named = is_local and _last_part(base) == _last_part(model.base_model)
    if base != model.base_model and not is_named:
        raise _other_base(base or "none", model.base_model)
    if other := [item for item in commits if item != commit]:
        raise _other_base(f"{base} at {other[0]}", f"{model.base_model} at {commit or 'no commit'}")


def _named_base(config: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the base model that an adapter names, and the commits of it; a path into a cache of
    the Hub names both.
    """
    base, revision = config.get(_BASE) or "", config.get(_REVISION)
    commits = [revision] if revision else []
    if match := _SNAPSHOT.fullmatch(base):
        return match["name"].replace("--", "/", 1), [match["commit"], *commits]
    return base, commits


def _last_part(name: str) -> str:
    return re.split(r"[:/\\]", name.rstrip("/\\"))[-1]


def _key_refused(key: str) -> BrewError:
    return RefusedError(
        f"{_CONFIG} holds what is no setting of a LoRA adapter",
        code="config_key_refused",
        found=key,
        expected="the keys that PEFT writes for LoRA, with values that name no code and no place",
        remedy=_REMEDIES.get(key, f"take that key out of {_CONFIG}, {_AGAIN}"),
    )


def _other_base(found: str, expected: str) -> BrewError:
    return RefusedError(
        "the adapter was trained on another base model",
        code="base_mismatch",
        found=found,
        expected=expected,
        remedy=f"import an adapter of this base, or name its base in the manifest; if it is of "
        f"this base, write so as {_BASE} and {_REVISION} in {_CONFIG}, {_AGAIN}",
    )
