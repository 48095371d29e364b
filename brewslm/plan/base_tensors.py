"""The tensors that a base model of a known architecture has by its config, against those in its
files.

A library fills in random numbers for a tensor that it does not find, so a name or a shape that
differs is found here, before anything is planned on it. What is not known here is found by the
worker when it loads the model.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from brewslm.errors import PlanError
from brewslm.plan.architectures import inner_name
from brewslm.plan.model_files import CONFIG, read_document, weight_files
from brewslm.plan.safetensors import FLOATS, Tensors, read_weights

Shapes = dict[str, list[int]]
_MOST_NAMES = 4
_INNER, _HEAD, _EMBEDDING = "model.", "lm_head.weight", "model.embed_tokens.weight"
_PACKED = {"U8", "I8"}
"""Types that quantised weights are saved in."""
_RECOMPUTED = "rotary_emb.inv_freq"
"""What older versions of the library saved and newer ones compute."""


class _Family(Struct, frozen=True):
    """How the layers of an architecture differ from those of Llama."""

    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    biased: tuple[str, ...] = ()
    """Projections of attention with a bias, whatever the config says."""
    query_norms: str = ""
    """Norms of queries and keys: of a "head" each, or of "all" of them at once."""
    bias_keys: tuple[str, ...] = ("attention_bias",)
    """Keys of the config that give a bias to the projections of attention, or of the MLP."""
    is_fused: bool = False
    """Whether queries, keys and values are one tensor, and so are gate and up."""
    head_dim: int = 0
    """Where the config does not say it; 0 divides the hidden size by the heads."""


_BOTH = ("attention_bias", "mlp_bias")
_GEMMA_NORMS = ("pre_feedforward_layernorm", "post_feedforward_layernorm")
_FAMILIES = {
    **dict.fromkeys(("llama", "granite", "smollm3"), _Family(bias_keys=_BOTH)),
    "mistral": _Family(bias_keys=()),
    "qwen2": _Family(biased=("q_proj", "k_proj", "v_proj"), bias_keys=()),
    "qwen3": _Family(query_norms="head", head_dim=128),
    "gemma": _Family(head_dim=256),
    "gemma2": _Family(norms=(*_Family().norms, *_GEMMA_NORMS), head_dim=256),
    "gemma3_text": _Family(
        norms=(*_Family().norms, *_GEMMA_NORMS), query_norms="head", head_dim=256
    ),
    "olmo2": _Family(norms=("post_attention_layernorm", _GEMMA_NORMS[1]), query_norms="all"),
    "phi3": _Family(bias_keys=(), is_fused=True),
}
_SIZES = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size"),
    *("num_attention_heads", "num_key_value_heads"),
)


def check_tensors(config: Mapping[str, Any], found: Tensors) -> None:
    """Refuse weights that are not those of the config, where the architecture is known.

    Raises: PlanError with code BASE_WEIGHTS_MISSING.
    """
    wanted = expected_tensors(config)
    if wanted is None:
        return
    shapes = full_names(found)
    optional = {_HEAD: wanted[_EMBEDDING]}
    if config.get("tie_word_embeddings") is False:
        wanted |= optional
    held = {name: shape for name, shape in shapes.items() if not name.endswith(_RECOMPUTED)}
    known = wanted | optional
    trouble = _listed(
        ("missing", wanted.keys() - held.keys()),
        ("unexpected", held.keys() - known.keys()),
        (
            "of another shape",
            {
                f"{name} {held[name]} instead of {shape}"
                for name, shape in known.items()
                if held.get(name, shape) != shape
            },
        ),
    )
    if trouble:
        raise PlanError(
            "the weights of the base model are not those of its config.json",
            code="BASE_WEIGHTS_MISSING",
            found=trouble,
            expected=f"the {len(wanted)} tensors of a {config['model_type']} of this config",
            remedy="fetch the model again, or save it with the library that made it: "
            "model.save_pretrained(FOLDER)",
        )


def check_types(found: Tensors) -> None:
    """Refuse weights in integers, or in other numbers that need a scale to be read, where the
    config does not say that the model is quantised: a library converts them as they stand.

    Raises: PlanError with code BASE_WEIGHTS_MISSING.
    """
    odd = {
        f"{name} {dtype}"
        for name, (dtype, _) in found.items()
        if dtype not in FLOATS and name.endswith(".weight")
    }
    if odd:
        raise PlanError(
            "the weights of the base model are quantised, and its config.json does not say so",
            code="BASE_WEIGHTS_MISSING",
            found=_listed(("of another type", odd)),
            expected="numbers of type " + ", ".join(FLOATS),
            remedy="take the model that it was made from, or fetch its config.json again",
        )


def base_shapes(folder: Path) -> dict[str, list[int] | None]:
    """Return the shapes of a base model's tensors by their full names, None where the numbers of a
    weight are packed; a head that is tied to the embedding has its shape.

    Raises: PlanError with code MODEL_NOT_SAFETENSORS or BASE_REFUSED.
    """
    found = read_weights(folder, weight_files(folder))
    types = {dtype for dtype, _ in found.values()}
    inner = f"{inner_name(read_document(folder / CONFIG))}."
    shapes: dict[str, list[int] | None] = dict(full_names(found, inner))
    shapes.setdefault(_HEAD, shapes.get(_EMBEDDING))
    if types & _PACKED:
        return dict.fromkeys(shapes)
    return shapes


def full_names(found: Tensors, inner: str = _INNER) -> Shapes:
    """Return the shapes of tensors by the names that the whole model has for them: files of the
    model without its head lack the prefix.

    inner: that prefix.
    """
    shapes = {name: shape for name, (_, shape) in found.items()}
    if any(name.startswith(inner) for name in shapes):
        return shapes
    return {name if name == _HEAD else inner + name: shape for name, shape in shapes.items()}


def expected_tensors(config: Mapping[str, Any]) -> Shapes | None:
    """Return names and shapes of what a config asks for, without a head of its own; None for an
    architecture or a config that is not known here.
    """
    family = _FAMILIES.get(str(config.get("model_type")))
    if family is None or any(type(config.get(name)) is not int for name in _SIZES):
        return None
    hidden = config["hidden_size"]
    wanted = {_EMBEDDING: [config["vocab_size"], hidden], "model.norm.weight": [hidden]}
    layer = dict(_layer(family, config))
    for index in range(config["num_hidden_layers"]):
        wanted |= {f"model.layers.{index}.{name}": shape for name, shape in layer.items()}
    return wanted


def _layer(family: _Family, config: Mapping[str, Any]) -> Iterator[tuple[str, list[int]]]:
    """Yield the tensors of one layer."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    size = config.get("head_dim") or family.head_dim or hidden // max(1, heads)
    for norm in family.norms:
        yield f"{norm}.weight", [hidden]
    if family.query_norms:
        of_all = family.query_norms == "all"
        yield "self_attn.q_norm.weight", [heads * size if of_all else size]
        yield "self_attn.k_norm.weight", [groups * size if of_all else size]
    queries, keys = heads * size, groups * size
    attention = {"q_proj": queries, "k_proj": keys, "v_proj": keys}
    mlp = {"gate_proj": inner, "up_proj": inner}
    if family.is_fused:
        attention, mlp = {"qkv_proj": queries + 2 * keys}, {"gate_up_proj": 2 * inner}
    shapes = {f"self_attn.{name}": [rows, hidden] for name, rows in attention.items()}
    shapes |= {"self_attn.o_proj": [hidden, queries], "mlp.down_proj": [hidden, inner]}
    shapes |= {f"mlp.{name}": [rows, hidden] for name, rows in mlp.items()}
    for name, shape in shapes.items():
        yield f"{name}.weight", shape
        part, _, projection = name.partition(".")
        key = "mlp_bias" if part == "mlp" else "attention_bias"
        is_asked = key in family.bias_keys and config.get(key) is True
        if is_asked or projection in family.biased:
            yield f"{name}.bias", [shape[0]]


def _listed(*kinds: tuple[str, set[str]]) -> str:
    """Return the first names of each kind, empty where there are none."""
    parts = []
    for kind, names in kinds:
        if names:
            more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
            parts.append(f"{kind}: {', '.join(sorted(names)[:_MOST_NAMES])}{more}")
    return "; ".join(parts)
