"""Outputs that look like answers and are none: echoes, refusals, stray JSON, look-alike letters."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from brewslm.tasks.text_answers import is_refusal, lead_class

_WORD = re.compile(r"\w+")
_ALIKE = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC"})
_STYLED = "styled"
_FEWEST_WORDS = 3
"""Words of an input below which repeating it may well be the answer."""
_CUT_OFF_WORDS = 8
"""Words from which the beginning of a prompt is an echo that the token limit ended."""


def junk_counts(output: str, reference: str, row: Mapping[str, Any]) -> dict[str, float]:
    """Return the counts of an output that `echo_rate`, `false_refusal_rate`, `stray_json_rate` and
    `look_alike_rate` sum; what the reference does itself is not held against an output.
    """
    is_usual = has_look_alikes(reference) or any(map(has_look_alikes, _asked(row)))
    return {
        "false_refusal": float(is_refusal(output) and not is_refusal(reference)),
        "echo": float(_begins_with_prompt(output, reference, row)),
        "stray_json": float(lead_class(output) == "json" != lead_class(reference)),
        "look_alike": float(has_look_alikes(output) and not is_usual),
    }


def is_echo(output: str, reference: str, row: Mapping[str, Any]) -> bool:
    """Return whether an output only repeats what was asked, which the reference does not."""
    said, wanted = _squeezed(output), _squeezed(reference)
    return any(
        _repeats(said, asked) and not _repeats(wanted, asked)
        for asked in map(_squeezed, _asked(row))
    )


def has_look_alikes(text: str) -> bool:
    """Return whether a word mixes alphabets whose letters look alike, or writes ASCII letters in
    another form, such as full width.
    """
    if text.isascii():
        return False
    for word in _WORD.findall(text):
        forms = {_alphabet_of(letter) for letter in word} - {""}
        if len(forms) > 1 or _STYLED in forms:
            return True
    return False


def _alphabet_of(letter: str) -> str:
    """Return the alphabet of a letter among those that look alike, nothing for other characters."""
    if letter.isascii():
        return "LATIN" if letter.isalpha() else ""
    alphabet = unicodedata.name(letter, "").partition(" ")[0]
    if alphabet in _ALIKE:
        return alphabet
    plain = unicodedata.normalize("NFKC", letter)
    return _STYLED if plain.isascii() and plain.isalpha() else ""


def _begins_with_prompt(output: str, reference: str, row: Mapping[str, Any]) -> bool:
    said, wanted = _squeezed(output), _squeezed(reference)
    return is_echo(output, reference, row) or any(
        said.startswith(asked) and not wanted.startswith(asked)
        for asked in map(_squeezed, _asked(row))
    )


def _repeats(said: str, asked: str) -> bool:
    """Return whether a text is what was asked, in whatever order of words, or its beginning."""
    words = said.split()
    return sorted(words) == sorted(asked.split()) or (
        len(words) >= _CUT_OFF_WORDS and asked.startswith(said)
    )


def _asked(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield the prompt's last turn and the texts of the row's inputs, none of a few words."""
    turns = row.get("messages", ())[: row.get("completion_from")]
    texts = [turns[-1].get("content")] if turns else []
    texts += row.get("inputs", {}).values()
    for text in texts:
        if isinstance(text, str) and len(text.split()) >= _FEWEST_WORDS:
            yield text


def _squeezed(text: str) -> str:
    return " ".join(text.split()).casefold().strip("\"'` ")
