"""A written attention is kept; `auto` takes what the architecture supports."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    GPTJConfig,
    GPTNeoConfig,
    GptOssConfig,
    PreTrainedConfig,
)

from brewslm.contracts import Job
from brewslm.engine import run as training
from brewslm.engine.base import Loading, attention_of, load_model
from brewslm.errors import WorkerError
from brewslm.stages.training_config import TrainingConfig
from tests.engine.loaded.conftest import NANO, RECIPE, Listener

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

SMALL = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
WITHOUT_SDPA: list[PreTrainedConfig] = [
    BloomConfig(**SMALL),
    GPTNeoConfig(**SMALL, num_layers=1, num_heads=2, attention_types=[[["global"], 1]]),
    GPTJConfig(vocab_size=64, n_embd=32, n_layer=1, n_head=2, rotary_dim=8),
    Gemma2Config(**SMALL, intermediate_size=32, num_key_value_heads=1, head_dim=16),
    GptOssConfig(
        **SMALL,
        intermediate_size=32,
        num_key_value_heads=1,
        head_dim=16,
        num_local_experts=2,
        num_experts_per_tok=1,
    ),
]


def _saved(config: PreTrainedConfig, folder: Path) -> Path:
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def _loading(attention: str, **changes: Any) -> Loading:
    config = TrainingConfig(**RECIPE | changes | {"attn_implementation": attention})
    return Loading.of(config.model_dump(mode="json"), {})


@pytest.mark.parametrize("quantization", ["none", "nf4", "int8"])
@pytest.mark.parametrize(
    ("written", "used"), [("auto", "sdpa"), ("sdpa", "sdpa"), ("eager", "eager")]
)
def test_a_written_attention_is_used(written: str, used: str, quantization: str) -> None:
    model = load_model(NANO, _loading(written, quantization=quantization))
    assert attention_of(model) == used


@pytest.mark.parametrize("config", WITHOUT_SDPA, ids=lambda config: config.model_type)
def test_an_architecture_without_sdpa_is_loaded(config: PreTrainedConfig, tmp_path: Path) -> None:
    folder = _saved(config, tmp_path)
    for written in ("auto", "eager"):
        model = load_model(folder, _loading(written))
        assert attention_of(model) == "eager"
        assert model(input_ids=torch.tensor([[1, 2, 3]])).logits.isfinite().all()
    with pytest.raises(WorkerError) as raised:
        load_model(folder, _loading("sdpa"))
    assert raised.value.remedy == "write attn_implementation: auto"
    assert "scaled_dot_product_attention" in raised.value.found


def test_auto_fits_every_architecture_of_the_library() -> None:
    """What `load_model` hands over for auto is what the library settles for each class."""
    eager = 0
    for found in dict(MODEL_FOR_CAUSAL_LM_MAPPING.items()).values():
        for kind in found if isinstance(found, tuple) else (found,):
            model = kind.__new__(kind)
            settled = model.get_correct_attn_implementation(None, is_init_check=True)
            assert settled == ("sdpa" if kind._supports_sdpa else "eager"), kind
            eager += settled == "eager"
    assert eager > 30


def test_a_run_records_the_attention_it_used(training_job: Callable[..., Job]) -> None:
    for written, used in (("eager", "eager"), ("auto", "sdpa")):
        job = training_job(
            written,
            max_steps=1,
            eval_strategy="no",
            save_strategy="no",
            attn_implementation=written,
        )
        assert training.run(job, Listener()).values["attn_implementation"] == used
