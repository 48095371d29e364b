"""Named forms in which answers are compared; a change of a rule is a change of its metrics."""

import re
import string
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any

_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_BLANKS = re.compile(r"[\s_\-]+")
_OUTER_LEFT = "\"'`“”‘’«»„([{<*~#>"
_OUTER_RIGHT = "\"'`“”‘’«»„)]}>*~"
_FINAL = ".,:;!?"
_WIDE_SCRIPTS = (
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts that write words without blanks between them."""
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)[$€£¥]?(?P<digits>\d{1,3}(?:[, _]\d{3})+|\d+)(?P<fraction>\.\d+)?"
    r"(?P<unit>\s?%)?"
)


def plain(text: str) -> str:
    """Return the text as it is."""
    return text


def trim(text: str) -> str:
    """Return the text without outer white space."""
    return text.strip()


def nfc_trim(text: str) -> str:
    """Return the text in NFC without outer white space."""
    return unicodedata.normalize("NFC", text).strip()


def squad(text: str) -> str:
    """Return lower-case words without ASCII punctuation and English articles.

    Source: Rajpurkar et al., SQuAD: 100,000+ Questions for Machine Comprehension of Text (2016).
    """
    bare = text.lower().translate(_ASCII_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def squad_unicode(text: str) -> str:
    """Return casefolded words of any script; Han, kana and Hangul characters stand alone."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    bare = "".join(
        character for character in folded if unicodedata.category(character)[0] not in "PS"
    )
    return " ".join(_wide().sub(r" \1 ", _ARTICLES.sub(" ", bare)).split())


def label(text: str) -> str:
    """Return the form in which labels are compared: case, blanks and outer marks do not count."""
    form = _BLANKS.sub(" ", unicodedata.normalize("NFKC", text).casefold())
    while True:
        stripped = form.strip().lstrip(_OUTER_LEFT).rstrip(_OUTER_RIGHT + _FINAL).strip()
        if stripped == form:
            return form
        form = stripped


def code(text: str) -> str:
    """Return the text without blanks at line ends and without outer blank lines."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def number(text: str) -> tuple[Decimal, str] | None:
    """Return the value and unit (`%` or nothing) of a text that is one number."""
    match = _NUMBER.fullmatch(text.strip())
    return _value_of(match) if match else None


def last_number(text: str) -> tuple[Decimal, str] | None:
    """Return the value and unit of the last number in a text."""
    matches = [
        match
        for match in _NUMBER.finditer(text)
        if not text[match.start() - 1 : match.start()].isalnum()
        and not text[match.end() : match.end() + 1].isalnum()
    ]
    return _value_of(matches[-1]) if matches else None


NORMALISERS: dict[str, Callable[[str], str]] = {
    "none": plain,
    "trim": trim,
    "nfc_trim": nfc_trim,
    "squad": squad,
    "squad_unicode": squad_unicode,
    "label": label,
    "code": code,
}
"""Normalisers of text by the name that packs and locks use."""


def scalar_key(value: Any) -> tuple[str, Any]:
    """Return the form in which JSON scalars are equal: 1 is 1.0, true is not 1, text is NFC."""
    if value is None or isinstance(value, bool):
        return ("identity", value)
    if isinstance(value, (int, float)):
        return ("number", Decimal(repr(value)).normalize())
    return ("text", nfc_trim(value))


def _value_of(match: re.Match[str]) -> tuple[Decimal, str]:
    digits = re.sub(r"\D", "", match["digits"])
    return Decimal(f"{match['sign']}{digits}{match['fraction'] or ''}"), (
        match["unit"] or ""
    ).strip()


@cache
def _wide() -> re.Pattern[str]:
    """Return the pattern of one wide character; made when it is needed, as few programs do."""
    return re.compile(f"([{_WIDE_SCRIPTS}])")
