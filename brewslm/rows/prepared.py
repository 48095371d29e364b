"""The prepared folder: example files, index, rejects, leaks and a manifest, equal for equal
content.

No absolute path and no time stamp enters it. Lines of examples are ordered by seed and row_id, so
reordering a source leaves the example files byte-equal.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import orjson

from brewslm.contracts import Output
from brewslm.files import make_private_folder, write_lines_atomic
from brewslm.fingerprint import canonical_json, digest_value
from brewslm.rows.composing import Composing, stored_of
from brewslm.rows.identity import order_digest
from brewslm.rows.pool import each
from brewslm.rows.record import Reject, Split
from brewslm.rows.stored import ContentStore, StoredExample, batches

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = "1.0"
_BINS = 16
_BATCH_ROWS = 1024
_Sides = dict[bool, dict[str, StoredExample]]
"""Whether rows are gold, to row_id, to the row that stayed."""


class Writer:
    """Writes the files of a prepared folder and remembers their digests and sizes."""

    def __init__(self, folder: Path) -> None:
        """Make the folder if it is missing."""
        self._folder = make_private_folder(folder)
        self.files: dict[str, Output] = {}

    def write(self, name: str, lines: Iterable[bytes]) -> int:
        """Write a file of lines with their ends, given any number at once; return how many."""
        written = write_lines_atomic(self._folder / name, lines)
        self.files[name] = Output(written.digest, written.size_bytes)
        return written.lines

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write manifest.json in canonical form, as one line."""
        self.write(MANIFEST_NAME, [canonical_json(manifest) + b"\n"])


class Lengths:
    """How many rows of each set have how many characters and tokens."""

    def __init__(self) -> None:
        self.characters: dict[Split, Counter[int]] = {}
        self.tokens: dict[Split, Counter[int]] = {}

    def add(self, split: Split, characters: Iterable[int], tokens: Iterable[int]) -> None:
        """Count some rows of a set."""
        self.characters.setdefault(split, Counter()).update(characters)
        self.tokens.setdefault(split, Counter()).update(tokens)

    def to_json(self, tokenizer_digest: str | None, *, is_measured: bool) -> dict[str, Any]:
        """Return per set how long the examples are."""
        return {
            "splits": {
                split.value: {
                    "characters": _spread(characters),
                    "tokens": _spread(self.tokens[split]),
                }
                for split, characters in self.characters.items()
            },
            "tokenizer_digest": tokenizer_digest if is_measured else None,
            "provenance": "measured" if is_measured else "estimated",
        }


class ExampleLines:
    """The lines of all sets, composed in the order in which the sets are asked for."""

    def __init__(
        self,
        splits: Mapping[Split, Sequence[StoredExample]],
        contents: ContentStore,
        composing: Composing,
        seed: int,
        workers: int,
    ) -> None:
        """splits: every set, in the order in which `of` is going to be called."""
        self.lengths = Lengths()
        self._ordered = {split: _ordered(own, seed) for split, own in splits.items()}
        stored = (
            [stored_of(example, contents) for example in batch]
            for own in self._ordered.values()
            for batch in batches(own, _BATCH_ROWS)
        )
        self._composed = each(composing, stored, workers)

    def of(self, split: Split) -> Iterator[bytes]:
        """Yield the lines of a set, many at once; equal rows in order of their bytes."""
        self.lengths.add(split, (), ())
        missing = len(self._ordered[split])
        while missing:
            composed = next(self._composed)
            self.lengths.add(split, composed.characters, composed.tokens)
            missing -= len(composed.characters)
            yield composed.lines


def _ordered(examples: Sequence[StoredExample], seed: int) -> list[StoredExample]:
    return sorted(examples, key=lambda example: order_digest(seed, example.row_id))


def index_lines(
    placed: Sequence[StoredExample],
    duplicates: Sequence[Reject],
    contents: ContentStore,
    gold_sources: Collection[str],
) -> Iterator[bytes]:
    """Yield one line for every occurrence of an accepted row, in order of source and line, many at
    once.

    A duplicate names the set of the row that stayed on its side, training or gold.
    """
    stayed = {reject.of_row_id or "" for reject in duplicates}
    sides: _Sides = {True: {}, False: {}}
    for example in placed:
        if example.row_id in stayed:
            sides[example.is_gold][example.row_id] = example
    occurrences: list[StoredExample | Reject] = [*placed, *duplicates]
    occurrences.sort(key=_occurrence_order)
    for start in range(0, len(occurrences), _BATCH_ROWS):
        batch = occurrences[start : start + _BATCH_ROWS]
        yield b"".join(
            _line(_occurrence_entry(item, sides, contents, gold_sources)) for item in batch
        )


def row_sources(placed: Sequence[StoredExample], duplicates: Sequence[Reject]) -> dict[str, str]:
    """Return for each set of several sources that is not trained on a digest of its rows with the
    source that each occurs in first, which is the one that `index.jsonl` names first.
    """
    rows: dict[str, set[str]] = {}
    for example in placed:
        if example.split and example.split not in (Split.TRAIN, Split.HELD):
            rows.setdefault(example.split.value, set()).add(example.row_id)
    evaluated = set().union(*rows.values())
    occurrences: list[StoredExample | Reject] = [
        *(example for example in placed if example.row_id in evaluated),
        *(reject for reject in duplicates if reject.of_row_id in evaluated),
    ]
    first: dict[str, str] = {}
    for item in sorted(occurrences, key=_occurrence_order):
        first.setdefault(_row_id(item), _occurrence_order(item)[0])
    by_set = {name: {row_id: first[row_id] for row_id in row_ids} for name, row_ids in rows.items()}
    return {
        name: digest_value(sources)
        for name, sources in sorted(by_set.items())
        if len(set(sources.values())) > 1
    }


def _row_id(item: StoredExample | Reject) -> str:
    return item.row_id if isinstance(item, StoredExample) else item.of_row_id or ""


def _line(entry: dict[str, Any]) -> bytes:
    return orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)


def _occurrence_entry(
    item: StoredExample | Reject,
    sides: _Sides,
    contents: ContentStore,
    gold_sources: Collection[str],
) -> dict[str, Any]:
    if isinstance(item, StoredExample):
        origin = contents.origin(item)
        return _index_entry(
            item.source, item.line, origin.byte_offset, origin.raw_digest, item.row_key, item
        )
    position = item.position
    example = sides[position.source in gold_sources][item.of_row_id or ""]
    entry = _index_entry(
        position.source, position.line, position.byte_offset, item.raw_digest, item.row_key, example
    )
    entry["is_duplicate"] = True
    return entry


def _occurrence_order(item: StoredExample | Reject) -> tuple[str, int]:
    if isinstance(item, StoredExample):
        return item.source, item.line
    return item.position.source, item.position.line


def _index_entry(
    source: str,
    line: int,
    byte_offset: int | None,
    raw_digest: str,
    row_key: str | None,
    example: StoredExample,
) -> dict[str, Any]:
    return {
        "row_id": example.row_id,
        "source": source,
        "line": line,
        "byte_offset": byte_offset,
        "raw_digest": raw_digest,
        "row_key": row_key,
        "group_key": example.group_key,
        "split": (example.split or Split.HELD).value,
        "hold": example.hold,
        "flags": example.flags,
        "is_duplicate": False,
    }


def rejected_lines(rejects: Iterable[Reject], contents: ContentStore) -> Iterator[bytes]:
    """Yield one line for every reject and duplicate, in order of source and line."""
    ordered = sorted(rejects, key=lambda item: (item.position.source, item.position.line))
    for item in ordered:
        yield _line(_rejected_entry(item, contents))


def _rejected_entry(item: Reject, contents: ContentStore) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "kind": "reject" if item.of_row_id is None else "duplicate",
        "reason_code": item.code,
        "source": item.position.source,
        "file": item.position.file,
        "line": item.position.line,
        "byte_offset": item.position.byte_offset,
        "raw_digest": item.raw_digest,
        "row_key": item.row_key,
        "field_path": item.field_path,
        "detail": item.detail,
        "of_row_id": item.of_row_id,
    }
    if item.content_at is not None:
        content = contents.content_at(item.content_at)
        entry["row"] = {"inputs": content.inputs, "reference": content.reference}
    elif item.row is not None:
        entry["row"] = item.row
    return entry


def _spread(lengths: Counter[int]) -> dict[str, Any] | None:
    """Return min, quantiles (nearest rank), max and a histogram of 16 equal bins up to max."""
    if not lengths:
        return None
    longest = max(lengths)
    histogram = [0] * _BINS
    for length, amount in lengths.items():
        histogram[min(length * _BINS // (longest + 1), _BINS - 1)] += amount
    ranks = {f"p{percent}": _nearest_rank(lengths, percent) for percent in (50, 95, 99)}
    return {"min": min(lengths), **ranks, "max": longest, "histogram": histogram}


def _nearest_rank(lengths: Counter[int], percent: int) -> int:
    rank = max(-(-lengths.total() * percent // 100), 1)
    ordered = sorted(lengths)
    upto = list(accumulate(lengths[length] for length in ordered))
    return ordered[bisect_left(upto, rank)]
