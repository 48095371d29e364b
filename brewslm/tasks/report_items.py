"""The items of an evaluation, one for each row, role and epoch, with their texts."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

Document = Mapping[str, Any]


class ReportItem(Struct, frozen=True):
    """What one role answered to one row, and what that was worth."""

    dataset: str
    row_id: str
    epoch: int
    role: str
    status: str
    score: float | None
    """Null where the machinery failed."""
    source: str
    """Data source that the row came from; empty where that is not known any more."""
    line: int | None
    """Where in it, from 1."""
    prompt: str
    """The turns that were shown, each after its role."""
    output: str
    reference: str
    """What was right: a text as it is, anything else as JSON."""
    extracted: str
    """What was read off the output, written like the reference."""
    parse_detail: str
    reason_code: str
    """Why a failed item failed."""
    output_pattern: str
    slices: tuple[str, ...]
    values: Mapping[str, float]
    """What each metric of single items came to."""
    new_tokens: int | None
    finish: str
    error_code: str

    @property
    def is_failure(self) -> bool:
        """Whether the item counts as a failure of its role."""
        return bool(self.reason_code) or self.status == "error"


def items_of(
    dataset: str,
    rows: Iterable[Document],
    places: Mapping[str, tuple[str, int]],
    predictions: Mapping[str, Sequence[Document]],
    scores: Mapping[str, Sequence[Document]],
) -> list[ReportItem]:
    """Return the items of a set by row_id, epoch and role.

    places: row_id to source and line; predictions, scores: stored lines by role. Raises: KeyError
    when a score belongs to a row or a prediction that is not there.
    """
    by_id = {str(row["row_id"]): row for row in rows}
    items = []
    for role, scored in scores.items():
        answers = {_key(line): line for line in predictions[role]}
        for line in scored:
            key = _key(line)
            place = places.get(key[0], ("", None))
            items.append(_item(dataset, role, by_id[key[0]], place, answers[key], line))
    return sorted(items, key=lambda item: (item.row_id, item.epoch, item.role))


def _item(
    dataset: str,
    role: str,
    row: Document,
    place: tuple[str, int | None],
    prediction: Document,
    scored: Document,
) -> ReportItem:
    failure = scored["failure"] or {}
    return ReportItem(
        dataset=dataset,
        row_id=str(row["row_id"]),
        epoch=int(scored["epoch"]),
        role=role,
        status=scored["status"],
        score=scored["score"],
        source=place[0],
        line=place[1],
        prompt="\n\n".join(_turns(row["messages"][: row["completion_from"]])),
        output=str(prediction.get("output") or ""),
        reference=_reference(row["reference"]),
        extracted=_text(scored["extracted"]),
        parse_detail=scored["parse_detail"],
        reason_code=failure.get("reason_code", ""),
        output_pattern=failure.get("output_pattern", ""),
        slices=tuple(scored["slices"]),
        values=scored["item"],
        new_tokens=prediction.get("new_tokens"),
        finish=str(prediction.get("finish") or ""),
        error_code=str(prediction.get("error_code") or ""),
    )


def _key(line: Document) -> tuple[str, int]:
    return str(line["row_id"]), int(line.get("epoch", 0))


def _turns(messages: Iterable[Document]) -> Iterator[str]:
    for turn in messages:
        content = turn.get("content")
        told = _text({name: item for name, item in turn.items() if name != "role"})
        yield f"{turn['role']}: {content if isinstance(content, str) else told}"


def _reference(reference: Document) -> str:
    """Return a reference without the name of its only field."""
    return _text(next(iter(reference.values())) if len(reference) == 1 else reference)


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
