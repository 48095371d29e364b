"""What cleaning changes, and what it only counts; version clean.v1.

Line ends become LF and text becomes NFC; nothing else changes, white space inside text never does.
Credentials reject a row. Personal data is counted, redacted or an error, by setting.
"""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from brewslm.rows.dataset import CleaningSpec
from brewslm.rows.matching import texts_of
from brewslm.rows.pii import find_pii, find_secret, redacted
from brewslm.rows.record import Example, Flag
from brewslm.rows.rejects import RejectCode, RejectedRow
from brewslm.rows.targets import SEQ2SEQ_PROFILES

VERSION = "clean.v1"
BIDI_CONTROLS = "\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c"
INVISIBLES = "\u200b-\u200d\u2060-\u2064\ufeff\u00ad\U000e0000-\U000e007f"
_BIDI = re.compile(f"[{BIDI_CONTROLS}]")
_INVISIBLE = re.compile(f"[{INVISIBLES}]")
_CONTROL = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|nbsp|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});")


@dataclass(slots=True)
class PiiHit:
    """Personal data in a row: type, field and length, never the text."""

    type: str
    field: str
    length: int


@dataclass(slots=True)
class CleaningTally:
    """What cleaning did to the rows of a dataset."""

    changed: Counter[str] = field(default_factory=Counter)
    """Rows by step: normalized, redacted."""
    pii: Counter[str] = field(default_factory=Counter)
    """Hits by type."""
    left_values: int = 0
    """Hits that were not redacted because they are the wanted answer."""


def clean(example: Example, settings: CleaningSpec, tally: CleaningTally) -> list[PiiHit]:
    """Clean an example in place and return the personal data that was found in it.

    Raises: RejectedRow.
    """
    if settings.normalize_unicode:
        _normalize(example, tally)
    _check_lengths(example, settings)
    texts = texts_of(example.inputs) + texts_of(example.reference)
    joined = "\n".join(texts)
    if settings.pii == "off":
        hits: list[PiiHit] = []
    else:
        if kind := find_secret(joined):
            raise RejectedRow(RejectCode.SECRET_IN_ROW, "", kind)
        hits = _pii(example, joined, settings, tally)
    _flag(example, joined)
    return hits


def has_invisible(text: str) -> bool:
    """Return whether a text has control, bidirectional or zero-width characters."""
    return bool(_CONTROL.search(text) or _BIDI.search(text) or _INVISIBLE.search(text))


def shown_value(value: Any, pii: str) -> Any:
    """Return a rejected row as it may be kept: redacted where that is the setting, and None where
    it holds a credential.
    """
    if pii == "off":
        return value
    if find_secret("\n".join(texts_of(value))):
        return None
    return _redacted_value(value, frozenset()) if pii == "redact" else value


def normal_text(text: str) -> str:
    """Return text with LF line ends, in NFC."""
    if "\r\n" in text:
        text = text.replace("\r\n", "\n")
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def normal_value(value: Any) -> Any:
    """Return a JSON value with its strings in normal form; keys stay as they are."""
    kind = type(value)
    if kind is str:
        return normal_text(value)
    if kind is dict:
        return {key: normal_value(item) for key, item in value.items()}
    if kind is list:
        return [normal_value(item) for item in value]
    return value


def _normalize(example: Example, tally: CleaningTally) -> None:
    before = (example.inputs, example.reference)
    inputs = normal_value(example.inputs)
    entities = example.reference.get("entities")
    if type(entities) is list and inputs != example.inputs:
        reference = {
            "entities": _moved_spans(
                entities, example.inputs.get("text", ""), inputs.get("text", "")
            )
        }
    else:
        reference = normal_value(example.reference)
    if (inputs, reference) == before:
        return
    tally.changed["normalized"] += 1
    example.inputs, example.reference = inputs, reference


def _moved_spans(entities: list[dict[str, Any]], before: str, after: str) -> list[dict[str, Any]]:
    """Return entities at their offsets in the changed text.

    Raises: RejectedRow where a boundary lies inside a changed run.
    """

    def moved(offset: int) -> int:
        head, tail = normal_text(before[:offset]), normal_text(before[offset:])
        if head + tail != after:
            raise RejectedRow(RejectCode.OFFSET_MISMATCH, "entities", "inside a changed run")
        return len(head)

    return [
        {
            **entity,
            "start": moved(entity["start"]),
            "end": moved(entity["end"]),
            "text": normal_text(entity["text"]),
        }
        for entity in entities
        if _lies_inside(entity, before)
    ]


def _lies_inside(entity: dict[str, Any], text: str) -> bool:
    if not 0 <= entity["start"] < entity["end"] <= len(text):
        raise RejectedRow(RejectCode.SPAN_OUT_OF_RANGE, "entities", "outside the text")
    return True


def _check_lengths(example: Example, settings: CleaningSpec) -> None:
    if settings.min_chars > 1:
        answers = [len(text) for text in answer_texts(example)]
        if answers and min(answers) < settings.min_chars:
            detail = f"{min(answers)} characters"
            raise RejectedRow(RejectCode.TEXT_TOO_SHORT, "reference", detail)
    if settings.max_chars is not None:
        texts = texts_of(example.inputs) + texts_of(example.reference)
        if (length := sum(map(len, texts))) > settings.max_chars:
            raise RejectedRow(RejectCode.TEXT_TOO_LONG, "", f"{length} characters")


def answer_texts(example: Example) -> list[str]:
    """Return the texts that are free answers; typed answers (labels, objects) have no length."""
    reference = example.reference
    match example.task_profile:
        case "qa" | "rag_qa":
            return texts_of(reference["answers"])
        case "preference":
            return texts_of(reference)
        case profile if profile in (
            "instruction_sft", "chat_sft", "language_modeling", "style", *SEQ2SEQ_PROFILES
        ):  # fmt: skip
            return [reference["text"]]
        case _:
            return []


def _pii(
    example: Example, joined: str, settings: CleaningSpec, tally: CleaningTally
) -> list[PiiHit]:
    if not find_pii(joined):
        return []
    hits = [
        PiiHit(span.type, part, span.end - span.start)
        for part, value in (("inputs", example.inputs), ("reference", example.reference))
        for text in texts_of(value)
        for span in find_pii(text)
    ]
    tally.pii.update(hit.type for hit in hits)
    if settings.pii == "redact" and hits:
        _redact(example, tally)
    return hits


def _redact(example: Example, tally: CleaningTally) -> None:
    spared = frozenset[str]()
    if example.task_profile == "structured_extraction":
        spared = frozenset(texts_of(example.reference))
    entities = example.reference.get("entities")
    if type(entities) is list and "text" in example.inputs:
        text = example.inputs["text"]
        example.reference = {"entities": _redacted_spans(entities, text, spared)}
    before = (example.inputs, example.reference)
    example.inputs = _redacted_value(example.inputs, spared)
    if type(entities) is not list:
        example.reference = _redacted_value(example.reference, spared)
    if before != (example.inputs, example.reference):
        tally.changed["redacted"] += 1
        example.flags.add(Flag.REDACTED)
    tally.left_values += len(find_pii("\n".join(texts_of(example.inputs))))


def _redacted_value(value: Any, spared: frozenset[str]) -> Any:
    kind = type(value)
    if kind is str:
        return redacted(value, spared)[0]
    if kind is dict:
        return {key: _redacted_value(item, spared) for key, item in value.items()}
    if kind is list:
        return [_redacted_value(item, spared) for item in value]
    return value


def _redacted_spans(
    entities: list[dict[str, Any]], text: str, spared: frozenset[str]
) -> list[dict[str, Any]]:
    """Return entities at their offsets in the redacted text."""
    _, cuts = redacted(text, spared)

    def moved(offset: int) -> int:
        shift = 0
        for start, end, length in cuts:
            if start < offset < end:
                raise RejectedRow(RejectCode.OFFSET_MISMATCH, "entities", "inside a redaction")
            if end <= offset:
                shift += length - (end - start)
        return offset + shift

    return [
        {**entity, "start": moved(entity["start"]), "end": moved(entity["end"])}
        for entity in entities
        if _lies_inside(entity, text)
    ]


def _flag(example: Example, joined: str) -> None:
    if not joined.isascii():
        if _BIDI.search(joined):
            example.flags.add(Flag.BIDI_CONTROL)
        if _INVISIBLE.search(joined):
            example.flags.add(Flag.INVISIBLE_CHARACTER)
    if "&" in joined and _ENTITY.search(joined):
        example.flags.add(Flag.HTML_ENTITY)
    if not joined.replace("\n", "").isprintable() and _CONTROL.search(joined):
        example.flags.add(Flag.CONTROL_CHARACTER)
