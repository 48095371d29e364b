"""The list of model types that plans go by is that of the installed transformers."""

import json
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from brewslm.engine.lora import linear_names
from brewslm.plan.base_model import read_base_model
from brewslm.plan.base_tensors import base_shapes
from brewslm.plan.digest_cache import DigestCache
from brewslm.plan.lora_weights import check_lora_weights
from tests.engine.loaded.architectures import FILE, architectures

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def test_list_of_architectures_is_that_of_the_installed_library() -> None:
    found = json.loads(FILE.read_text(encoding="utf-8"))
    assert found == architectures(), "python -m tests.engine.loaded.architectures"


@pytest.mark.parametrize(
    ("model_type", "sizes"),
    [
        ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 2}),
        ("llama", {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64}),
        ("opt", {"hidden_size": 32, "num_hidden_layers": 2, "ffn_dim": 64}),
    ],
)
def test_plan_targets_the_modules_that_training_finds_and_takes_their_adapter(
    model_type: str, sizes: dict[str, Any], tmp_path: Path
) -> None:
    heads = {} if model_type == "gpt2" else {"num_attention_heads": 2}
    config = AutoConfig.for_model(model_type, vocab_size=64, **sizes, **heads)
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path)
    found = read_base_model(tmp_path, "base", DigestCache(0), tmp_path)
    assert (found.hidden_size, found.layers, found.vocab_size) == (32, 2, 64)
    names = linear_names(model)
    assert found.modules.keys() - {"lm_head"} == names
    lora = LoraConfig(r=2, target_modules=sorted(names))
    get_peft_model(model, lora).save_pretrained(str(tmp_path / "adapter"))
    saved = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    check_lora_weights(weights, saved, base_shapes(tmp_path))
