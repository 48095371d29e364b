"""What the plan expects of an architecture is what transformers makes of the same config."""

import itertools
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from brewslm.plan.base_tensors import _FAMILIES, expected_tensors

_SIZES = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "vocab_size": 50,
    "pad_token_id": 0,
}
_SETTINGS: list[dict[str, Any]] = [
    {},
    {"head_dim": 8},
    {"attention_bias": True},
    {"mlp_bias": True},
    {"tie_word_embeddings": False},
    {"tie_word_embeddings": True},
]
_VARIANTS = [
    {"num_key_value_heads": groups, **more} for groups, more in itertools.product((4, 2), _SETTINGS)
]


@pytest.mark.parametrize("model_type", _FAMILIES)
@pytest.mark.parametrize("variant", _VARIANTS, ids=str)
def test_tensors_of_a_family_are_those_of_the_library(
    model_type: str, variant: dict[str, Any]
) -> None:
    config = AutoConfig.for_model(model_type, **_SIZES, **variant)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    made = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    made.pop("lm_head.weight")
    written = config.to_dict()
    for known in (written, {k: v for k, v in written.items() if k != "head_dim" or v is None}):
        if "head_dim" in variant and known is not written:
            continue
        assert expected_tensors(known) == made
