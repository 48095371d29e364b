"""A tokenizer file as masks need it, read by the library that transformers reads it with."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any


class TokenCodec:
    """Tokens of texts and texts of tokens, nothing put around them."""

    def __init__(self, path: str, tokens: Mapping[str, Any]) -> None:
        """Load the file; tokens: special tokens by the names that templates call them by.

        Raises: ImportError where the package tokenizers is not installed.
        """
        self._tokenizer = import_module("tokenizers").Tokenizer.from_file(path)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        added = self._tokenizer.get_added_tokens_decoder().values()
        special = {token.content for token in added if token.special}
        self.special_texts: Sequence[str] = sorted(special | _all_texts(tokens))
        ids = {self._tokenizer.token_to_id(text) for text in self.special_texts}
        unknown = self._tokenizer.token_to_id(str(tokens.get("unk_token") or ""))
        self.special_ids = frozenset(ids - {None, unknown})
        self.end_text = str(tokens.get("eos_token") or "")

    def ids(self, texts: list[str]) -> list[list[int]]:
        """Return the tokens of texts."""
        encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [list(item.ids) for item in encoded]

    def text(self, ids: list[int], *, skips_special: bool) -> str:
        """Return the text of tokens."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=skips_special))


def _all_texts(tokens: Mapping[str, Any]) -> set[str]:
    return {
        text
        for value in tokens.values()
        for text in (value if isinstance(value, list) else [value])
        if isinstance(text, str) and text
    }
