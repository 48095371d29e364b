"""Whether the weights of a LoRA adapter are those that its configuration describes.

No library opens them: names, types and shapes are in the header, and the numbers are streamed.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from brewslm.errors import ArtifactError
from brewslm.plan.safetensors import first_not_finite, read_header

_FACTOR = re.compile(
    r"(?P<module>.+)\.lora_((?P<side>[AB])\.weight|embedding_(?P<embedding_side>[AB]))"
)
_PREFIX = "base_model.model."
_EMBEDDINGS = ("embed_tokens", "lm_head", "wte", "word_embeddings", "embed_in", "embed_out")
"""Modules that PEFT saves whole where the vocabulary grew."""
_HEADS = ("lm_head", "embed_out")
"""Those of them that are linear."""
_LOOKUP = re.compile(r"(?!embed_out).*emb.*|w[tp]e")
"""Names of modules that may be embeddings."""
_TOKENS = re.compile(r"(?P<module>.+?)(\.token_adapter)?\.trainable_tokens_delta")
_MAGNITUDE = re.compile(r"(?P<module>.+)\.lora_magnitude_vector(\.weight)?")
_BIAS = re.compile(r"(?P<module>.+)\.lora_B\.bias")
_LAYER = re.compile(r"\.(\d+)\.")
_PLAIN_NAME = re.compile(r"\^?[\w.]+")
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
    lookups: set[str] = set()
    beside: dict[str, list[int]] = {}
    for name, (dtype, shape) in tensors.items():
        if dtype not in _TYPES:
            raise _corrupt(f"{name} of type {dtype}", "numbers of type " + ", ".join(_TYPES))
        match = _FACTOR.fullmatch(name)
        if match is not None:
            pairs.setdefault(match["module"], {})[match["side"] or match["embedding_side"]] = shape
            if match["embedding_side"]:
                lookups.add(match["module"])
        elif _is_beside(name, config):
            beside[name] = shape
        else:
            raise _corrupt(name, "tensors that the configuration describes")
    _check_pairs(pairs, config)
    if not config.get("target_parameters"):
        for module, shapes in pairs.items():
            _check_module(module, shapes, base, config, is_lookup=module in lookups)
    for name, shape in beside.items():
        _check_beside(name, shape, base, pairs, config)
    _check_complete(pairs, config, base)
    _check_all_beside(beside, pairs.keys() - lookups, config, base)
    if odd := first_not_finite(path):
        raise _corrupt(f"{odd} holds a number that is not finite", "finite numbers")


def _check_pairs(pairs: _Pairs, config: Mapping[str, Any]) -> None:
    if not pairs:
        raise _corrupt("no lora_A and lora_B", "at least one pair of them")
    targets, chosen = config.get("target_modules"), _chosen_layers(config)
    for module, shapes in pairs.items():
        if shapes.keys() != {"A", "B"}:
            raise _corrupt(f"{module} with lora_{next(iter(shapes))} alone", "lora_A and lora_B")
        a, b = shapes["A"], shapes["B"]
        ranks = _ranks_of(module, config)
        is_pair = len(a) == len(b) >= 2 and min(*a, *b) > 0 and a[0] == b[1]
        is_of_rank = is_pair and _is_of_rank(a[0], ranks, config)
        if not is_of_rank:
            raise _corrupt(
                f"{module} with shapes {a} and {b}",
                f"[r, inputs] and [outputs, r], where r is {min(ranks)}",
            )
        if isinstance(targets, list) and not _is_named(module, targets, config):
            raise _corrupt(module, "modules of target_modules: " + ", ".join(map(str, targets)))
        if chosen and _layer_of(module) not in chosen:
            raise _corrupt(module, f"layers of layers_to_transform: {sorted(chosen)}")


def _ranks_of(module: str, config: Mapping[str, Any]) -> set[int]:
    """Return the ranks that factors of a module may have: one, unless a key of rank_pattern is a
    regular expression, which nothing here evaluates.
    """
    patterns: Mapping[str, int] = config.get("rank_pattern") or {}
    if config.get("target_parameters") or not all(map(_PLAIN_NAME.fullmatch, patterns)):
        return {config["r"], *patterns.values()}
    name = module.removeprefix(_PREFIX)
    for key, rank in patterns.items():
        whole = key.removeprefix("^")
        if name == whole or (whole == key and name.endswith(f".{key}")):
            return {rank}
    return {config["r"]}


def _check_module(
    module: str,
    shapes: Mapping[str, list[int]],
    base: BaseShapes,
    config: Mapping[str, Any],
    *,
    is_lookup: bool,
) -> None:
    """Refuse factors on a module that the base model lacks, or of another width or kind than it
    has.

    is_lookup: whether the factors are those of an embedding; it is kept as [inputs, outputs].
    """
    last = module.rpartition(".")[2]
    is_embedding = last in _EMBEDDINGS and last not in _HEADS
    if not _LOOKUP.fullmatch(last) if is_lookup else is_embedding:
        raise _unfit(
            f"factors of {module} named as those of {'an embedding' if is_lookup else 'a matrix'}",
            "lora_embedding_A and lora_embedding_B for embeddings, lora_A.weight and "
            "lora_B.weight for others",
        )
    a, b = shapes["A"], shapes["B"]
    sizes = [b[0], a[1], *a[2:]]
    if is_lookup or config.get("fan_in_fan_out"):
        sizes[:2] = sizes[1::-1]
    _check_shape(f"factors of {module}", f"{module.removeprefix(_PREFIX)}.weight", sizes, base)


def _check_beside(
    name: str, shape: list[int], base: BaseShapes, pairs: _Pairs, config: Mapping[str, Any]
) -> None:
    """Refuse what comes with the factors where they, or the base model, have nothing of its
    shape.
    """
    if match := _TOKENS.fullmatch(name):
        _check_token_rows(name, shape, match["module"], base, config)
    elif match := _MAGNITUDE.fullmatch(name) or _BIAS.fullmatch(name):
        pair = pairs.get(match["module"])
        if pair is None:
            raise _corrupt(name, "lora_A and lora_B beside it")
        if len(pair["B"]) == 2 and shape != pair["B"][:1]:
            raise _unfit(f"{name} {shape}", str(pair["B"][:1]))
    else:
        inner = name.removeprefix(_PREFIX).replace(".base_layer.", ".")
        _check_shape(name, inner, shape, base)


def _check_token_rows(
    name: str, shape: list[int], module: str, base: BaseShapes, config: Mapping[str, Any]
) -> None:
    """Refuse rows of an embedding that are not as many, as wide or of such tokens as they say."""
    chosen = config["trainable_token_indices"]
    if isinstance(chosen, dict):
        chosen = next((chosen[key] for key in chosen if _is_named(module, [key], config)), [])
    held = base.get(module.removeprefix(_PREFIX) + ".weight", [0, 0])
    if held is None:
        return
    rows, width = held[0], held[-1]
    if shape != [len(chosen), width] or not all(0 <= token < rows for token in chosen):
        raise _unfit(
            f"{name} {shape} for tokens {chosen[:_MOST_NAMES]}",
            f"{[len(chosen), width]}, and tokens below {rows}",
        )


def _check_shape(what: str, name: str, shape: list[int], base: BaseShapes) -> None:
    if _EXPERTS in name:
        return
    if name not in base:
        raise _unfit(f"{what}, and the base model has no {name}", "modules of the base model")
    held = base[name]
    if held is None:
        return
    # kernels of convolutions are as wide as their groups say
    if len(held) != len(shape) or (len(held) <= 2 and held != shape):
        raise _unfit(f"{what} for a weight of {shape}", f"factors for a weight of {held}")


def _check_complete(pairs: _Pairs, config: Mapping[str, Any], base: BaseShapes) -> None:
    """Refuse an adapter that has no factors for some of the modules that it says it targets."""
    targets, excluded = config.get("target_modules"), config.get("exclude_modules") or []
    if not isinstance(targets, list) or not isinstance(excluded, list):
        return
    if config.get("target_parameters") or config.get("layers_pattern"):
        return
    chosen = _chosen_layers(config)
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
        raise _corrupt(
            f"no factors for {_listed(absent)}",
            "lora_A and lora_B for every module of the base that target_modules names",
        )


def _check_all_beside(
    beside: Collection[str],
    modules: Collection[str],
    config: Mapping[str, Any],
    base: BaseShapes,
) -> None:
    """Refuse an adapter that lacks what its configuration adds to the factors: PEFT would take the
    numbers of the base model in its place without a word.

    modules: those with factors that are no embeddings.
    """
    found = {name.replace(".base_layer.", ".").removesuffix(".weight") for name in beside}
    wanted: set[str] = set()
    if config.get("use_dora"):
        wanted |= {f"{module}.lora_magnitude_vector" for module in modules}
    if config.get("lora_bias"):
        wanted |= {f"{module}.lora_B.bias" for module in modules}
    if not config.get("ensure_weight_tying"):
        wanted |= {
            (_PREFIX + name).removesuffix(".weight") for name in base if _is_saved(name, config)
        }
    if config.get("bias") in ("all", "lora_only"):
        biases = {_PREFIX + name for name in base if name.endswith(".bias")}
        of_factors = {f"{module}.bias" for module in modules}
        wanted |= biases if config["bias"] == "all" else biases & of_factors
    if absent := sorted(wanted - found):
        raise _corrupt(f"no {_listed(absent)}", "every tensor that the configuration adds")
    if config.get("trainable_token_indices") and not any(map(_TOKENS.fullmatch, beside)):
        raise _corrupt("no trainable_tokens_delta", "the rows of trainable_token_indices")


def _chosen_layers(config: Mapping[str, Any]) -> set[int]:
    """Return the layers that get factors, none where all of them do."""
    layers = config.get("layers_to_transform")
    return {layers} if isinstance(layers, int) else set(layers or ())


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


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
    return any(f".{module}." in f".{name}" for module in _EMBEDDINGS) or _is_saved(name, config)


def _is_saved(name: str, config: Mapping[str, Any]) -> bool:
    """Return whether a tensor is of a module that is saved whole: PEFT compares ends of names,
    whatever stands before them.
    """
    ends = tuple(config.get("modules_to_save") or ())
    parts = name.split(".")
    return any(".".join(parts[:count]).endswith(ends) for count in range(1, len(parts)))


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
