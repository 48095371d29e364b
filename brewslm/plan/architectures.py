"""Which models can be trained here, by the type that their config.json names.

The list beside this module is what the supported version of transformers knows: nothing here asks
the library.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from brewslm.errors import PlanError
from brewslm.registry import closest

_LIST = Path(__file__).with_name("architectures.json")
_CAUSAL = ("ForCausalLM", "LMHeadModel", "Model")
"""How classes are named that write text from left to right, or that are such models without their
head.
"""
_EXAMPLES = ("llama", "mistral", "qwen3")
_NEEDED = ("hidden_size", "num_hidden_layers", "vocab_size")


def check_architecture(config: Mapping[str, Any]) -> None:
    """Refuse what no library loads as a causal language model.

    Raises: PlanError with code BASE_REFUSED, MODEL_NEEDS_CODE or MODEL_ARCHITECTURE_UNFIT.
    """
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise PlanError(
            "config.json of the base model does not say which model it is",
            code="BASE_REFUSED",
            found=f"model_type: {model_type!r}"[:60] if "model_type" in config else "no model_type",
            expected="the type of a causal language model, such as " + ", ".join(_EXAMPLES),
            remedy="fetch config.json again, or take another model",
        )
    causal = _known()["causal"]
    if model_type not in causal:
        raise _unfit(model_type) if model_type in _known()["other"] else _unknown(model_type)
    classes = config.get("architectures")
    names = [str(name) for name in classes] if isinstance(classes, list) else []
    if names and not any(_is_causal(name, causal[model_type]["class"]) for name in names):
        raise _unfit(", ".join(names)[:80])


def sizes_of(config: Mapping[str, Any]) -> dict[str, int]:
    """Return the sizes in a config by their usual names, 0 for one that is left out.

    Raises: PlanError with code BASE_REFUSED.
    """
    own_names = _known()["causal"][config["model_type"]]["sizes"]
    sizes = {}
    for name in (*_NEEDED, "intermediate_size", "max_position_embeddings"):
        key = name if name in config else own_names.get(name, name)
        value = config.get(key) or 0
        is_size = type(value) is int and value >= 0
        if not is_size or (value == 0 and name in _NEEDED):
            raise PlanError(
                "config.json of the base model is no config of a language model",
                code="BASE_REFUSED",
                found=f"{key}: {str(value)[:40]}" if key in config else f"no {key}",
                expected="a whole number",
                remedy="fetch the model again, or take another one",
            )
        sizes[name] = value
    return sizes


def inner_name(config: Mapping[str, Any]) -> str:
    """Return what an architecture calls the model without its head, in the names of tensors."""
    known = _known()["causal"].get(config.get("model_type"), {})
    return str(known.get("inner", "model"))


def _is_causal(name: str, usual: str) -> bool:
    return name == usual or name.endswith(_CAUSAL)


def _unfit(found: str) -> PlanError:
    return PlanError(
        "the base model is no causal language model: it does not write text from left to right",
        code="MODEL_ARCHITECTURE_UNFIT",
        found=found,
        expected="a causal language model, such as " + ", ".join(_EXAMPLES),
        remedy="take a model whose config.json names a class that ends in ForCausalLM",
    )


def _unknown(model_type: str) -> PlanError:
    near = closest(model_type, _known()["causal"]) or _EXAMPLES
    return PlanError(
        "the base model is of a type that transformers does not know; it needs code of its own, "
        "which never runs here",
        code="MODEL_NEEDS_CODE",
        found=f"model_type: {model_type[:60]}",
        expected="a type that transformers supports",
        remedy="take a model of another type, such as " + ", ".join(near),
    )


@cache
def _known() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_LIST.read_bytes())
    return found
