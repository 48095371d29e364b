"""Loading reads exactly the fields of a recipe that are marked as loading a base model."""

import pytest

from brewslm.engine.base import Loading
from brewslm.stages.training_config import TrainingConfig, loading_values

OTHER = {
    "quantization": "nf4",
    "bnb_4bit_use_double_quant": False,
    "bnb_4bit_compute_dtype": "float32",
    "dtype": "bfloat16",
    "attn_implementation": "eager",
    "chat_template": "zephyr",
    "use_tokenizer_chat_template": False,
}
VALUES = loading_values(TrainingConfig())


def test_every_marked_field_has_another_value_here() -> None:
    assert OTHER.keys() == VALUES.keys()


@pytest.mark.parametrize("name", sorted(OTHER))
def test_each_marked_field_changes_how_a_model_is_loaded(name: str) -> None:
    assert Loading.of({**VALUES, name: OTHER[name]}, {}) != Loading.of(VALUES, {})
    assert Loading.of(VALUES, {name: OTHER[name]}) != Loading.of(VALUES, {})


def test_loading_reads_nothing_else() -> None:
    whole = TrainingConfig().model_dump(mode="json")
    assert Loading.of(VALUES, {}) == Loading.of(whole, {})
