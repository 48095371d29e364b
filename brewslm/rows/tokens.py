"""Numbers of tokens by a base's own tokenizer."""

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

_MOST_CHARACTERS = 1 << 20
"""Of the words whose numbers of tokens are remembered."""
_FIRST = " "
"""Ends the word that no blank comes before; nothing else has a blank in it."""
_WORD_SETTINGS = ("dropout", "continuing_subword_prefix", "end_of_word_suffix")
_TEXT_SETTINGS = ("pre_tokenizer", "truncation", "padding")


class TokenCounter:
    """Counts tokens by a tokenizer file; travels between processes as the file's path.

    Where no token reaches across a blank, the tokens of words are counted instead of those of
    texts, and remembered: words come again.
    """

    def __init__(self, path: str) -> None:
        """Load the file.

        Raises: ImportError where the package tokenizers is not installed.
        """
        self._path = path
        self._tokenizer = import_module("tokenizers").Tokenizer.from_file(path)
        self._tokens_around = len(self._tokenizer.encode(""))
        settings = orjson.loads(Path(path).read_bytes())
        mark = word_mark(settings)
        self._words = _Words(self._tokenizer, mark, settings) if mark else None

    def __reduce__(self) -> tuple[type["TokenCounter"], tuple[str]]:
        return TokenCounter, (self._path,)

    def __call__(self, texts: list[str]) -> list[int]:
        """Return how many tokens each text has."""
        if self._words is None:
            return [len(item) for item in self._tokenizer.encode_batch_fast(texts)]
        return [self._tokens_around + sum(self._words.of(text)) for text in texts]

    def plain(self, texts: Iterable[str]) -> list[int]:
        """Return how many tokens each text has without those that are put around it."""
        return [len(self._tokenizer.encode(text, add_special_tokens=False)) for text in texts]


class _Words(dict[str, int]):
    """Numbers of tokens by word, filled as words come."""

    def __init__(self, tokenizer: Any, mark: str, settings: Mapping[str, Any]) -> None:
        """mark: what stands for a blank."""
        super().__init__()
        self._tokenizer = tokenizer
        self._model = tokenizer.model
        self._mark = mark
        added = settings.get("added_tokens") or ()
        self._added_starts = frozenset(item["content"][:1] for item in added)
        self._characters = 0

    def of(self, text: str) -> Iterator[int]:
        """Return how many tokens each word of a text has."""
        words = text.split(" ")
        words[0] += _FIRST
        return map(self.__getitem__, words)

    def __missing__(self, word: str) -> int:
        is_first = word.endswith(_FIRST)
        marked = word[: -len(_FIRST)] if is_first else self._mark + word
        if self._added_starts.isdisjoint(marked):
            tokens = len(self._model.tokenize(marked))
        else:
            text = marked if is_first else f" {word}"
            tokens = len(self._tokenizer.encode(text, add_special_tokens=False))
        self._characters += len(word)
        if self._characters > _MOST_CHARACTERS:
            self.clear()
            self._characters = len(word)
        self[word] = tokens
        return tokens


def word_mark(settings: Mapping[str, Any]) -> str:
    """Return what stands for a blank in the tokens of a tokenizer file where the tokens of any text
    are those of its words, each with the blank before it; empty where that is not certain.

    It is so where texts are merged pair by pair as a whole and a blank only ever begins a token: no
    merge joins what lies on both sides of it. Source: Sennrich, Haddow, Birch, Neural Machine
    Translation of Rare Words with Subword Units (2016), section 3.2.
    """
    model = settings["model"]
    mark = _blank_mark(settings.get("normalizer"))
    is_certain = (
        model.get("type") == "BPE"
        and not any(model.get(name) for name in _WORD_SETTINGS)
        and not any(settings.get(name) for name in _TEXT_SETTINGS)
        and mark in model["vocab"]
        and not any(mark in token[1:] for token in model["vocab"])
        and not any(_looks_around(item, mark) for item in settings.get("added_tokens") or ())
    )
    return mark if is_certain else ""


def _blank_mark(normalizer: Mapping[str, Any] | None) -> str:
    """Return the character that stands for a blank, empty where more than blanks is changed."""
    if normalizer is None:
        return " "
    is_blank = normalizer.get("pattern") == {"String": " "}
    if normalizer.get("type") != "Replace" or not is_blank or len(normalizer["content"]) != 1:
        return ""
    return str(normalizer["content"])


def _looks_around(added: Mapping[str, Any], mark: str) -> bool:
    """Return whether it depends on blanks where a token that was added to the vocabulary stands."""
    settings = ("single_word", "lstrip", "rstrip")
    has_blank = " " in added["content"] or mark in added["content"]
    return has_blank or any(added.get(name) for name in settings)
