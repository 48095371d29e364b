"""Whether a tokenizer file may be loaded: tried in a limited process before any other does."""

from contextlib import closing
from pathlib import Path

from brewslm.fingerprint import digest_file
from brewslm.rows.confined_tokens import ConfinedTokenCounter, refused

MAX_BYTES = 64 << 20
_tried: set[str] = set()
"""Digests of the files that this process found to be in order."""


def try_tokenizer(path: Path) -> None:
    """Refuse a tokenizer file that takes too much to load or to use, or that loses whole texts.

    Raises: RefusedError with base_refused; ImportError where the package tokenizers is not
    installed.
    """
    if path.stat().st_size > MAX_BYTES:
        raise refused(f"more than {MAX_BYTES} bytes")
    digest = digest_file(path)
    if digest in _tried:
        return
    with closing(ConfinedTokenCounter(str(path))) as counter:
        counter.start()
    _tried.add(digest)
