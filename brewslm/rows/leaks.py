"""Whether training rows resemble evaluation rows, layer by layer, strongest first.

Compared are inputs and reference, never prompt templates or system turns. An input field with few
distinct values, such as a constant instruction, counts in the exact layers only. A pair is reported
by the first layer that sees it. Each layer reports one evaluation row for a training row: rows of
one template resemble each other all, and their pairs would grow with the product of both sides. The
test set that the split made counts apart from rows that were provided for evaluation.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from typing import Any

import orjson

from brewslm.contracts import RowProgress, untold
from brewslm.rows.dataset import LeakCheckSpec
from brewslm.rows.digest_index import DigestIndex
from brewslm.rows.leak_scan import (
    SHORT_MAX_TOKENS,
    SHORT_MIN_TOKENS,
    LeakScan,
    RunFilter,
    Scanned,
    Texts,
)
from brewslm.rows.matching import matching_key, word_tokens
from brewslm.rows.pool import each
from brewslm.rows.stored import ContentStore, StoredExample

CODES = (
    "leak_exact",
    "leak_normalized",
    "leak_input",
    "leak_group",
    "leak_derived",
    "leak_ngram",
    "leak_short_item",
    "leak_near_duplicate",
)
_BATCH_ROWS = 1024
NEAR_MIN_TOKENS = 8
_FEW_VALUES, _FEW_SHARE = 5, 0.01
_BOILERPLATE_ROWS, _BOILERPLATE_SHARE = 3, 0.01


@dataclass(frozen=True, slots=True)
class Leak:
    """A training row that resembles an evaluation row.

    `score` is 1 for equality, the covered share of the evaluation row for shared runs, and the
    Jaccard similarity for near duplicates. One that is only reported blocks nothing.
    """

    code: str
    evaluated: StoredExample
    trained: StoredExample
    score: float = 1.0
    run_tokens: int = 0
    is_only_reported: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the leak as a line of `leak_report.jsonl`."""
        return {
            "code": self.code,
            "gold_row_id": self.evaluated.row_id,
            "train_row_id": self.trained.row_id,
            "positions": [_place(self.evaluated), _place(self.trained)],
            "score": round(self.score, 6),
            "run_tokens": self.run_tokens,
            "is_only_reported": self.is_only_reported,
        }


@dataclass(slots=True)
class LeakReport:
    """The leaks of a dataset, and the shared runs that were left out as template text."""

    leaks: list[Leak] = field(default_factory=list)
    boilerplate: list[str] = field(default_factory=list)
    blocking: list[Leak] = field(default_factory=list)
    """Those between training rows and evaluation rows that somebody provided."""

    def counts(self) -> dict[str, int]:
        """Return the number of reported pairs by code."""
        found = Counter(leak.code for leak in self.leaks)
        return {code: found[code] for code in CODES}

    def lines(self) -> list[bytes]:
        """Return the lines of `leak_report.jsonl`: pairs, then left-out runs."""
        pairs = sorted(
            self.leaks,
            key=lambda leak: (CODES.index(leak.code), leak.evaluated.row_id, leak.trained.row_id),
        )
        runs = ({"code": "boilerplate", "run": run} for run in self.boilerplate)
        return [
            orjson.dumps(item, option=orjson.OPT_APPEND_NEWLINE)
            for item in (*(leak.to_json() for leak in pairs), *runs)
        ]


Side = Callable[[StoredExample], int]
"""Tells evaluation rows apart; each training row is compared with every side."""


def find_leaks(
    evaluated: Sequence[StoredExample],
    trained: Sequence[StoredExample],
    settings: LeakCheckSpec,
    contents: ContentStore,
    *,
    has_declared_groups: bool,
    side: Side = lambda _: 0,
    workers: int = 1,
    tell: RowProgress = untold,
) -> LeakReport:
    """Return every training row that resembles an evaluation row, with one row of each side that it
    resembles.
    """
    report = LeakReport()
    if not evaluated or not trained:
        return report
    evaluated = sorted(evaluated, key=lambda item: (side(item), item.row_digest))
    layers: list[Iterator[Leak]] = []
    if settings.exact:
        layers.append(_exact(evaluated, trained, contents))
    if settings.group and has_declared_groups:
        layers.append(_groups(evaluated, trained, side))
    layers.append(_derived(evaluated, trained, side))
    if settings.ngram or settings.near is not None:
        layers += _text_layers(evaluated, trained, settings, contents, report, side, workers, tell)
    seen: set[tuple[int, int]] = set()
    for layer in layers:
        nearest: dict[tuple[int, int, bool], Leak] = {}
        for leak in layer:
            if (id(leak.evaluated), id(leak.trained)) not in seen:
                key = id(leak.trained), side(leak.evaluated), leak.is_only_reported
                if key not in nearest or _nearness(leak) > _nearness(nearest[key]):
                    nearest[key] = leak
        seen.update((id(leak.evaluated), id(leak.trained)) for leak in nearest.values())
        report.leaks += nearest.values()
    return report


def _nearness(leak: Leak) -> tuple[float, int]:
    return leak.score, leak.run_tokens


def compared_texts(examples: Sequence[StoredExample], contents: ContentStore) -> Texts:
    """Return what is compared of the examples of a dataset."""
    return Texts(_constant_inputs(examples, contents))


def is_long_enough(text: str) -> bool:
    """Return whether a similar text of so many words is a leak; a shorter one is only reported."""
    return len(word_tokens(text)) >= NEAR_MIN_TOKENS


def _text_layers(
    evaluated: Sequence[StoredExample],
    trained: Sequence[StoredExample],
    settings: LeakCheckSpec,
    contents: ContentStore,
    report: LeakReport,
    side: Side,
    workers: int,
    tell: RowProgress,
) -> list[Iterator[Leak]]:
    """Return the layers that compare texts, after one pass over the training rows."""
    texts = compared_texts([*evaluated, *trained], contents)
    runs = _Runs(evaluated, texts, settings.ngram, contents) if settings.ngram else None
    shorts = _ShortItems(evaluated, texts, contents, side) if settings.ngram else None
    near = _NearItems(evaluated if settings.near is not None else (), texts, contents, side)
    scan = LeakScan(
        texts,
        None if runs is None else runs.filter(),
        None if shorts is None else shorts.filter(),
        near.texts,
        near.ranges,
        settings.near,
    )
    sharing: list[StoredExample] = []
    holding: list[StoredExample] = []
    similar: list[tuple[StoredExample, list[tuple[int, float]]]] = []
    found = _scanned(scan, trained, contents, workers)
    for done, (example, scanned) in enumerate(zip(trained, found, strict=True)):
        if done % _BATCH_ROWS == 0:
            tell("comparing rows", done, len(trained))
        if scanned.may_share_run:
            sharing.append(example)
        if scanned.may_hold_short:
            holding.append(example)
        if scanned.similar:
            similar.append((example, scanned.similar))
    layers: list[Iterator[Leak]] = []
    if runs is not None and shorts is not None:
        report.boilerplate = runs.boilerplate
        layers += [runs.leaks(sharing), shorts.leaks(holding)]
    return [*layers, near.leaks(similar)]


def _scanned(
    scan: LeakScan, trained: Sequence[StoredExample], contents: ContentStore, workers: int
) -> Iterator[Scanned]:
    batches = (
        [contents.read(example.at) for example in trained[start : start + _BATCH_ROWS]]
        for start in range(0, len(trained), _BATCH_ROWS)
    )
    return chain.from_iterable(each(scan, batches, workers))


def _constant_inputs(examples: Sequence[StoredExample], contents: ContentStore) -> frozenset[str]:
    """Return the names of inputs that have few values in many rows."""
    values: dict[str, set[str]] = defaultdict(set)
    present: Counter[str] = Counter()
    limit = max(_FEW_VALUES, _FEW_SHARE * len(examples))
    many: set[str] = set()
    for example in examples:
        present.update(example.input_names)
        if many.issuperset(example.input_names):
            continue
        for name, value in contents.content(example).inputs.items():
            if name not in many:
                values[name].add(matching_key(value))
                if len(values[name]) > limit:
                    many.add(name)
    return frozenset(
        name for name, own in values.items() if name not in many and len(own) < present[name]
    )


def _exact(
    evaluated: Sequence[StoredExample], trained: Sequence[StoredExample], contents: ContentStore
) -> Iterator[Leak]:
    """Yield equal rows, rows equal in matching form, and equal inputs with another reference."""
    by_row_id: dict[bytes, list[StoredExample]] = defaultdict(list)
    by_input: dict[bytes, list[StoredExample]] = defaultdict(list)
    for example in evaluated:
        by_row_id[example.row_digest].append(example)
        by_input[example.input_digest].append(example)
    for example in trained:
        for other in by_row_id.get(example.row_digest, ()):
            yield Leak("leak_exact", other, example)
    for example in trained:
        for other in by_input.get(example.input_digest, ()):
            is_same = _reference_key(other, contents) == _reference_key(example, contents)
            yield Leak("leak_normalized" if is_same else "leak_input", other, example)


def _reference_key(example: StoredExample, contents: ContentStore) -> str:
    return matching_key(contents.content(example).reference)


def _groups(
    evaluated: Sequence[StoredExample], trained: Sequence[StoredExample], side: Side
) -> Iterator[Leak]:
    """Yield pairs of one declared group, with one evaluation row of each side."""
    by_group: dict[str, dict[int, StoredExample]] = defaultdict(dict)
    for example in evaluated:
        by_group[example.group_key].setdefault(side(example), example)
    for example in trained:
        for other in by_group.get(example.group_key, {}).values():
            yield Leak("leak_group", other, example)


def _derived(
    evaluated: Sequence[StoredExample], trained: Sequence[StoredExample], side: Side
) -> Iterator[Leak]:
    """Yield training rows and the rows that they name, with one evaluation row of each side."""
    names: dict[str | None, dict[int, StoredExample]] = defaultdict(dict)
    for example in evaluated:
        for name in (example.row_id, example.row_key):
            if name is not None:
                names[name][side(example)] = example
    for example in trained:
        for other in names.get(example.derived_from, {}).values():
            yield Leak("leak_derived", other, example)


class _Runs:
    """Runs of words of the evaluation rows, without the frequent ones, which are template text.

    The index knows them by digests; the words are read back where one is met.
    """

    def __init__(
        self, evaluated: Sequence[StoredExample], texts: Texts, size: int, contents: ContentStore
    ) -> None:
        self._evaluated = evaluated
        self._texts = texts
        self._size = size
        self._contents = contents
        self._index = DigestIndex(len(evaluated))
        self._total_tokens: list[int] = []
        for index, example in enumerate(evaluated):
            own = self._words(example)
            self._total_tokens.append(sum(map(len, own)))
            for tokens in own:
                self._index.add(map(hash, _grams(tokens, size)), index)
        self._index.seal()
        self._frequent = frozenset(self._frequent_runs())
        self.boilerplate = sorted(map(" ".join, self._frequent))

    def filter(self) -> RunFilter:
        """Return what tells most texts without a run from those that may have one."""
        runs = (
            run
            for example in self._evaluated
            for run in self._runs(example)
            if run not in self._frequent
        )
        return RunFilter.of(runs, len(self._index), self._size)

    def leaks(self, trained: Iterable[StoredExample]) -> Iterator[Leak]:
        """Yield pairs that share a run."""
        for example in trained:
            for index, (longest, covered) in self._shared(example).items():
                share = min(covered / self._total_tokens[index], 1.0)
                yield Leak("leak_ngram", self._evaluated[index], example, share, longest)

    def _words(self, example: StoredExample) -> list[list[str]]:
        content = self._contents.content(example)
        return [word_tokens(text) for text in self._texts.of_example(content)]

    def _runs(self, example: StoredExample) -> Iterator[tuple[str, ...]]:
        return chain.from_iterable(_grams(tokens, self._size) for tokens in self._words(example))

    def _frequent_runs(self) -> Iterator[tuple[str, ...]]:
        """Yield the runs of too many rows, counted word by word."""
        limit = max(_BOILERPLATE_ROWS, _BOILERPLATE_SHARE * len(self._evaluated))
        digests: set[int] = set()
        rows: set[int] = set()
        for digest, own in self._index.frequent(limit):
            digests.add(digest)
            rows |= own
        counts: Counter[tuple[str, ...]] = Counter()
        for index in rows:
            runs = set(self._runs(self._evaluated[index]))
            counts.update(run for run in runs if self._index.cut(hash(run)) in digests)
        return (run for run, count in counts.items() if count > limit)

    def _shared(self, example: StoredExample) -> dict[int, tuple[int, int]]:
        """Return for each evaluation row the longest shared run and all words in shared runs."""
        found: dict[int, tuple[int, int]] = {}
        size = self._size
        known: dict[int, frozenset[tuple[str, ...]]] = {}
        for tokens in self._words(example):
            last: dict[int, tuple[int, int]] = {}
            for at, gram in enumerate(_grams(tokens, size)):
                if gram in self._frequent:
                    continue
                for index, _ in groupby(self._index.rows_of((hash(gram),))):
                    if index not in known:
                        known[index] = frozenset(self._runs(self._evaluated[index]))
                    if gram not in known[index]:
                        continue
                    previous, run = last.get(index, (-2, 0))
                    run = run + 1 if previous == at - 1 else size
                    last[index] = at, run
                    longest, covered = found.get(index, (0, 0))
                    found[index] = max(longest, run), covered + (1 if run > size else size)
        return found


class _ShortItems:
    """Evaluation inputs of few words."""

    def __init__(
        self, evaluated: Sequence[StoredExample], texts: Texts, contents: ContentStore, side: Side
    ) -> None:
        self._texts = texts
        self._contents = contents
        self._by_words: dict[tuple[str, ...], dict[int, StoredExample]] = defaultdict(dict)
        for example in evaluated:
            tokens = word_tokens(" ".join(texts.of_inputs(contents.content(example))))
            if SHORT_MIN_TOKENS <= len(tokens) <= SHORT_MAX_TOKENS:
                self._by_words[tuple(tokens)].setdefault(side(example), example)
        self._lengths = sorted({len(words) for words in self._by_words})

    def filter(self) -> RunFilter | None:
        """Return what tells most texts without such an input from others; None if there is none."""
        if not self._by_words:
            return None
        starts = {words[:SHORT_MIN_TOKENS] for words in self._by_words}
        return RunFilter.of_starts(starts, SHORT_MIN_TOKENS)

    def leaks(self, trained: Iterable[StoredExample]) -> Iterator[Leak]:
        """Yield pairs of an input and a training text that contains it as a whole."""
        for example in trained:
            content = self._contents.content(example)
            joined = " ".join(self._texts.of_inputs(content))
            for text in (joined, *self._texts.of_example(content)):
                tokens = word_tokens(text)
                for length in self._lengths:
                    for words in _grams(tokens, length):
                        for other in self._by_words.get(words, {}).values():
                            yield Leak("leak_short_item", other, example, 1.0, length)


class _NearItems:
    """Evaluation rows that have inputs; those of one side together, the short ones at the end."""

    def __init__(
        self,
        evaluated: Sequence[StoredExample],
        texts: Texts,
        contents: ContentStore,
        side: Side,
    ) -> None:
        items = [
            ((not is_long_enough(text), side(example)), example, text)
            for example in evaluated
            if (text := "\n".join(texts.of_inputs(contents.content(example))))
        ]
        items.sort(key=lambda item: item[0])
        self._items = items
        self.texts = tuple(text for _, _, text in items)
        ends = [end for end in range(1, len(items) + 1) if self._is_last(end)]
        self.ranges = tuple(zip([0, *ends], ends, strict=False))

    def _is_last(self, end: int) -> bool:
        return end == len(self._items) or self._items[end - 1][0] != self._items[end][0]

    def leaks(
        self, similar: Iterable[tuple[StoredExample, list[tuple[int, float]]]]
    ) -> Iterator[Leak]:
        """Yield pairs whose inputs are similar; inputs under eight words are only reported."""
        for example, found in similar:
            for index, jaccard in found:
                (is_short, _), other, _ = self._items[index]
                yield Leak(
                    "leak_near_duplicate", other, example, jaccard, is_only_reported=is_short
                )


def _grams(tokens: list[str], size: int) -> Iterator[tuple[str, ...]]:
    return zip(*(tokens[start:] for start in range(size)), strict=False)


def _place(example: StoredExample) -> dict[str, Any]:
    return {"source": example.source, "file": example.file, "line": example.line}
