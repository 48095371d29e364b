"""The plan counts the tokens of a base model as the library that loads them does."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from brewslm.plan.tokenizer_facts import read_tokenizer
from tests.engine.loaded.conftest import NANO

_DECLARED = {"added_tokens_decoder": {"0": {"content": "<unk>", "special": True}}}
_PAD = {"pad_token": "<|pad|>"}


@pytest.mark.parametrize(
    ("settings", "mapped", "listed"),
    [
        ({}, {}, {}),
        (_PAD, {}, {}),
        ({"pad_token": {"__type": "AddedToken", "content": "<|pad|>"}}, {}, {}),
        ({"mask_token": None, "image_token": "<|image|>"}, {}, {}),
        ({"additional_special_tokens": ["<|a|>", "<|b|>", "<s>"]}, {}, {}),
        ({"extra_special_tokens": ["<|a|>"], "additional_special_tokens": ["<|b|>"]}, {}, {}),
        ({"extra_special_tokens": {"image": "<|image|>"}}, {}, {}),
        ({"model_specific_special_tokens": {"image_token": "<|image|>"}}, {}, {}),
        ({}, _PAD, {}),
        ({"pad_token": "<|other|>"}, _PAD, {}),
        ({}, {"extra_special_tokens": ["<|a|>"]}, {}),
        ({}, {"additional_special_tokens": ["<|a|>"]}, {}),
        ({}, {}, {"<|a|>": 2060, "<s>": 1}),
        (_DECLARED, _PAD, {"<|a|>": 2060}),
        ({"added_tokens_decoder": {}}, {}, {"<|a|>": 2060}),
        ({"added_tokens_decoder": {"2050": {"content": "<|a|>", "special": True}}}, {}, {}),
    ],
    ids=str,
)
def test_plan_counts_the_tokens_that_the_library_loads(
    tmp_path: Path, settings: dict[str, Any], mapped: dict[str, Any], listed: dict[str, int]
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(NANO, folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    for name, document in (("special_tokens_map.json", mapped), ("added_tokens.json", listed)):
        if document:
            (folder / name).write_text(json.dumps(document))
    facts = read_tokenizer(folder)
    loaded = AutoTokenizer.from_pretrained(str(folder), local_files_only=True).get_vocab()
    assert facts is not None
    assert (facts.tokens == 2048) is (max(loaded.values()) == 2047)
