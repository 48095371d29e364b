"""Outputs that look like answers and are none: echoes, refusals, stray JSON, foreign letters."""

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from brewslm.tasks.text_answers import is_refusal, lead_class

_FEWEST_WORDS = 3
"""Words of an input below which repeating it may well be the answer."""
_CUT_OFF_WORDS = 8
"""Words from which the beginning of a prompt is an echo that the token limit ended."""


def junk_counts(output: str, reference: str, row: Mapping[str, Any]) -> dict[str, float]:
    """Return the counts of an output that `echo_rate`, `false_refusal_rate`, `stray_json_rate` and
    `foreign_script_rate` sum; what the reference does itself is not held against an output.
    """
    known = scripts(reference).union(*map(scripts, _asked(row)))
    return {
        "false_refusal": float(is_refusal(output) and not is_refusal(reference)),
        "echo": float(_begins_with_prompt(output, reference, row)),
        "stray_json": float(lead_class(output) == "json" != lead_class(reference)),
        "foreign_script": float(not scripts(output) <= known),
    }


def is_echo(output: str, reference: str, row: Mapping[str, Any]) -> bool:
    """Return whether an output only repeats what was asked, which the reference does not."""
    said, wanted = _squeezed(output), _squeezed(reference)
    return any(
        _repeats(said, asked) and not _repeats(wanted, asked)
        for asked in map(_squeezed, _asked(row))
    )


def scripts(text: str) -> set[str]:
    """Return the scripts of the letters of a text, by the first word of their Unicode names."""
    return {
        unicodedata.name(letter, "").partition(" ")[0]
        for letter in set(text)
        if letter.isalpha() and not letter.isascii()
    } | ({"LATIN"} if any(letter.isalpha() and letter.isascii() for letter in text) else set())


def _begins_with_prompt(output: str, reference: str, row: Mapping[str, Any]) -> bool:
    said, wanted = _squeezed(output), _squeezed(reference)
    return is_echo(output, reference, row) or any(
        said.startswith(asked) and not wanted.startswith(asked)
        for asked in map(_squeezed, _asked(row))
    )


def _repeats(said: str, asked: str) -> bool:
    return said == asked or (said.count(" ") + 1 >= _CUT_OFF_WORDS and asked.startswith(said))


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
