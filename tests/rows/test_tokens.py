"""Counting by words gives the numbers that the tokenizer itself gives for whole texts."""

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, trainers

import brewslm
from brewslm.rows import tokens
from brewslm.rows.tokens import TokenCounter, word_mark

_NANO = Path(brewslm.__file__).parent / "builtin" / "nano" / "tokenizer.json"
_PIECES = (
    " ", "  ", "\n", "\t", "▁", "▁▁", "<s>", "<", "<|user|>", "late", "The answer", "7", "2024-11",
    "é", "语", "\u00a0", "🙂", "label: torn", "\r\n",
)  # fmt: skip
_TEXTS = st.lists(st.sampled_from(_PIECES) | st.text(max_size=6)).map("".join)
_CORPUS = ("the cat sat on the mat  and  the hat", "a cat and a hat on a mat", "on and on")


@given(st.lists(_TEXTS, max_size=5))
def test_words_of_a_text_have_the_tokens_of_the_text(texts: list[str]) -> None:
    assert _NANO_COUNTER(texts) == _whole(_NANO, texts)


def test_the_tokenizer_that_comes_along_is_counted_by_words() -> None:
    assert word_mark(_settings(_NANO)) == "▁"


@pytest.mark.parametrize("mark", ["▁", " "])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(texts=st.lists(st.lists(st.sampled_from([*"abcthonm ▁<", "<s>"])).map("".join)))
def test_any_tokenizer_is_counted_as_it_counts(tmp_path: Path, mark: str, texts: list[str]) -> None:
    across, apart = tmp_path / "across.json", tmp_path / "apart.json"
    if not across.exists():
        _trained(_CORPUS, mark).save(str(across))
        _trained(" ".join(_CORPUS).split(), mark, extra=mark).save(str(apart))
    assert (word_mark(_settings(across)), word_mark(_settings(apart))) == ("", mark)
    for path in (across, apart):
        assert TokenCounter(str(path))(texts) == _whole(path, texts)


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": {"type": "Whitespace"}},
        {"normalizer": {"type": "NFKC"}},
        {"normalizer": {"type": "Prepend", "prepend": "▁"}},
        {"truncation": {"max_length": 4}},
        {"added_tokens": [{"content": "<s>", "lstrip": True}]},
        {"added_tokens": [{"content": "two words"}]},
        {"model": {"type": "Unigram", "vocab": []}},
        {"model": {"type": "BPE", "vocab": {"▁": 0}, "dropout": 0.1}},
        {"model": {"type": "BPE", "vocab": {"▁": 0, "▁▁": 1}}},
        {"model": {"type": "BPE", "vocab": {"a": 0}}},
    ],
)
def test_settings_that_reach_across_blanks_are_not_counted_by_words(change: dict[str, Any]) -> None:
    assert word_mark({**_settings(_NANO), **change}) == ""


def test_forgotten_words_are_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_MOST_CHARACTERS", 40)
    texts = [f"parcel {number} came late, parcel {number - 1} too" for number in range(50)]
    assert TokenCounter(str(_NANO))(texts) == _whole(_NANO, texts)


def test_counter_that_travelled_counts_the_same() -> None:
    travelled = pickle.loads(pickle.dumps(_NANO_COUNTER))  # noqa: S301  our own bytes
    assert travelled(["The parcel is lost."]) == _NANO_COUNTER(["The parcel is lost."])


def _whole(path: Path, texts: Sequence[str]) -> list[int]:
    tokenizer = Tokenizer.from_file(str(path))
    return [len(tokenizer.encode(text)) for text in texts]


def _settings(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text()))


def _trained(corpus: Sequence[str], mark: str, extra: str = "") -> Tokenizer:
    """A tokenizer trained on whole texts; merges reach across blanks where the texts have any."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))  # noqa: S106  no password
    if mark != " ":
        tokenizer.normalizer = normalizers.Replace(" ", mark)
    alphabet = [extra] if extra else []
    trainer = trainers.BpeTrainer(
        vocab_size=60, special_tokens=["<unk>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_tokens([AddedToken("<s>", normalized=False)])
    return tokenizer


_NANO_COUNTER = TokenCounter(str(_NANO))
