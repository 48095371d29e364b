"""Pairs of similar texts, exactly: Jaccard similarity of character 5-gram sets.

Candidates come from prefix filtering. With shingles in one global order and a = ceil(t |x|), two
sets whose Jaccard reaches t share at least min(l, a) shingles among the first |x| - a + l of each,
so no pair is missed; every candidate is verified on the whole sets, so none is wrong. Rare shingles
come first in the order, which keeps candidates few. Source: Bayardo, Ma, Srikant, Scaling Up All
Pairs Similarity Search (2007); Wang, Li, Feng, Can We Beat the Prefix Filtering? (2012).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain

from brewslm.rows.matching import matching_text, shingles, texts_of
from brewslm.rows.rejects import HoldCode
from brewslm.rows.stored import Content, ContentStore, StoredExample

_ROUNDING = 1e-9
_SHARED_SHINGLES = 32


class SimilarTexts:
    """An index of texts that answers which of them are similar to a further one."""

    def __init__(self, texts: Sequence[str], threshold: float) -> None:
        """texts: matching forms; threshold: Jaccard similarity in (0, 1] from which on a pair
        counts.
        """
        self._threshold = threshold
        self._sets = [shingles(text) for text in texts]
        self._enough = [min(_SHARED_SHINGLES, self._needed(len(own))) for own in self._sets]
        frequency = Counter(chain.from_iterable(self._sets))
        ordered = sorted(frequency, key=lambda shingle: (frequency[shingle], shingle))
        self._rank = {shingle: rank for rank, shingle in enumerate(ordered)}
        self._postings: dict[str, list[int]] = defaultdict(list)
        for index, own in enumerate(self._sets):
            for shingle in sorted(own, key=self._rank.__getitem__)[: self._prefix(len(own))]:
                self._postings[shingle].append(index)

    def similar_to(self, text: str) -> list[tuple[int, float]]:
        """Return (index, Jaccard) of every indexed text at or above the threshold."""
        own = shingles(text)
        known = own & self._rank.keys()
        needed = self._needed(len(own))
        if len(known) < needed:
            return []
        prefix = self._prefix(len(own)) - (len(own) - len(known))
        first = sorted(known, key=self._rank.__getitem__)[:prefix]
        postings = (self._postings[shingle] for shingle in first if shingle in self._postings)
        shared = Counter(chain.from_iterable(postings))
        enough = min(_SHARED_SHINGLES, needed)
        found = []
        for index, count in shared.items():
            if count >= enough or count >= self._enough[index]:
                jaccard = _jaccard(own, self._sets[index])
                if jaccard >= self._threshold - _ROUNDING:
                    found.append((index, jaccard))
        found.sort()
        return found

    def _needed(self, size: int) -> int:
        """Return how many of its shingles a set shares with any similar set, at least."""
        return math.ceil(self._threshold * size - _ROUNDING)

    def _prefix(self, size: int) -> int:
        return size - self._needed(size) + _SHARED_SHINGLES


def _jaccard(first: set[str], second: set[str]) -> float:
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


def hold_near_duplicates(
    examples: Iterable[StoredExample], contents: ContentStore, threshold: float
) -> None:
    """Hold all but the smallest row_id of each group of examples that similarity connects."""
    ordered = sorted(
        (example for example in examples if example.hold is None), key=lambda item: item.row_digest
    )
    texts = [example_text(contents.content(example)) for example in ordered]
    roots = list(range(len(ordered)))

    def root(index: int) -> int:
        while roots[index] != index:
            roots[index] = roots[roots[index]]
            index = roots[index]
        return index

    similar = SimilarTexts(texts, threshold)
    for index, text in enumerate(texts):
        for other, _ in similar.similar_to(text):
            first, second = sorted((root(index), root(other)))
            roots[second] = first
    for index, example in enumerate(ordered):
        if root(index) != index:
            example.hold = HoldCode.NEAR_DUPLICATE


def example_text(content: Content) -> str:
    """Return inputs and reference in matching form, one text a line."""
    texts = texts_of(content.inputs) + texts_of(content.reference)
    return "\n".join(map(matching_text, texts))
