"""The prepared folder: example files, index, rejects, leaks and a manifest, equal for equal
content.

No absolute path and no time stamp enters it. Lines of examples are ordered by seed and row_id, so
reordering a source leaves the example files byte-equal.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import orjson

from brewslm.contracts import Compose, Output, TokenCounter
from brewslm.files import make_private_folder, write_atomic
from brewslm.fingerprint import canonical_json, digest_bytes
from brewslm.rows.identity import order_digest
from brewslm.rows.record import Example, Reject, Split

MANIFEST_NAME = "manifest.json"
FORMAT_VERSION = "1.0"
_CHARACTERS_PER_TOKEN = 4
_BINS = 16
_BATCH_TEXTS = 1024


def file_name(split: Split) -> str:
    """Return the name of a set's file."""
    return f"{split.value}.jsonl"


class Writer:
    """Writes the files of a prepared folder and remembers their digests and sizes."""

    def __init__(self, folder: Path) -> None:
        """Make the folder if it is missing."""
        self._folder = make_private_folder(folder)
        self.files: dict[str, Output] = {}

    def write(self, name: str, lines: Iterable[bytes]) -> int:
        """Write a file of lines; return how many there are."""
        parts = list(lines)
        data = b"".join(part + b"\n" for part in parts)
        write_atomic(self._folder / name, data)
        self.files[name] = Output(digest_bytes(data), len(data))
        return len(parts)

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write manifest.json in canonical form, as one line."""
        self.write(MANIFEST_NAME, [canonical_json(manifest)])


class Lines:
    """Examples as lines of JSON, with the lengths of what a model reads."""

    def __init__(
        self, compose: Compose, contracts: dict[str, dict[str, Any]], system_prompt: str, seed: int
    ) -> None:
        """contracts: source to its effective contract."""
        self._compose = compose
        self._contracts = contracts
        self._system_prompt = system_prompt
        self._seed = seed
        self.texts: dict[Split, list[str]] = {}

    def of(self, split: Split, examples: Sequence[Example]) -> list[bytes]:
        """Return the lines of a set, ordered, and keep the texts for the lengths."""
        texts = self.texts.setdefault(split, [])
        keyed = []
        for example in examples:
            document = self._document(example)
            texts.append(_shown_text(document))
            line = orjson.dumps(document)
            keyed.append((order_digest(self._seed, example.row_id), line))
        return [line for _, line in sorted(keyed)]

    def _document(self, example: Example) -> dict[str, Any]:
        composition = self._compose(
            example.task_profile,
            example.inputs,
            example.reference,
            self._contracts[example.position.source],
            self._system_prompt,
        )
        document: dict[str, Any] = {
            "row_id": example.row_id,
            "task_profile": example.task_profile,
            "group_key": example.group_key,
            "weight": example.weight,
            "messages": composition.messages,
            "completion_from": composition.completion_from,
            "loss": composition.loss,
            "inputs": example.inputs,
            "reference": example.reference,
            "tags": dict(sorted(example.tags.items())),
        }
        if composition.loss == "all_tokens":
            document["text"] = example.reference["text"]
        if composition.loss == "preference":
            pair = (name for name in ("chosen", "rejected") if name in example.reference)
            document.update((name, example.reference[name]) for name in pair)
        return document


def index_lines(placed: Iterable[Example], duplicates: Iterable[Reject]) -> list[bytes]:
    """Return one line for every occurrence of an accepted row, in order of source and line.

    A duplicate names the set of the row that stayed.
    """
    by_row_id: dict[str, Example] = {}
    keyed = []
    for example in placed:
        by_row_id[example.row_id] = example
        keyed.append((example.position, _index_entry(example, example, is_duplicate=False)))
    for reject in duplicates:
        stayed = by_row_id[reject.of_row_id or ""]
        keyed.append((reject.position, _index_entry(reject, stayed, is_duplicate=True)))
    keyed.sort(key=lambda pair: (pair[0].source, pair[0].line))
    return [orjson.dumps(entry) for _, entry in keyed]


def _index_entry(
    occurrence: Example | Reject, example: Example, *, is_duplicate: bool
) -> dict[str, Any]:
    return {
        "row_id": example.row_id,
        "source": occurrence.position.source,
        "line": occurrence.position.line,
        "byte_offset": occurrence.position.byte_offset,
        "raw_digest": occurrence.raw_digest,
        "row_key": occurrence.row_key,
        "group_key": example.group_key,
        "split": (example.split or Split.HELD).role,
        "hold": example.hold,
        "flags": sorted(example.flags),
        "is_duplicate": is_duplicate,
    }


def rejected_lines(rejects: Iterable[Reject]) -> list[bytes]:
    """Return one line for every reject and duplicate, in order of source and line."""
    ordered = sorted(rejects, key=lambda item: (item.position.source, item.position.line))
    return [orjson.dumps(_rejected_entry(item)) for item in ordered]


def _rejected_entry(item: Reject) -> dict[str, Any]:
    entry = {
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
    return entry if item.row is None else {**entry, "row": item.row}


def lengths_of(
    texts: dict[Split, list[str]], count_tokens: TokenCounter | None, tokenizer_digest: str | None
) -> dict[str, Any]:
    """Return per set how long the examples are, in characters and tokens.

    Without a counter tokens are estimated at four characters each.
    """
    sets: dict[str, Any] = {}
    for split, own in texts.items():
        characters = [len(text) for text in own]
        if count_tokens is None:
            tokens = [-(-length // _CHARACTERS_PER_TOKEN) for length in characters]
        else:
            tokens = [
                count
                for start in range(0, len(own), _BATCH_TEXTS)
                for count in count_tokens(own[start : start + _BATCH_TEXTS])
            ]
        sets[split.role] = {"characters": _spread(characters), "tokens": _spread(tokens)}
    return {
        "splits": sets,
        "tokenizer_digest": tokenizer_digest if count_tokens is not None else None,
        "provenance": "estimated" if count_tokens is None else "measured",
    }


def _spread(values: list[int]) -> dict[str, Any] | None:
    """Return min, quantiles (nearest rank), max and a histogram of 16 equal bins up to max."""
    if not values:
        return None
    ordered = sorted(values)
    histogram = [0] * _BINS
    for value in ordered:
        histogram[min(value * _BINS // (ordered[-1] + 1), _BINS - 1)] += 1
    ranks = {f"p{percent}": _nearest_rank(ordered, percent) for percent in (50, 95, 99)}
    return {"min": ordered[0], **ranks, "max": ordered[-1], "histogram": histogram}


def _nearest_rank(ordered: list[int], percent: int) -> int:
    return ordered[max(-(-len(ordered) * percent // 100), 1) - 1]


def _shown_text(document: dict[str, Any]) -> str:
    parts = [message["content"] for message in document["messages"]]
    parts += [str(document[name]) for name in ("text", "chosen", "rejected") if name in document]
    return "\n".join(parts)
