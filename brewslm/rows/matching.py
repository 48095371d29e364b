"""The matching form of text: for comparing only, never stored as text.

NFKC, case folded, without format and control characters except tab and line feed, white space
collapsed to one blank, trimmed.
"""

import hashlib
import re
import unicodedata
from typing import Any

from brewslm.fingerprint import canonical_json

_KEPT_CONTROLS = "\t\n"
_ASCII_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_TOKEN = re.compile(
    "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]"
    "|[^\\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+"
)
_ASCII_SEPARATORS = {
    code: " " for code in range(128) if not (chr(code).isalnum() or chr(code) == "_")
}
SHINGLE_CHARACTERS = 5


class _Visible(dict[int, int | None]):
    """What becomes of a character: nothing of controls and formats; filled as they come."""

    def __missing__(self, code: int) -> int | None:
        character = chr(code)
        is_dropped = unicodedata.category(character) in ("Cf", "Cc")
        kept = None if is_dropped and character not in _KEPT_CONTROLS else code
        self[code] = kept
        return kept


_VISIBLE = _Visible()


def matching_text(text: str) -> str:
    """Return the matching form of a text."""
    if text.isascii():
        if not text.isprintable():
            text = _ASCII_CONTROLS.sub("", text)
        elif "  " not in text and text == text.strip():
            return text.lower()
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_VISIBLE)
    return " ".join(folded.split())


def matching_value(value: Any) -> Any:
    """Return a JSON value with every string, keys left alone, in matching form."""
    kind = type(value)
    if kind is str:
        return matching_text(value)
    if kind is dict:
        return {key: matching_value(item) for key, item in value.items()}
    if kind is list:
        return [matching_value(item) for item in value]
    return value


def matching_key(value: Any) -> str:
    """Return 64 hex digits that are equal exactly for values with equal matching forms."""
    return hashlib.sha256(canonical_json(matching_value(value))).hexdigest()


def word_tokens(matching: str) -> list[str]:
    r"""Return the word tokens of a matching form: runs of `\w`; each Han, Hiragana, Katakana or
    Hangul character is one of its own.
    """
    if matching.isascii():
        return matching.translate(_ASCII_SEPARATORS).split()
    return _TOKEN.findall(matching)


def shingles(matching: str) -> set[str]:
    """Return the set of character 5-grams of a matching form; a shorter text is its own one."""
    if len(matching) <= SHINGLE_CHARACTERS:
        return {matching}
    return {
        matching[start : start + SHINGLE_CHARACTERS]
        for start in range(len(matching) - SHINGLE_CHARACTERS + 1)
    }


def texts_of(value: Any) -> list[str]:
    """Return all strings of a JSON value, keys left out, in order."""
    kind = type(value)
    if kind is str:
        return [value]
    if kind is dict:
        return [text for item in value.values() for text in texts_of(item)]
    if kind is list:
        return [text for item in value for text in texts_of(item)]
    return []
