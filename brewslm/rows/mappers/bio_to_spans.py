"""Tokens with BIO tags into a text and its entities."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from brewslm.contracts import Spec
from brewslm.rows.mapper import Mapped, Mapper, MapperField, Sample
from brewslm.rows.record import Flag
from brewslm.rows.rejects import RejectCode, RejectedRow
from brewslm.rows.targets import Target, sorted_entities


class Options(Spec):
    """Options of bio_to_spans."""

    entity_type_map: dict[str, str] = {}
    """Type in the tags to type in the answer; a type that is not named stays."""
    output_field: Literal["entities"] = "entities"
    """Name of the list in the answer; answers are scored under this one name."""


def _map(values: Mapping[str, Any], options: Options, _target: Target) -> Mapped:
    tokens = _texts(values.get("tokens"), "tokens", RejectCode.MISSING_TOKENS)
    tags = _texts(values.get("labels"), "labels", RejectCode.MISSING_LABELS)
    if len(tokens) != len(tags):
        detail = f"{len(tokens)} tokens, {len(tags)} tags"
        raise RejectedRow(RejectCode.LENGTH_MISMATCH, "labels", detail)
    text, starts = _text(values, tokens)
    runs, is_repaired = _runs(tags)
    entities = []
    for kind, first, last in runs:
        start, end = starts[first], starts[last] + len(tokens[last])
        kind = options.entity_type_map.get(kind, kind)
        entities.append({"type": kind, "start": start, "end": end, "text": text[start:end]})
    flags = frozenset({Flag.TAG_REPAIRED}) if is_repaired else frozenset[Flag]()
    return Mapped({"text": text}, {options.output_field: sorted_entities(entities)}, flags)


def _texts(value: Any, field: str, missing: RejectCode) -> list[str]:
    if value is None or value == []:
        raise RejectedRow(missing, field)
    if type(value) is not list or not all(type(item) is str for item in value):
        raise RejectedRow(RejectCode.WRONG_TYPE, field, "no list of text")
    return value


def _text(values: Mapping[str, Any], tokens: Sequence[str]) -> tuple[str, list[int]]:
    """Return the text and where each token starts in it, in code points."""
    full_text = values.get("full_text")
    if full_text is not None:
        if type(full_text) is not str:
            raise RejectedRow(RejectCode.WRONG_TYPE, "full_text")
        return full_text, _found(tokens, full_text)
    blanks = _blanks(values.get("trailing_whitespace"), len(tokens))
    starts, parts, at = [], [], 0
    for token, has_blank in zip(tokens, blanks, strict=True):
        starts.append(at)
        part = token + " " * has_blank
        parts.append(part)
        at += len(part)
    text = "".join(parts)
    if not text.strip():
        raise RejectedRow(RejectCode.EMPTY_TEXT, "tokens")
    return text, starts


def _found(tokens: Sequence[str], text: str) -> list[int]:
    """Return where the tokens stand in the text, in order and with white space between only."""
    starts, at = [], 0
    for index, token in enumerate(tokens):
        start = text.find(token, at)
        if start < 0 or text[at:start].strip():
            raise RejectedRow(RejectCode.OFFSET_MISMATCH, f"tokens/{index}")
        starts.append(start)
        at = start + len(token)
    if text[at:].strip():
        raise RejectedRow(RejectCode.OFFSET_MISMATCH, "full_text", "text after the last token")
    return starts


def _blanks(value: Any, count: int) -> list[bool]:
    """Return whether a blank follows each token; by default after all but the last."""
    if value is None:
        return [True] * (count - 1) + [False]
    if type(value) is not list or not all(type(item) is bool for item in value):
        raise RejectedRow(RejectCode.WRONG_TYPE, "trailing_whitespace", "no list of booleans")
    if len(value) != count:
        raise RejectedRow(RejectCode.LENGTH_MISMATCH, "trailing_whitespace")
    return value


def _runs(tags: Sequence[str]) -> tuple[list[tuple[str, int, int]], bool]:
    """Return (type, first token, last token) of entities, and whether an I opened one."""
    runs: list[tuple[str, int, int]] = []
    is_repaired = False
    before = ""
    for index, tag in enumerate(tags):
        mark, _, kind = tag.partition("-")
        if tag == "O":
            before = ""
            continue
        if mark not in ("B", "I") or not kind:
            raise RejectedRow(RejectCode.INVALID_TAG_SEQUENCE, f"labels/{index}")
        if mark == "I" and before == kind:
            runs[-1] = (kind, runs[-1][1], index)
        else:
            is_repaired = is_repaired or mark == "I"
            runs.append((kind, index, index))
        before = kind
    return runs, is_repaired


_TOKENS = ["Pump", "3", "stops"]
_TAGS = ["B-ASSET", "I-ASSET", "O"]

MAPPER = Mapper(
    id="bio_to_spans",
    task_profile="structured_extraction",
    fields=(
        MapperField("tokens", is_required=True),
        MapperField("labels", is_required=True),
        MapperField("trailing_whitespace"),
        MapperField("full_text"),
        MapperField("document"),
    ),
    options=Options,
    scoring_mode="span_set",
    map=_map,
    samples=(
        Sample({"tokens": _TOKENS, "labels": _TAGS}),
        Sample({"tokens": _TOKENS, "labels": _TAGS, "full_text": "Pump  3\nstops"}),
        Sample({"tokens": _TOKENS, "labels": ["O", "I-ASSET", "O"]}),
        Sample({"labels": _TAGS}, RejectCode.MISSING_TOKENS),
        Sample({"tokens": _TOKENS}, RejectCode.MISSING_LABELS),
        Sample({"tokens": _TOKENS, "labels": ["O"]}, RejectCode.LENGTH_MISMATCH),
        Sample({"tokens": [" "], "labels": ["O"]}, RejectCode.EMPTY_TEXT),
        Sample(
            {"tokens": _TOKENS, "labels": _TAGS, "full_text": "Pump 4 stops"},
            RejectCode.OFFSET_MISMATCH,
        ),
        Sample(
            {"tokens": _TOKENS, "labels": ["B-ASSET", "X", "O"]}, RejectCode.INVALID_TAG_SEQUENCE
        ),
        Sample({"tokens": [1, 2, 3], "labels": _TAGS}, RejectCode.WRONG_TYPE),
    ),
)
