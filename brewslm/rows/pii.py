"""Personal data and credentials in text, by patterns that run in linear time.

The patterns have no look-around, no back-reference and no nested repetition; repetition is bounded
or possessive, so no text makes them step back. What a pattern finds is confirmed by arithmetic
(Luhn, mod 97, area and group ranges, `ipaddress`).
"""

import ipaddress
import re
from typing import NamedTuple

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}+@[A-Za-z0-9-]{1,63}+(?:\.[A-Za-z0-9-]{1,63}+)++")
_DIGITS = re.compile(r"\+?[0-9](?:[ ./()-]{0,2}[0-9]){6,40}+")
_IBAN = re.compile(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}+(?: ?[A-Z0-9]{1,3})?+\b")
_IPV4 = re.compile(r"\b[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\b")
_SSN = re.compile(r"[0-9]{3}-[0-9]{2}-[0-9]{4}")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ANY_DIGITS = re.compile(r"[0-9][0-9 ./()-]{5,}")

_SECRETS = (
    ("AWS_KEY", ("AKIA", "ASIA"), re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    (
        "API_KEY",
        ("sk-", "sk_live_", "gh", "github_pat_", "xox", "AIza", "hf_", "glpat-"),
        re.compile(
            r"\b(?:sk-[A-Za-z0-9_-]{20,200}+|sk_live_[A-Za-z0-9]{16,200}+"
            r"|gh[oprsu]_[A-Za-z0-9]{36,255}+|github_pat_[A-Za-z0-9_]{22,255}+"
            r"|xox[abeprs]-[A-Za-z0-9-]{10,255}+|AIza[A-Za-z0-9_-]{35}"
            r"|hf_[A-Za-z0-9]{30,100}+|glpat-[A-Za-z0-9_-]{20,100}+)"
        ),
    ),
    ("PRIVATE_KEY", ("-----BEGIN",), re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY")),
    (
        "JWT",
        ("eyJ",),
        re.compile(r"\beyJ[A-Za-z0-9_-]{8,4096}+\.eyJ[A-Za-z0-9_-]{8,4096}+\.[A-Za-z0-9_-]{8}"),
    ),
    (
        "URL_CREDENTIALS",
        ("://",),
        re.compile(r"://[^\s/:@]{1,64}+:[^\s/:@]{1,128}+@[A-Za-z0-9.-]"),
    ),
)
_MARKS = {
    "-": ("sk-", "xox", "glpat-", "-----BEGIN"),
    "_": ("sk_live_", "gh", "github_pat_", "hf_"),
    "I": ("AKIA", "ASIA", "AIza"),
    "J": ("eyJ",),
    ":": ("://",),
}
"""Marks by a character that every credential with one of them has; one is found fastest."""
_DIGIT_BYTES = b"0123456789"
_LEAST_NUMBER_DIGITS, _LEAST_ADDRESS_DIGITS = 7, 4
_CARD_PREFIX = re.compile(r"4|5[1-5]|2[2-7]|3[47]|6(?:011|5|4[4-9])|35|30[0-5]|3[689]")


class Span(NamedTuple):
    """A type of personal data and where it stands in a text."""

    type: str
    start: int
    end: int


def find_secret(text: str) -> str:
    """Return the type of the first credential in a text, empty where there is none."""
    if not any(
        mark in text for character, marks in _MARKS.items() if character in text for mark in marks
    ):
        return ""
    for kind, marks, pattern in _SECRETS:
        if any(mark in text for mark in marks) and pattern.search(text):
            return kind
    return ""


def find_pii(text: str) -> list[Span]:
    """Return personal data in a text, in order, without overlaps."""
    spans: list[Span] = []
    if "@" in text:
        spans += (Span("EMAIL", *match.span()) for match in _EMAIL.finditer(text))
    if _may_have_number(text):
        spans += _numbers(text)
    if text != text.lower():
        spans += (
            Span("IBAN", *match.span())
            for match in _IBAN.finditer(text)
            if _is_iban(match[0].replace(" ", ""))
        )
    return _without_overlaps(spans) if spans else spans


def _may_have_number(text: str) -> bool:
    """Return False only where a text has neither a number nor an address that is looked for."""
    data = text.encode(errors="surrogatepass")
    digits = len(data) - len(data.translate(None, _DIGIT_BYTES))
    if digits < _LEAST_NUMBER_DIGITS and (digits < _LEAST_ADDRESS_DIGITS or text.count(".") < 3):
        return False
    return bool(_ANY_DIGITS.search(text))


def redacted(
    text: str, spared: frozenset[str] = frozenset()
) -> tuple[str, list[tuple[int, int, int]]]:
    """Return the text with `[REDACTED_<TYPE>]` and the cuts as (start, end, length of the mark).

    spared: values that stay, wherever they stand in the text.
    """
    parts: list[str] = []
    cuts: list[tuple[int, int, int]] = []
    at = 0
    for span in find_pii(text):
        if any(text[span.start : span.end] in value for value in spared):
            continue
        mark = f"[REDACTED_{span.type}]"
        parts += (text[at : span.start], mark)
        cuts.append((span.start, span.end, len(mark)))
        at = span.end
    return "".join((*parts, text[at:])), cuts


def _numbers(text: str) -> list[Span]:
    spans = [
        Span("IP_ADDRESS", *match.span())
        for match in _IPV4.finditer(text)
        if _is_public_address(match[0])
    ]
    for match in _DIGITS.finditer(text):
        start, end = match.span()
        if not _stands_alone(text, start, end) or _IPV4.fullmatch(match[0]):
            continue
        if kind := _number_kind(match[0]):
            spans.append(Span(kind, start, end))
    return spans


def _number_kind(found: str) -> str:
    digits = "".join(character for character in found if character.isdigit())
    if _SSN.fullmatch(found):
        return "SSN" if _is_ssn(digits) else ""
    if 13 <= len(digits) <= 19 and _CARD_PREFIX.match(digits) and _passes_luhn(digits):
        return "CREDIT_CARD"
    if _ISO_DATE.match(found):
        return ""
    has_mark = found.startswith("+") or len(digits) != len(found)
    return "PHONE" if has_mark and 9 <= len(digits) <= 15 else ""


def _stands_alone(text: str, start: int, end: int) -> bool:
    before = text[start - 1] if start else " "
    after = text[end] if end < len(text) else " "
    return not (before.isalnum() or before == "_" or after.isalnum() or after == "_")


def _is_ssn(digits: str) -> bool:
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _passes_luhn(digits: str) -> bool:
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + index % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _is_iban(compact: str) -> bool:
    if not 15 <= len(compact) <= 34:
        return False
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def _is_public_address(text: str) -> bool:
    try:
        return not ipaddress.ip_address(text).is_private
    except ValueError:
        return False


def _without_overlaps(spans: list[Span]) -> list[Span]:
    kept: list[Span] = []
    for span in sorted(spans, key=lambda item: (item.start, -item.end)):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return kept
