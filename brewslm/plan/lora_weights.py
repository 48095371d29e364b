"""Whether the weights of a LoRA adapter are those that its configuration describes.

No library opens them: names, types and shapes are in the header, and the numbers are streamed.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from brewslm.errors import ArtifactError
from brewslm.plan.safetensors import first_not_finite, read_header

_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<kind>embedding_)?(?P<side>[AB])(\.weight)?")
_PREFIX = "base_model.model."
_EMBEDDINGS = ("embed_tokens", "lm_head", "wte", "word_embeddings", "embed_in", "embed_out")
"""Modules that PEFT saves whole where the vocabulary grew."""
_TOKENS = re.compile(r".+\.(token_adapter\.)?trainable_tokens_delta")
_MAGNITUDE = re.compile(r"(?P<module>.+)\.lora_magnitude_vector(\.weight)?")
_BIAS = re.compile(r"(?P<module>.+)\.lora_B\.bias")
_LAYER = re.compile(r"\.(\d+)\.")
_EXPERTS = ".experts"
"""Part of the names of modules that have other names in files than in memory."""
_TYPES = ("F32", "F16", "BF16")
"""Types that adapters are trained and saved in."""
_MOST_NAMES = 3

BaseShapes = Mapping[str, list[int] | None]
"""Full name of every tensor of a base model to its shape, None where its numbers are packed."""
_Pairs = Mapping[str, Mapping[str, list[int]]]


def check_lora_weights(path: Path, config: Mapping[str, Any], base: BaseShapes) -> None:
    """Refuse weights that are not pairs of factors of the configured rank on the configured
    modules of this base model, all of them, or that hold a number that is not finite.

    Raises: ArtifactError with artifact_corrupt, PlanError with MODEL_NOT_SAFETENSORS.
    """
    tensors = read_header(path)
    pairs: dict[str, dict[str, list[int]]] = {}
    kinds: dict[str, str] = {}
    beside: dict[str, list[int]] = {}
    for name, (dtype, shape) in tensors.items():
        if dtype not in _TYPES:
            raise _corrupt(f"{name} of type {dtype}", "numbers of type " + ", ".join(_TYPES))
        match = _FACTOR.fullmatch(name)
        if match is not None:
            pairs.setdefault(match["module"], {})[match["side"]] = shape
            kinds[match["module"]] = match["kind"] or ""
        elif _is_beside(name, config):
            beside[name] = shape
        else:
            raise _corrupt(name, "tensors that the configuration describes")
    _check_pairs(pairs, config)
    if not config.get("target_parameters"):
        for module, shapes in pairs.items():
            is_turned = bool(kinds[module] or config.get("fan_in_fan_out"))
            _check_module(module, shapes, base, is_turned=is_turned)
    for name, shape in beside.items():
        _check_beside(name, shape, base)
    _check_complete(pairs, config, base)
    if odd := first_not_finite(path):
        raise _corrupt(f"{odd} holds a number that is not finite", "finite numbers")


def _check_pairs(pairs: _Pairs, config: Mapping[str, Any]) -> None:
    if not pairs:
        raise _corrupt("no lora_A and lora_B", "at least one pair of them")
    ranks = {config["r"], *(config.get("rank_pattern") or {}).values()}
    targets = config.get("target_modules")
    for module, shapes in pairs.items():
        if shapes.keys() != {"A", "B"}:
            raise _corrupt(f"{module} with lora_{next(iter(shapes))} alone", "lora_A and lora_B")
        a, b = shapes["A"], shapes["B"]
        is_pair = len(a) == len(b) >= 2 and min(*a, *b) > 0 and a[0] == b[1]
        is_of_rank = is_pair and _is_of_rank(a[0], ranks, config)
        if not is_of_rank:
            raise _corrupt(
                f"{module} with shapes {a} and {b}",
                f"[r, inputs] and [outputs, r], where r is {min(ranks)}",
            )
        if isinstance(targets, list) and not _is_named(module, targets, config):
            raise _corrupt(module, "modules of target_modules: " + ", ".join(map(str, targets)))


def _check_module(
    module: str, shapes: Mapping[str, list[int]], base: BaseShapes, *, is_turned: bool
) -> None:
    """Refuse factors on a module that the base model lacks, or of another width than it has.

    is_turned: whether the base keeps the weight as [inputs, outputs].
    """
    name = module.removeprefix(_PREFIX) + ".weight"
    sizes = [shapes["A"][1], shapes["B"][0]]
    _check_shape(f"factors of {module}", name, sizes if is_turned else sizes[::-1], base)


def _check_beside(name: str, shape: list[int], base: BaseShapes) -> None:
    """Refuse what comes with the factors where the base model has nothing of its shape."""
    if _TOKENS.fullmatch(name):
        return
    match = _MAGNITUDE.fullmatch(name) or _BIAS.fullmatch(name)
    inner = (match["module"] if match else name).removeprefix(_PREFIX).replace(".base_layer.", ".")
    if match is None:
        _check_shape(name, inner, shape, base)
        return
    held = base.get(f"{inner}.weight", [])
    if held is not None and (len(shape) != 1 or shape[0] not in held):
        raise _unfit(f"{name} {shape}", f"{held[:1]}")


def _check_shape(what: str, name: str, shape: list[int], base: BaseShapes) -> None:
    if _EXPERTS in name:
        return
    if name not in base:
        raise _unfit(f"{what}, and the base model has no {name}", "modules of the base model")
    held = base[name]
    if held is not None and len(held) == len(shape) and held != shape:
        raise _unfit(f"{what} for a weight of {shape}", f"factors for a weight of {held}")


def _check_complete(pairs: _Pairs, config: Mapping[str, Any], base: BaseShapes) -> None:
    """Refuse an adapter that has no factors for some of the modules that it says it targets."""
    targets, excluded = config.get("target_modules"), config.get("exclude_modules") or []
    if not isinstance(targets, list) or not isinstance(excluded, list):
        return
    if config.get("target_parameters") or config.get("layers_pattern"):
        return
    layers = config.get("layers_to_transform")
    chosen = {layers} if isinstance(layers, int) else set(layers or ())
    wanted = {
        _PREFIX + name.removesuffix(".weight")
        for name, shape in base.items()
        if name.endswith(".weight") and (shape is None or len(shape) == 2) and _EXPERTS not in name
    }
    absent = sorted(
        module
        for module in wanted - pairs.keys()
        if _is_named(module, targets, config)
        and not _is_named(module, excluded, config)
        and (not chosen or _layer_of(module) in chosen)
        and not _is_whole(module, config)
    )
    if absent:
        more = f" and {len(absent) - _MOST_NAMES} more" if len(absent) > _MOST_NAMES else ""
        raise _corrupt(
            f"no factors for {', '.join(absent[:_MOST_NAMES])}{more}",
            "lora_A and lora_B for every module of the base that target_modules names",
        )


def _layer_of(module: str) -> int | None:
    match = _LAYER.search(module)
    return int(match[1]) if match else None


def _is_whole(module: str, config: Mapping[str, Any]) -> bool:
    """Return whether a module is trained whole instead."""
    return _is_named(module, config.get("modules_to_save") or [], config)


def _is_of_rank(rank: int, ranks: Collection[Any], config: Mapping[str, Any]) -> bool:
    """Return whether it is a configured rank; factors of the parameters of experts stack them."""
    if config.get("target_parameters"):
        return any(type(item) is int and item > 0 and rank % item == 0 for item in ranks)
    return rank in ranks


def _is_named(module: str, targets: Collection[Any], config: Mapping[str, Any]) -> bool:
    if config.get("target_parameters"):
        return True
    name = module.removeprefix(_PREFIX)
    return any(name == target or name.endswith(f".{target}") for target in targets)


def _is_beside(name: str, config: Mapping[str, Any]) -> bool:
    """Return whether a tensor is one that the configuration adds to the factors."""
    if _MAGNITUDE.fullmatch(name):
        return bool(config.get("use_dora"))
    if _TOKENS.fullmatch(name):
        return config.get("trainable_token_indices") is not None
    if name.endswith(".lora_B.bias"):
        return bool(config.get("lora_bias"))
    if name.endswith(".bias") and config.get("bias") not in (None, "none"):
        return True
    kept = (*_EMBEDDINGS, *(config.get("modules_to_save") or ()))
    return any(f".{module}." in f".{name}" for module in kept)


def _corrupt(found: str, expected: str) -> ArtifactError:
    return ArtifactError(
        "the weights of the adapter are not what its configuration says",
        code="artifact_corrupt",
        found=found,
        expected=expected,
        remedy="save the adapter with PEFT again, or take another checkpoint of its training",
    )


def _unfit(found: str, expected: str) -> ArtifactError:
    return ArtifactError(
        "the weights of the adapter do not fit the base model",
        code="artifact_corrupt",
        found=found,
        expected=expected,
        remedy="import an adapter of this base model, or name its base in the manifest",
    )
