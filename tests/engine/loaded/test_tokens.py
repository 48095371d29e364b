"""Loss falls on what the assistant says, end token included, and on nothing else."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewslm.engine.base import Loading, load_tokenizer
from brewslm.engine.tokens import Renderer
from brewslm.errors import WorkerError
from brewslm.rows.masks import IGNORED
from brewslm.rows.templates import TEMPLATES
from tests.engine.loaded.conftest import NANO, prepared_row

_WORDS = st.text(
    alphabet=st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=("Cs", "Cc")),
    min_size=1,
    max_size=12,
).filter(lambda text: "<|" not in text)
_TEXT = st.lists(_WORDS, min_size=1, max_size=6).map(" ".join)


def _line(messages: list[dict[str, str]], loss: str, completion_from: int) -> dict[str, Any]:
    return {
        "row_id": "r",
        "messages": messages,
        "loss": loss,
        "completion_from": completion_from,
    }


def _trained(renderer: Renderer, line: dict[str, Any]) -> str:
    row = renderer.completion(line) if line["loss"] == "completion" else None
    row = row or renderer.tokenize([line], 10_000).rows[0]
    ids = [token for token, label in zip(row.input_ids, row.labels, strict=True) if label >= 0]
    return str(renderer.tokenizer.decode(ids))


def test_completion_is_the_answer_and_its_end(renderer: Renderer) -> None:
    line = prepared_row(4)
    assert _trained(renderer, line) == f"{line['messages'][1]['content']}<|end|>"


def test_prompt_of_evaluation_is_the_untrained_prefix_of_training(renderer: Renderer) -> None:
    line = prepared_row(7)
    row = renderer.completion(line)
    prompt = renderer.prompt_ids([line["messages"][:1]])[0]
    assert row.input_ids[: len(prompt)] == prompt
    assert row.labels[: len(prompt)] == [IGNORED] * len(prompt)
    assert row.labels[len(prompt)] != IGNORED


@settings(max_examples=60, deadline=None)
@given(turns=st.lists(st.tuples(_TEXT, _TEXT), min_size=1, max_size=4), system=st.booleans())
def test_every_assistant_turn_is_trained_and_no_other(
    renderer: Renderer, turns: list[tuple[str, str]], system: bool
) -> None:
    messages = [{"role": "system", "content": "Be kind."}] if system else []
    for asked, answered in turns:
        messages += [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": answered},
        ]
    line = _line(messages, "assistant_turns", len(messages) - 1)
    expected = "".join(f"{answered}<|end|>" for _, answered in turns)
    assert _trained(renderer, line) == expected


def test_row_that_is_too_long_is_left_out_and_counted(renderer: Renderer) -> None:
    longest = len(renderer.completion(prepared_row(0)).input_ids)
    made = renderer.tokenize([prepared_row(0), prepared_row(3)], max_tokens=longest)
    assert [row.row_id for row in made.rows] == ["r0000"]
    assert made.left_out == {"rows_too_long": ["r0003"]}


def test_row_without_an_answer_carries_no_loss_and_is_counted(renderer: Renderer) -> None:
    line = _line([{"role": "user", "content": "hello"}], "assistant_turns", 1)
    assert renderer.tokenize([line], 100).left_out == {"rows_without_loss": ["r"]}


def test_template_that_changes_what_came_before_is_refused_with_the_row() -> None:
    tokenizer = load_tokenizer(NANO, Loading())
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<|user|>' + m['content'] + loop.length|string }}{% endfor %}"
    )
    with pytest.raises(WorkerError) as caught:
        Renderer(tokenizer).tokenize([prepared_row(1)], 1000)
    assert caught.value.code == "template_not_prefix_stable"
    assert "r0001" in caught.value.found


_CHAT = _line(
    [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
        {"role": "assistant", "content": "four"},
    ],
    "assistant_turns",
    3,
)


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_own_template_trains_the_turns_between_its_markers(name: str) -> None:
    tokenizer = load_tokenizer(NANO, Loading(chat_template=name, use_tokenizer_chat_template=False))
    tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<|im_end|>", "<|eot_id|>", "<|end|>"]}
    )
    row = Renderer(tokenizer).tokenize([_CHAT], 1000).rows[0]
    ids = [token for token, label in zip(row.input_ids, row.labels, strict=True) if label >= 0]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "twofour"


def test_template_whose_end_is_no_token_is_refused() -> None:
    loading = Loading(chat_template="chatml", use_tokenizer_chat_template=False)
    with pytest.raises(WorkerError) as caught:
        Renderer(load_tokenizer(NANO, loading)).tokenize([_CHAT], 1000)
    assert "no token of this tokenizer" in caught.value.message


@pytest.mark.case("ART-12")
@pytest.mark.parametrize(
    "normalizer",
    [
        {"type": "Replace", "pattern": {"Regex": "[\\s\\S]"}, "content": ""},
        {"type": "Replace", "pattern": {"Regex": "\\p{N}"}, "content": ""},
    ],
    ids=["everything", "numbers"],
)
def test_tokenizer_that_drops_texts_is_refused(normalizer: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(NANO, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"normalizer": normalizer}))
    with pytest.raises(WorkerError) as caught:
        load_tokenizer(folder, Loading())
    assert (caught.value.code, caught.value.found) == (
        "base_refused",
        "it has no tokens for plain text",
    )


def test_template_that_refuses_a_conversation_says_what_to_change() -> None:
    tokenizer = load_tokenizer(NANO, Loading())
    tokenizer.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    renderer = Renderer(tokenizer)
    with pytest.raises(WorkerError) as caught:
        renderer.text([{"role": "system", "content": "Be brief."}], is_prompt=True)
    assert (caught.value.code, caught.value.found) == ("training_runtime_error", "no system role")
    assert "drop system_prompt" in caught.value.remedy


@pytest.mark.case("ART-12")
def test_tokenizer_that_panics_on_a_row_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "base"
    shutil.copytree(NANO, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    path = folder / "tokenizer.json"
    split = {"type": "Split", "pattern": {"Regex": "(z+)+$"}, "behavior": "Isolated"}
    settings = json.loads(path.read_bytes()) | {"pre_tokenizer": split | {"invert": False}}
    path.write_text(json.dumps(settings))
    renderer = Renderer(load_tokenizer(folder, Loading()))
    with pytest.raises(WorkerError) as caught:
        renderer.ids(["z" * 6000 + "!"])
    assert caught.value.code == "base_refused"
    assert "PanicException" in caught.value.found
