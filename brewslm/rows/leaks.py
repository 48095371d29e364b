"""Whether training rows resemble evaluation rows, layer by layer, strongest first.

Compared are inputs and reference, never prompt templates or system turns. An input field with few
distinct values, such as a constant instruction, counts in the exact layers only. A pair is reported
by the first layer that sees it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from brewslm.rows.matching import matching_key, matching_text, texts_of, word_tokens
from brewslm.rows.near import SimilarTexts
from brewslm.rows.record import Example
from brewslm.rows.request import LeakRequest

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
_SHORT_MIN_TOKENS, _SHORT_MAX_TOKENS = 5, 12
_NEAR_MIN_TOKENS = 8
_FEW_VALUES, _FEW_SHARE = 5, 0.01
_MOST_GROUP_PAIRS = 10_000
_BOILERPLATE_ROWS, _BOILERPLATE_SHARE = 3, 0.01


@dataclass(frozen=True, slots=True)
class Leak:
    """A training row that resembles an evaluation row.

    `score` is 1 for equality, the covered share of the evaluation row for shared runs, and the
    Jaccard similarity for near duplicates. One that is only reported blocks nothing.
    """

    code: str
    evaluated: Example
    trained: Example
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
    """All leaks of a dataset, and the shared runs that were left out as template text."""

    leaks: list[Leak] = field(default_factory=list)
    boilerplate: list[str] = field(default_factory=list)
    blocking: list[Leak] = field(default_factory=list)
    """Those between training rows and evaluation rows that somebody provided."""

    def counts(self) -> dict[str, int]:
        """Return the number of pairs by code."""
        found = Counter(leak.code for leak in self.leaks)
        return {code: found[code] for code in CODES}

    def lines(self) -> list[bytes]:
        """Return the lines of `leak_report.jsonl`: pairs, then left-out runs."""
        pairs = sorted(
            self.leaks,
            key=lambda leak: (CODES.index(leak.code), leak.evaluated.row_id, leak.trained.row_id),
        )
        runs = ({"code": "boilerplate", "run": run} for run in self.boilerplate)
        return [orjson.dumps(item) for item in (*(leak.to_json() for leak in pairs), *runs)]


def find_leaks(
    evaluated: Sequence[Example],
    trained: Sequence[Example],
    settings: LeakRequest,
    *,
    has_declared_groups: bool,
) -> LeakReport:
    """Return every training row that resembles an evaluation row."""
    report = LeakReport()
    if not evaluated or not trained:
        return report
    layers: list[Iterator[Leak]] = []
    if settings.exact:
        layers += [_exact(evaluated, trained)]
    if settings.group and has_declared_groups:
        layers.append(_groups(evaluated, trained))
    layers.append(_derived(evaluated, trained))
    if settings.ngram or settings.near is not None:
        texts = _Texts([*evaluated, *trained])
        if settings.ngram:
            layers.append(_shared_runs(evaluated, trained, texts, settings.ngram, report))
            layers.append(_short_items(evaluated, trained, texts))
        if settings.near is not None:
            layers.append(_near(evaluated, trained, texts, settings.near))
    seen: set[tuple[int, int]] = set()
    for layer in layers:
        for leak in layer:
            pair = id(leak.evaluated), id(leak.trained)
            if pair not in seen:
                seen.add(pair)
                report.leaks.append(leak)
    return report


class _Texts:
    """Texts of examples without fields that hardly vary, and their words."""

    def __init__(self, examples: Sequence[Example]) -> None:
        values: dict[str, set[str]] = defaultdict(set)
        present: Counter[str] = Counter()
        limit = max(_FEW_VALUES, _FEW_SHARE * len(examples))
        for example in examples:
            for name, value in example.inputs.items():
                present[name] += 1
                if len(values[name]) <= limit:
                    values[name].add(matching_key(value))
        self._constant = {
            name for name, own in values.items() if len(own) <= limit and len(own) < present[name]
        }

    def of_inputs(self, example: Example) -> list[str]:
        """Return the matching forms of the inputs that vary; system turns are left out.

        Text to learn as it is has no inputs; it stands for them.
        """
        texts = (
            [] if example.inputs else [matching_text(text) for text in texts_of(example.reference)]
        )
        for name, value in example.inputs.items():
            if name == "messages":
                value = [turn["content"] for turn in value if turn["role"] != "system"]
            if name != "subtask" and name not in self._constant:
                texts += [matching_text(text) for text in texts_of(value)]
        return texts

    def of_example(self, example: Example) -> list[str]:
        """Return the matching forms of inputs and reference."""
        references = texts_of(example.reference) if example.inputs else []
        return self.of_inputs(example) + [matching_text(text) for text in references]


def _exact(evaluated: Sequence[Example], trained: Sequence[Example]) -> Iterator[Leak]:
    """Yield equal rows, rows equal in matching form, and equal inputs with another reference."""
    by_row_id: dict[str, list[Example]] = defaultdict(list)
    by_input: dict[str, list[Example]] = defaultdict(list)
    for example in evaluated:
        by_row_id[example.row_id].append(example)
        by_input[example.input_key].append(example)
    for example in trained:
        for other in by_row_id.get(example.row_id, ()):
            yield Leak("leak_exact", other, example)
    for example in trained:
        for other in by_input.get(example.input_key, ()):
            is_same = matching_key(other.reference) == matching_key(example.reference)
            yield Leak("leak_normalized" if is_same else "leak_input", other, example)


def _groups(evaluated: Sequence[Example], trained: Sequence[Example]) -> Iterator[Leak]:
    """Yield pairs of one declared group, of each group as many as a person could look at."""
    by_group: dict[str, list[Example]] = defaultdict(list)
    for example in evaluated:
        by_group[example.group_key].append(example)
    pairs: Counter[str] = Counter()
    for example in trained:
        for other in by_group.get(example.group_key, ()):
            if pairs[example.group_key] < _MOST_GROUP_PAIRS:
                pairs[example.group_key] += 1
                yield Leak("leak_group", other, example)


def _derived(evaluated: Sequence[Example], trained: Sequence[Example]) -> Iterator[Leak]:
    names: dict[str, Example] = {}
    for example in evaluated:
        names[example.row_id] = example
        if example.row_key is not None:
            names[example.row_key] = example
    for example in trained:
        if example.derived_from in names:
            yield Leak("leak_derived", names[example.derived_from], example)


def _shared_runs(
    evaluated: Sequence[Example],
    trained: Sequence[Example],
    texts: _Texts,
    size: int,
    report: LeakReport,
) -> Iterator[Leak]:
    """Yield pairs that share a run of `size` words; frequent runs are template text."""
    rows_by_gram: dict[tuple[str, ...], set[int]] = defaultdict(set)
    total_tokens: list[int] = []
    for index, example in enumerate(evaluated):
        own = [word_tokens(text) for text in texts.of_example(example)]
        total_tokens.append(sum(map(len, own)))
        for tokens in own:
            for gram in _grams(tokens, size):
                rows_by_gram[gram].add(index)
    limit = max(_BOILERPLATE_ROWS, _BOILERPLATE_SHARE * len(evaluated))
    frequent = [gram for gram, rows in rows_by_gram.items() if len(rows) > limit]
    for gram in frequent:
        del rows_by_gram[gram]
    report.boilerplate = sorted(" ".join(gram) for gram in frequent)
    if not rows_by_gram:
        return
    for example in trained:
        for index, (longest, covered) in _runs(example, texts, size, rows_by_gram).items():
            share = min(covered / total_tokens[index], 1.0)
            yield Leak("leak_ngram", evaluated[index], example, share, longest)


def _runs(
    example: Example,
    texts: _Texts,
    size: int,
    rows_by_gram: dict[tuple[str, ...], set[int]],
) -> dict[int, tuple[int, int]]:
    """Return for each evaluation row the longest shared run and all words in shared runs."""
    found: dict[int, tuple[int, int]] = {}
    for text in texts.of_example(example):
        last: dict[int, tuple[int, int]] = {}
        for at, gram in enumerate(_grams(word_tokens(text), size)):
            for index in rows_by_gram.get(gram, ()):
                previous, run = last.get(index, (-2, 0))
                run = run + 1 if previous == at - 1 else size
                last[index] = at, run
                longest, covered = found.get(index, (0, 0))
                found[index] = max(longest, run), covered + (1 if run > size else size)
    return found


def _short_items(
    evaluated: Sequence[Example], trained: Sequence[Example], texts: _Texts
) -> Iterator[Leak]:
    """Yield evaluation inputs of few words that stand as a whole in a training text."""
    by_start: dict[tuple[str, ...], list[tuple[list[str], Example]]] = defaultdict(list)
    for example in evaluated:
        tokens = word_tokens(" ".join(texts.of_inputs(example)))
        if _SHORT_MIN_TOKENS <= len(tokens) <= _SHORT_MAX_TOKENS:
            by_start[tuple(tokens[:_SHORT_MIN_TOKENS])].append((tokens, example))
    if not by_start:
        return
    for example in trained:
        joined = " ".join(texts.of_inputs(example))
        for text in (joined, *texts.of_example(example)):
            tokens = word_tokens(text)
            for at, gram in enumerate(_grams(tokens, _SHORT_MIN_TOKENS)):
                for item, other in by_start.get(gram, ()):
                    if tokens[at : at + len(item)] == item:
                        yield Leak("leak_short_item", other, example, 1.0, len(item))


def _near(
    evaluated: Sequence[Example], trained: Sequence[Example], texts: _Texts, threshold: float
) -> Iterator[Leak]:
    """Yield pairs whose inputs are similar; inputs under eight words are only reported."""
    items = [
        (example, text) for example in evaluated if (text := "\n".join(texts.of_inputs(example)))
    ]
    similar = SimilarTexts([text for _, text in items], threshold)
    for example in trained:
        if not (text := "\n".join(texts.of_inputs(example))):
            continue
        for index, jaccard in similar.similar_to(text):
            other, other_text = items[index]
            is_short = len(word_tokens(other_text)) < _NEAR_MIN_TOKENS
            yield Leak("leak_near_duplicate", other, example, jaccard, is_only_reported=is_short)


def _grams(tokens: list[str], size: int) -> Iterator[tuple[str, ...]]:
    return zip(*(tokens[start:] for start in range(size)), strict=False)


def _place(example: Example) -> dict[str, Any]:
    position = example.position
    return {"source": position.source, "file": position.file, "line": position.line}
