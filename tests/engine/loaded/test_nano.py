"""The small base model that ships inside the package, and the script that makes it."""

import itertools
import json
import re
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

import brewslm
from brewslm.engine.nano import build, corpus
from brewslm.engine.nano import tokenizer as vocabulary
from brewslm.engine.nano.document import Document
from brewslm.engine.nano.left_out import LeftOut, sentences, texts_of
from brewslm.engine.nano.muon import Muon, orthogonal

NANO = Path(brewslm.__path__[0]) / "builtin" / "nano"
GOLD_FILES = sorted((Path(__file__).parents[3] / "examples").glob("*/data/gold.*"))
GOLD = LeftOut(texts_of(GOLD_FILES))
CONVERSATION = [
    {"role": "system", "content": "Be brief.\n"},
    {"role": "user", "content": "  Where is my parcel? "},
    {"role": "assistant", "content": "On its way,\n\nit comes  today."},
    {"role": "user", "content": "Thanks \U0001f600"},
    {"role": "assistant", "content": " Bye"},
]
SPACE_SIGN = "\u2581"
"""What SentencePiece writes for a space; in a text it is read as one."""


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(NANO, local_files_only=True)


@pytest.fixture(scope="module")
def pieces() -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_file=str(NANO / "tokenizer.model"))


@pytest.fixture(scope="module")
def model() -> Any:
    return AutoModelForCausalLM.from_pretrained(NANO, local_files_only=True, dtype=torch.float32)


def header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: eight bytes of length, then JSON."""
    raw = path.read_bytes()
    (length_bytes,) = struct.unpack("<Q", raw[:8])
    parsed: dict[str, Any] = json.loads(raw[8 : 8 + length_bytes])
    return parsed


def test_folder_holds_what_loaders_and_converters_read() -> None:
    assert {path.name for path in NANO.iterdir()} == {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
    }


def test_folder_is_six_megabytes_at_most() -> None:
    assert sum(path.stat().st_size for path in NANO.iterdir()) <= 6_000_000


def test_weights_are_bfloat16_without_a_second_embedding() -> None:
    tensors = header(NANO / "model.safetensors")
    tensors.pop("__metadata__")
    assert {tensor["dtype"] for tensor in tensors.values()} == {"BF16"}
    assert "lm_head.weight" not in tensors


def test_rows_are_multiples_of_256_as_k_quants_need() -> None:
    tensors = header(NANO / "model.safetensors")
    tensors.pop("__metadata__")
    widths = {tensor["shape"][-1] for tensor in tensors.values()}
    assert {width % 256 for width in widths} == {0}


def test_configuration_names_a_llama_of_two_to_three_million_parameters(model: Any) -> None:
    config = json.loads((NANO / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert (config["hidden_size"], config["vocab_size"]) == (256, 2048)
    assert config["max_position_embeddings"] == 1024
    assert 2_000_000 <= sum(parameter.numel() for parameter in model.parameters()) <= 3_000_000


def test_generation_stops_at_the_end_of_a_turn(tokenizer: PreTrainedTokenizerFast) -> None:
    config = json.loads((NANO / "generation_config.json").read_text(encoding="utf-8"))
    assert tokenizer.convert_ids_to_tokens(tokenizer.eos_token_id) == vocabulary.END_OF_TURN
    assert config["eos_token_id"] == tokenizer.eos_token_id
    assert tokenizer.pad_token_id not in {tokenizer.eos_token_id, tokenizer.bos_token_id}


@settings(deadline=None)
@given(text=st.text())
def test_both_tokenizer_formats_agree_and_lose_nothing(
    text: str, tokenizer: PreTrainedTokenizerFast, pieces: sentencepiece.SentencePieceProcessor
) -> None:
    assume(not any(token in text for token in (SPACE_SIGN, *tokenizer.all_special_tokens)))
    token_ids = tokenizer(text)["input_ids"]
    assert token_ids == pieces.encode(text)
    assert tokenizer.decode(token_ids) == text


def test_both_tokenizer_formats_agree_on_the_corpus(
    tokenizer: PreTrainedTokenizerFast, pieces: sentencepiece.SentencePieceProcessor
) -> None:
    contents = [
        message["content"]
        for document in itertools.islice(corpus.documents(99, GOLD), 300)
        for message in document.messages()
    ]
    assert tokenizer(contents)["input_ids"] == pieces.encode(contents)


@pytest.mark.parametrize(
    "text",
    [
        "Zo\u00eb  m\u00fcde\n\ttab \u00e9 \u00f1 \u65e5\u672c \U0001f44d\U0001f3fd",
        "  lead and trail  ",
        "a\r\nb\u00a0c",
        '{"key": "value", "n": 17}',
        "<|user|>hi<|end|>",
        "",
    ],
)
def test_accents_spaces_newlines_and_emoji_survive(
    text: str, tokenizer: PreTrainedTokenizerFast, pieces: sentencepiece.SentencePieceProcessor
) -> None:
    token_ids = tokenizer(text)["input_ids"]
    assert token_ids == pieces.encode(text)
    assert tokenizer.decode(token_ids) == text


def test_no_token_is_put_in_front(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer("a")["input_ids"] == tokenizer("a", add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("kept", [1, 2, 3, 4])
def test_template_of_a_prefix_is_a_prefix_of_tokens(
    kept: int, tokenizer: PreTrainedTokenizerFast
) -> None:
    shorter = tokenizer.apply_chat_template(
        CONVERSATION[:kept],
        add_generation_prompt=CONVERSATION[kept]["role"] == "assistant",
        return_dict=False,
    )
    longer = tokenizer.apply_chat_template(CONVERSATION[: kept + 1], return_dict=False)
    assert longer[: len(shorter)] == shorter


def test_mask_marks_answers_with_their_ends_and_nothing_else(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    rendered = tokenizer.apply_chat_template(
        CONVERSATION, return_dict=True, return_assistant_tokens_mask=True
    )
    marked = [
        token_id
        for token_id, is_answer in zip(
            rendered["input_ids"], rendered["assistant_masks"], strict=True
        )
        if is_answer
    ]
    assert tokenizer.decode(marked) == "On its way,\n\nit comes  today.<|end|> Bye<|end|>"


def test_training_rows_have_the_format_of_the_template(tokenizer: PreTrainedTokenizerFast) -> None:
    for document in itertools.islice(corpus.documents(5, GOLD), 200):
        if not document.turns:
            continue
        row = build.encode(document, tokenizer, begins=False)
        rendered = tokenizer.apply_chat_template(
            document.messages(), return_dict=True, return_assistant_tokens_mask=True
        )
        assert row.token_ids == rendered["input_ids"][: vocabulary.CONTEXT_TOKENS]
        assert [int(weight == 1.0) for weight in row.weights] == rendered["assistant_masks"][
            : vocabulary.CONTEXT_TOKENS
        ]


def test_plain_texts_end_with_the_end_of_text(tokenizer: PreTrainedTokenizerFast) -> None:
    row = build.encode(Document(text="It rains."), tokenizer, begins=True)
    assert tokenizer.decode(row.token_ids) == "<s>It rains.</s>"
    assert row.weights[0] == 0


def test_one_seed_gives_one_corpus() -> None:
    first, again, other = (
        list(itertools.islice(corpus.documents(seed, GOLD), 500)) for seed in (3, 3, 4)
    )
    assert first == again
    assert first != other


def test_corpus_leaves_no_slot_open_and_keeps_usual_tasks_out() -> None:
    for document in itertools.islice(corpus.documents(8, GOLD), 5_000):
        contents = [document.text, *(message["content"] for message in document.messages())]
        for content in contents:
            assert not re.search(r"<\w+>|\[[a-z]|\|[a-z]", content), content
            assert not re.search(r'"(category|priority|reason|intent)":', content), content


def test_corpus_holds_no_sentence_and_no_eight_words_of_a_gold_row() -> None:
    """Compared by the simplest means: every sentence and every run as one text between blanks."""
    gold = [re.findall(r"[a-z0-9']+", text.lower()) for text in texts_of(GOLD_FILES)]
    runs = {" ".join(words[at : at + 8]) for words in gold for at in range(len(words) - 7)}
    whole = {words for text in texts_of(GOLD_FILES) for words in sentences(text)}
    assert len(GOLD_FILES) == 3
    assert len(whole) > 200
    for document in itertools.islice(corpus.documents(11, GOLD), 5_000):
        for content in (document.text, *(item["content"] for item in document.messages())):
            words = re.findall(r"[a-z0-9']+", content.lower())
            assert not runs & {" ".join(words[at : at + 8]) for at in range(len(words) - 7)}
            assert not whole & set(sentences(content)), content


def test_corpus_without_gold_rows_left_out_would_hold_some() -> None:
    drawn = list(itertools.islice(corpus.documents(11, LeftOut()), 2_000))
    kept = list(itertools.islice(corpus.documents(11, GOLD), 1_900))
    assert any(GOLD.concerns(document) for document in drawn)
    assert kept == [document for document in drawn if not GOLD.concerns(document)][:1_900]


def test_records_of_the_corpus_are_strict_json() -> None:
    answers = [
        answer
        for document in itertools.islice(corpus.documents(9, GOLD), 5_000)
        for _, answer in document.turns
        if answer.startswith(("{", "[{"))
    ]
    assert len(answers) > 500
    for answer in answers:
        assert json.dumps(json.loads(answer), ensure_ascii=False) == answer


def test_one_seed_gives_one_tokenizer_of_all_printable_characters() -> None:
    first, again = (vocabulary.train_sentencepiece(1, 2_000, GOLD) for _ in range(2))
    assert first == again
    pieces = sentencepiece.SentencePieceProcessor(model_proto=first)
    printable = "".join(chr(code) for code in range(33, 127))
    assert not any(pieces.is_byte(token) for token in pieces.encode(printable))


def test_shipped_tokenizer_is_the_one_that_the_corpus_gives() -> None:
    model = vocabulary.train_sentencepiece(0, build.TOKENIZER_DOCUMENTS, GOLD)
    assert model == (NANO / "tokenizer.model").read_bytes()


def test_muon_takes_the_steps_of_the_one_in_torch() -> None:
    """Torch's orthogonalises in bfloat16, which has 8 bits of precision."""
    drawn = torch.Generator().manual_seed(1)
    shapes = ((64, 32), (32, 64), (48, 48))
    ours = [torch.nn.Parameter(torch.randn(shape, generator=drawn)) for shape in shapes]
    theirs = [torch.nn.Parameter(each.detach().clone()) for each in ours]
    oracle = torch.optim.Muon(theirs, lr=0.01, weight_decay=0.05, adjust_lr_fn="match_rms_adamw")
    with ThreadPoolExecutor(2) as pool:
        optimizer = Muon(ours, lr=0.01, pool=pool)
        for _ in range(5):
            for our, their in zip(ours, theirs, strict=True):
                our.grad = torch.randn(our.shape, generator=drawn)
                their.grad = our.grad.clone()
            before = [each.detach().clone() for each in ours]
            optimizer.step()
            oracle.step()
            for our, their, old in zip(ours, theirs, before, strict=True):
                assert (our - old).abs().max() > 5e-3
                torch.testing.assert_close(our, their, atol=5e-4, rtol=0)


def test_orthogonal_keeps_singular_vectors_and_evens_out_singular_values() -> None:
    matrix = torch.randn(100, 40, generator=torch.Generator().manual_seed(2))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    inner = left.T @ orthogonal(matrix) @ right.T
    torch.testing.assert_close(inner, torch.diag(inner.diagonal()), atol=1e-4, rtol=0)
    assert 0.65 < inner.diagonal().min() < inner.diagonal().max() < 1.25


def test_one_seed_and_number_of_steps_builds_one_model(tmp_path: Path) -> None:
    for name in ("first", "again"):
        build.build(tmp_path / name, build.Budget(steps=2, minutes=60), 7, GOLD)
    for file_name in ("model.safetensors", "tokenizer.model", "tokenizer.json", "config.json"):
        first, again = ((tmp_path / name / file_name).read_bytes() for name in ("first", "again"))
        assert first == again, file_name
