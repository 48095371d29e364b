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
_BLANKS = re.compile(r"[\s_]+|(?<=[^\W\d_])-(?=[^\W\d_])")
"""Blanks, and hyphens between two letters: `very-bad` is `very bad`, `-1` and `A-` are not."""
DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2212", "-"))
"""Characters that write a minus or a hyphen."""
_QUOTES = "\"'`“”‘’«»„"
_FINAL = ".,:;!?"
_PAIRS = {"(": ")", "[": "]", "{": "}", "<": ">"}
_EMPHASIS = ("***", "**", "*", "__", "_", "~~", "~")
_LEAD = re.compile(r"(?:[-*+>•]|#{1,6})\s+")
"""A list, quote or heading mark of Markdown, which a blank follows."""
_MARK_OF_NUMBER = re.compile(r"([<>≤≥±~$€£¥])[^\S\n]+(?=\.?\d)")
"""A mark that belongs to the number after a blank: `< 5` is `<5`."""
_WIDE_SCRIPTS = (
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts that write words without blanks between them."""
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)[$€£¥]?(?P<digits>\d{1,3}(?:[, _]\d{3})+|\d+)?(?P<fraction>\.\d+)?"
    r"(?P<unit>\s?%)?"
)
_NUMBER_IN_TEXT = re.compile(
    r"(?<![\w.])(?<!\d[-+,/:^])(?<![^-=]>)(?<!^>)(?<![<≤≥±])(?<![<>]=)"
    rf"(?=[-+]?[$€£¥]?\.?\d){_NUMBER.pattern}(?![\w^])(?![-+.,/:]\d)"
)
"""A number that stands alone: no part of `1.5.2`, `1,5`, `1/2`, `10:30`, `5-3`, `<5` or `v2`."""
_SPACED_MINUS = re.compile(r"(?:^|(?<=[=(:,]))(\s*-)\s+(?=[$€£¥]?\.?\d)", re.MULTILINE)
_ABBREVIATION = re.compile(r"(?:[^\W\d_]\.){2,}[^\W\d_]?")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_QUOTED = re.compile(r"(?<!\w)(?:\"([^\"\n]*)\"|“([^”\n]*)”|«([^»\n]*)»|`([^`\n]*)`)(?!\w)")
_MARKED = re.compile(r"(?<![\w*_~])(\*{1,3}|_{1,3}|~~)(?=\S)([^\n]+?)(?<=\S)\1(?![\w*_~])")


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
    """Return the form in which labels are compared: case, blanks and outer marks do not count.

    Signs, points and comparison marks belong to a label: -1 is not 1, A- is not A, <5 is not 5.
    """
    composed = unicodedata.normalize("NFC", text).translate(DASHES).casefold()
    form = _LEAD.sub("", joined_marks(composed.strip()), count=1)
    while True:
        stripped = _without_outer_marks(form.strip()).strip()
        if stripped == form:
            return " ".join(_BLANKS.sub(" ", form).split())
        form = stripped


def joined_marks(text: str) -> str:
    """Return the text with no blank between a comparison or currency mark and its number."""
    return _MARK_OF_NUMBER.sub(r"\1", text)


def joined_minus(text: str) -> str:
    """Return the text with no blank between a minus and its number where a number can begin."""
    return _SPACED_MINUS.sub(r"\1", text.translate(DASHES))


def _without_outer_marks(form: str) -> str:
    """Return a form without one layer of quotes, brackets, emphasis and final punctuation."""
    bare = form.lstrip(_QUOTES).rstrip(_QUOTES + _FINAL)
    opening, closing = bare[:1], bare[-1:]
    if len(bare) > 1 and _PAIRS.get(opening) == closing:
        return bare[1:-1]
    if opening in ("(", "[", "{") and _PAIRS[opening] not in bare:
        return bare[1:]
    if closing in (")", "]", "}") and not any(mark in bare for mark in "([{"):
        return bare[:-1]
    for mark in _EMPHASIS:
        if len(bare) > 2 * len(mark) and bare.startswith(mark) and bare.endswith(mark):
            return bare[len(mark) : -len(mark)]
    return bare


def words(text: str) -> str:
    """Return casefolded words in which everything that carries meaning stays.

    Outer punctuation, Markdown emphasis, commas between thousands and articles do not count; the
    signs and points of numbers and the marks of code and names (`C++`, `A-`, `f(x)`, `10:30`) do.
    """
    composed = unicodedata.normalize("NFC", text).translate(DASHES)
    composed = _MARKED.sub(r" \2 ", composed)
    composed = _QUOTED.sub(lambda found: f" {next(filter(None, found.groups()), '')} ", composed)
    composed = _THOUSANDS.sub(lambda found: found[0].replace(",", ""), composed)
    bare = [form for token in composed.casefold().split() if (form := _bare_word(token))]
    kept = [word for at, word in enumerate(bare) if not _is_separator(bare, at)]
    told = [word for at, word in enumerate(kept) if not _is_article(kept, at)]
    return " ".join(_wide().sub(r" \1 ", " ".join(told)).split()) or composed.strip()


def _bare_word(token: str) -> str:
    """Return a token without its outer punctuation; empty where it is nothing else."""
    while True:
        if _ABBREVIATION.fullmatch(token):
            return token.replace(".", "")
        bare = token.rstrip(_FINAL + "…").lstrip(",;:…")
        if bare.startswith("..") or (bare[:1] in ".?" and not bare[1:2].isalnum()):
            bare = bare.lstrip(".?")
        bare = bare.lstrip(_QUOTES)
        if bare[-1:] in tuple(_QUOTES) and not bare[-2:-1].isdigit():
            bare = bare.rstrip(_QUOTES)
        if bare[:1] in ("(", "[", "{"):
            closing = _PAIRS[bare[0]]
            if closing not in bare:
                bare = bare[1:]
            elif bare.endswith(closing) and bare.count(closing) == 1:
                bare = bare[1:-1]
        elif bare[-1:] in (")", "]", "}") and not any(mark in bare for mark in "([{"):
            bare = bare[:-1]
        if bare == token:
            break
        token = bare
    return re.sub(r"(?<=[^\W\d_])['’](?=[^\W\d_])", "", token)


def _is_separator(words_: list[str], at: int) -> bool:
    """Return whether a token is a dash between words, and no operator of a formula."""
    if words_[at].strip("-–—"):
        return False
    near = words_[max(at - 1, 0) : at] + words_[at + 1 : at + 2]
    return not any(any(map(str.isdigit, word)) or len(word) == 1 for word in near)


def _is_article(words_: list[str], at: int) -> bool:
    """Return whether a word is an English article before another word; `vitamin a` has none."""
    is_last = at + 1 == len(words_)
    return not is_last and (words_[at] in ("the", "an") or (words_[at] == "a" and at == 0))


def code(text: str) -> str:
    """Return the text without blanks at line ends and without outer blank lines."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")


def number(text: str) -> tuple[Decimal, str] | None:
    """Return the value and unit (`%` or nothing) of a text that is one number."""
    match = _NUMBER.fullmatch(text.translate(DASHES).strip())
    return _value_of(match) if match else None


def last_number(text: str) -> tuple[Decimal, str] | None:
    """Return the value and unit of the last number that stands alone in a text."""
    matches = list(_NUMBER_IN_TEXT.finditer(joined_minus(text)))
    return _value_of(matches[-1]) if matches else None


NORMALISERS: dict[str, Callable[[str], str]] = {
    "none": plain,
    "trim": trim,
    "nfc_trim": nfc_trim,
    "words": words,
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


def _value_of(match: re.Match[str]) -> tuple[Decimal, str] | None:
    digits = re.sub(r"\D", "", match["digits"] or "")
    if not digits and not match["fraction"]:
        return None
    value = Decimal(f"{match['sign']}{digits or '0'}{match['fraction'] or ''}")
    return value, (match["unit"] or "").strip()


@cache
def _wide() -> re.Pattern[str]:
    """Return the pattern of one wide character; made when it is needed, as few programs do."""
    return re.compile(f"([{_WIDE_SCRIPTS}])")
