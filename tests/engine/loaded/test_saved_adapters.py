"""Weights that PEFT saves are what the configuration beside them says."""

import json
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from brewslm.engine.weights import adapter_attached
from brewslm.errors import ArtifactError, WorkerError
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


@pytest.mark.parametrize(
    "settings",
    [
        {"bias": "all"},
        {"bias": "lora_only", "use_dora": True},
        {"modules_to_save": ["mlp", "norm"], "lora_bias": True},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore")
def test_adapter_of_a_base_with_biases_lacks_none_of_its_tensors(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    """Without any one of them it is refused, before its base is loaded and while it is put on."""
    base = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            attention_bias=True,
            mlp_bias=True,
        )
    )
    base.save_pretrained(str(tmp_path / "base"))
    folder = tmp_path / "adapter"
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], **settings)
    get_peft_model(base, config).save_pretrained(str(folder))
    saved = json.loads((folder / "adapter_config.json").read_text())
    path, shapes = folder / "adapter_model.safetensors", base_shapes(tmp_path / "base")
    check_lora_weights(path, saved, shapes)
    whole = load_file(path)
    for name in whole:
        save_file({key: whole[key] for key in whole.keys() - {name}}, path, {"format": "pt"})
        with pytest.raises(ArtifactError) as refused:
            check_lora_weights(path, saved, shapes)
        assert refused.value.code == "artifact_corrupt"
        model = AutoModelForCausalLM.from_pretrained(str(tmp_path / "base"))
        with pytest.raises(WorkerError) as caught:
            adapter_attached(model, folder)
        assert caught.value.code == "base_weights_missing"
        assert caught.value.found == f"missing: {name}"
