"""What transformers saves of the models that it knows is let pass as the config of a base."""

import json
from pathlib import Path

import pytest
from transformers import AutoConfig, GenerationConfig

from brewslm.plan.model_files import check_keys

pytestmark = pytest.mark.slow

_ARCHITECTURES = (
    *("llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe", "gemma", "gemma2"),
    *("gemma3_text", "phi", "phi3", "gpt2", "gpt_neox", "opt", "bloom", "falcon", "mamba"),
    *("mamba2", "falcon_h1", "stablelm", "starcoder2", "olmo2", "granite", "smollm3", "cohere"),
    *("gpt_bigcode", "deepseek_v3", "gemma3", "lfm2", "gpt_oss"),
)


@pytest.mark.parametrize("model_type", _ARCHITECTURES)
def test_config_that_transformers_saves_is_let_pass(model_type: str, tmp_path: Path) -> None:
    config = AutoConfig.for_model(model_type)
    config.name_or_path = "/models/org/name"
    config.architectures = ["AnyForCausalLM"]
    config.id2label = {0: "n/a", 1: "and/or"}
    config.save_pretrained(tmp_path)
    GenerationConfig.from_model_config(config).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == model_type
    check_keys(tmp_path)
