"""A stranger's tokenizer counts in a limited process, and is refused there when it goes astray."""

import json
import pickle
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import brewslm
from brewslm.errors import RefusedError
from brewslm.rows import confined_tokens, tokenizer_trial
from brewslm.rows.confined_tokens import ConfinedTokenCounter
from brewslm.rows.tokenizer_trial import try_tokenizer
from brewslm.rows.tokens import TokenCounter

_NANO = Path(brewslm.__file__).parent / "builtin" / "nano" / "tokenizer.json"
_TEXTS = ["the parcel is lost", "", "naïve 语 \u2028\n🙂", "label: torn " * 99]


@pytest.fixture
def counter() -> Iterator[ConfinedTokenCounter]:
    with closing(ConfinedTokenCounter(str(_NANO))) as counter:
        yield counter


def _splitting(folder: Path, pattern: str) -> Path:
    """Write a tokenizer that looks for a regular expression first."""
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"}
    settings: dict[str, Any] = json.loads(_NANO.read_bytes())
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(settings | {"pre_tokenizer": split | {"invert": False}}))
    return path


@pytest.mark.parametrize("characters", [1, 40, 1 << 20])
def test_numbers_are_those_of_this_process_however_they_are_sent(
    counter: ConfinedTokenCounter, monkeypatch: pytest.MonkeyPatch, characters: int
) -> None:
    monkeypatch.setattr(confined_tokens, "_BATCH_CHARACTERS", characters)
    assert counter(_TEXTS) == TokenCounter(str(_NANO))(_TEXTS)
    assert counter([]) == []


def test_counter_travels_without_its_process_and_starts_again(
    counter: ConfinedTokenCounter,
) -> None:
    counted = counter(_TEXTS)
    with closing(pickle.loads(pickle.dumps(counter))) as travelled:  # noqa: S301  our own bytes
        assert travelled(_TEXTS) == counted
    counter.close()
    assert counter(_TEXTS) == counted


def _refusal(path: Path, text: str) -> RefusedError:
    try_tokenizer(path)
    with closing(ConfinedTokenCounter(str(path))) as counter:
        assert counter(["ten lamps"])[0] > 0
        with pytest.raises(RefusedError) as caught:
            counter([text])
    assert caught.value.code == "base_refused"
    return caught.value


@pytest.mark.case("ART-12")
def test_expression_that_panics_on_a_row_is_refused_by_its_words(tmp_path: Path) -> None:
    error = _refusal(_splitting(tmp_path, "(z+)+$"), "z" * 6000 + "!")
    assert "PanicException" in error.found
    told = pickle.loads(pickle.dumps(error))  # noqa: S301  our own bytes
    assert (type(told), vars(told), told.args) == (RefusedError, vars(error), error.args)


@pytest.mark.slow
@pytest.mark.case("ART-12")
def test_expression_that_is_slow_on_a_row_only_is_ended(tmp_path: Path) -> None:
    error = _refusal(_splitting(tmp_path, r"z*z*\d"), "z" * 6000)
    assert "10 s and 1 s for each 64 KiB of text" in error.found


@pytest.mark.parametrize(
    ("text", "found"), [('{"model": {}}', "Exception: "), ("", "EOF while parsing")]
)
def test_file_that_is_no_tokenizer_is_refused_by_its_words(
    tmp_path: Path, text: str, found: str
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(text)
    with pytest.raises(RefusedError) as caught:
        try_tokenizer(path)
    assert found in caught.value.found


def test_library_that_is_missing_says_nothing_about_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizer_trial, "_tried", set())
    monkeypatch.setattr(confined_tokens, "_LIBRARIES", ("no_such_tokenizers",))
    with pytest.raises(ImportError):
        try_tokenizer(_NANO)
    monkeypatch.setattr(confined_tokens, "_LIBRARIES", ("orjson",))
    monkeypatch.setattr("brewslm.rows.confined._folder_of", lambda _: str(tmp_path))
    with pytest.raises(ImportError):
        try_tokenizer(_NANO)
