"""Numbers of tokens by a base's own tokenizer."""

from importlib import import_module


class TokenCounter:
    """Counts tokens by a tokenizer file; travels between processes as the file's path."""

    def __init__(self, path: str) -> None:
        """Load the file.

        Raises: ImportError where the package tokenizers is not installed.
        """
        self._path = path
        self._tokenizer = import_module("tokenizers").Tokenizer.from_file(path)

    def __reduce__(self) -> tuple[type["TokenCounter"], tuple[str]]:
        return TokenCounter, (self._path,)

    def __call__(self, texts: list[str]) -> list[int]:
        """Return how many tokens each text has."""
        return [len(encoding) for encoding in self._tokenizer.encode_batch_fast(texts)]
