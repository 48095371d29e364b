"""What a worker is sent about loading a base model is what identifies the answers of that model."""

from collections.abc import Mapping
from typing import Any, get_args

import pytest

from brewslm.address import Address
from brewslm.contracts import Category, category_of
from brewslm.errors import ExitCode
from brewslm.plan.evaluation import Answering, predictions_part
from brewslm.stages.training_config import (
    TrainingConfig,
    loading_facts,
    loading_on_host,
    loading_values,
)
from tests.apply.bench import Bench

PLAIN = TrainingConfig()
BEFORE = {
    "quantization": "none",
    "bnb_4bit_use_double_quant": True,
    "dtype": "auto",
    "chat_template": "llama3",
    "use_tokenizer_chat_template": True,
}
"""The facts that identified base predictions before further fields were marked."""


def base_identity(config: TrainingConfig) -> str | None:
    answering = Answering(base_digest="sha256:0", load=loading_facts(config), generation={})
    return predictions_part("baseline", "gold_test", answering, None, "sha256:1").fingerprint


def others(name: str) -> list[TrainingConfig]:
    """Return recipes with each other value of a field that is an enumeration or a flag."""
    annotation: Any = TrainingConfig.model_fields[name].annotation
    values = (True, False) if annotation is bool else get_args(annotation)
    return [
        PLAIN.model_copy(update={name: value}) for value in values if value != getattr(PLAIN, name)
    ]


@pytest.mark.parametrize("name", sorted(loading_values(PLAIN)))
def test_every_value_that_loading_reads_identifies_base_predictions(name: str) -> None:
    assert category_of(TrainingConfig.model_fields[name]) is not Category.METADATA
    identities = {base_identity(config) for config in [PLAIN, *others(name)]}
    assert len(identities) == 1 + len(others(name)) > 1


def test_defaults_keep_the_identity_that_earlier_versions_recorded() -> None:
    assert loading_facts(PLAIN) == BEFORE


def test_a_host_adds_only_loading_values() -> None:
    host: Mapping[str, Any] = {"optimizer": "adamw_torch", "dtype": "float32", "batch_size": 2}
    assert loading_on_host(host) == {"dtype": "float32"}


def test_another_attention_makes_the_base_model_answer_again(tmp_path: Any) -> None:
    bench = Bench.make(tmp_path / "project")
    assert bench.apply().exit_code is ExitCode.DONE
    bench.edit("dtype: float32", "dtype: float32\n      attn_implementation: eager")
    assert bench.apply().exit_code is ExitCode.DONE
    assert "generate baseline" in bench.doors()


def test_jobs_that_load_a_model_are_sent_every_loading_value(tmp_path: Any) -> None:
    bench = Bench.make(tmp_path / "project")
    assert bench.apply().exit_code is ExitCode.DONE
    spec = bench.built().specs[Address("training_plan")]
    loading = [job.options["loading"] for job in bench.jobs if "loading" in job.options]
    assert len(loading) == 4  # baseline, candidate and two exports
    assert all(sent == loading_values(spec.config) for sent in loading)  # type: ignore[attr-defined]  # a training plan
