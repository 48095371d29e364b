"""Whether the weights of a LoRA adapter are those that its configuration describes.

No library opens them: names, types and shapes are in the header, and the numbers are streamed.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from brewslm.errors import ArtifactError
from brewslm.plan.safetensors import FLOATS, first_not_finite, read_header

_FACTOR = re.compile(r"(?P<module>.+)\.lora_(embedding_)?(?P<side>[AB])(\.weight)?")
_PREFIX = "base_model.model."
_EMBEDDINGS = ("embed_tokens", "lm_head", "wte", "word_embeddings", "embed_in", "embed_out")
"""Modules that PEFT saves whole where the vocabulary grew."""
_TOKENS = re.compile(r".+\.(token_adapter\.)?trainable_tokens_delta")
_MAGNITUDE = re.compile(r".+\.lora_magnitude_vector(\.weight)?")


def check_lora_weights(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse weights that are not pairs of factors of the configured rank on the configured
    modules, or that hold a number that is not finite.

    Raises: ArtifactError with artifact_corrupt, PlanError with MODEL_NOT_SAFETENSORS.
    """
    tensors = read_header(path)
    pairs: dict[str, dict[str, list[int]]] = {}
    for name, (dtype, shape) in tensors.items():
        if dtype not in FLOATS:
            raise _corrupt(f"{name} of type {dtype}", "numbers of type " + ", ".join(FLOATS))
        match = _FACTOR.fullmatch(name)
        if match is not None:
            pairs.setdefault(match["module"], {})[match["side"]] = shape
        elif not _is_beside(name, config):
            raise _corrupt(name, "tensors that the configuration describes")
    _check_pairs(pairs, config)
    if odd := first_not_finite(path):
        raise _corrupt(f"{odd} holds a number that is not finite", "finite numbers")


def _check_pairs(pairs: Mapping[str, Mapping[str, list[int]]], config: Mapping[str, Any]) -> None:
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
