"""Exact duplicates: equal row_id, looked for among training rows and, apart, among gold rows."""

from collections.abc import Iterable

import orjson

from brewslm.rows.record import Example, Reject


def drop_duplicates(
    examples: Iterable[Example], evaluated: frozenset[str] = frozenset()
) -> tuple[list[Example], list[Reject]]:
    """Return the examples that stay and the duplicates of them.

    Of equal rows the one of an evaluated source stays, else that of the first source (by name);
    within a source the one whose bytes, tags included, are smallest, so that the order of rows
    decides nothing; then the first line.
    """
    kept: dict[str, Example] = {}
    duplicates: list[Reject] = []
    for example in examples:
        first = kept.get(example.row_id)
        if first is None:
            kept[example.row_id] = example
            continue
        stays, goes = sorted((first, example), key=lambda item: _rank(item, evaluated))
        kept[example.row_id] = stays
        duplicates.append(_duplicate(goes))
    return list(kept.values()), duplicates


def _rank(example: Example, evaluated: frozenset[str]) -> tuple[bool, str, bytes, int]:
    source = example.position.source
    content = orjson.dumps(
        [
            example.hold is not None,
            example.inputs,
            example.reference,
            example.tags,
            example.group_key,
            example.stratum,
        ]
    )
    return source not in evaluated, source, content, example.position.line


def _duplicate(example: Example) -> Reject:
    return Reject(
        position=example.position,
        raw_digest=example.raw_digest,
        row_key=example.row_key,
        code="duplicate",
        of_row_id=example.row_id,
        row={"inputs": example.inputs, "reference": example.reference},
    )
