"""Write what the installed transformers knows as language models: `python -m` this module."""

import json
from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto as auto

import brewslm.plan

FILE = Path(brewslm.plan.__file__).with_name("architectures.json")
_SIZES = (
    *("hidden_size", "intermediate_size", "max_position_embeddings", "num_hidden_layers"),
    "vocab_size",
)


def architectures() -> dict[str, Any]:
    """Return the types of models that write text from left to right, each with its class, its
    name for the model without the head and its own names of sizes; and the other types, which no
    training here can use.
    """
    encoders = {
        "bert-generation",  # sees the words to come, unless its config says is_decoder
        *auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        *auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    }
    causal: dict[str, Any] = {}
    for name, model_class in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items():
        config = CONFIG_MAPPING[name]
        own_names = getattr(config, "attribute_map", {})
        if name not in encoders and "text_config" not in config.sub_configs:
            sizes = {size: own_names[size] for size in _SIZES if size in own_names}
            inner = auto.MODEL_FOR_CAUSAL_LM_MAPPING[config].base_model_prefix
            causal[name] = {"class": model_class, "inner": inner, "sizes": sizes}
    return {
        "causal": dict(sorted(causal.items())),
        "other": sorted(set(CONFIG_MAPPING.keys()) - causal.keys()),
    }


def text_of() -> str:
    """Return the text of the file."""
    return json.dumps(architectures(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(text_of(), encoding="utf-8")
