"""Weights that PEFT saves are what the configuration beside them says."""

import json
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from brewslm.plan.base_tensors import base_shapes
from brewslm.plan.lora_weights import check_lora_weights
from tests.engine.loaded.conftest import NANO

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": "all-linear"},
        {"target_modules": r".*\.(q|v)_proj"},
        {"use_dora": True},
        {"use_rslora": True, "bias": "lora_only"},
        {"bias": "all", "lora_bias": True, "init_lora_weights": False},
        {"rank_pattern": {"q_proj": 4}},
        {"modules_to_save": ["lm_head", "embed_tokens"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"trainable_token_indices": [1, 2]},
        {"trainable_token_indices": {"embed_tokens": [1, 2]}},
        {"target_modules": ["self_attn.q_proj"], "layers_to_transform": [0]},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore")
def test_adapter_that_peft_saves_is_let_pass(settings: dict[str, Any], tmp_path: Path) -> None:
    config = LoraConfig(**{"r": 8, "target_modules": ["q_proj", "v_proj"]} | settings)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(str(NANO)), config)
    model.save_pretrained(str(tmp_path))
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    check_lora_weights(tmp_path / "adapter_model.safetensors", saved, base_shapes(NANO))
