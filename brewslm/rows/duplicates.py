"""Exact duplicates: equal row_id, looked for among training rows and, apart, among gold rows."""

from collections.abc import Iterable

import orjson

from brewslm.rows.record import Position, Reject
from brewslm.rows.stored import ContentStore, StoredExample


def drop_duplicates(
    examples: Iterable[StoredExample],
    contents: ContentStore,
    evaluated: frozenset[str] = frozenset(),
) -> tuple[list[StoredExample], list[Reject]]:
    """Return the examples that stay and the duplicates of them.

    Of equal rows the one of an evaluated source stays, else that of the first source (by name);
    within a source the one whose bytes, tags included, are smallest, so that the order of rows
    decides nothing; then the first line.
    """
    kept: dict[bytes, StoredExample] = {}
    duplicates: list[Reject] = []
    for example in examples:
        first = kept.get(example.row_digest)
        if first is None:
            kept[example.row_digest] = example
            continue
        stays, goes = sorted((first, example), key=lambda item: _rank(item, contents, evaluated))
        kept[example.row_digest] = stays
        duplicates.append(_duplicate(goes, contents))
    return list(kept.values()), duplicates


def _rank(
    example: StoredExample, contents: ContentStore, evaluated: frozenset[str]
) -> tuple[bool, str, bytes, int]:
    content = contents.content(example)
    document = orjson.dumps(
        [
            example.hold is not None,
            content.inputs,
            content.reference,
            content.tags,
            example.group_key,
            example.stratum,
        ]
    )
    return example.source not in evaluated, example.source, document, example.line


def _duplicate(example: StoredExample, contents: ContentStore) -> Reject:
    content = contents.content(example)
    return Reject(
        position=Position(example.source, example.line, example.file, content.byte_offset),
        raw_digest=content.raw_digest,
        row_key=example.row_key,
        code="duplicate",
        of_row_id=example.row_id,
        content_at=example.at,
    )
