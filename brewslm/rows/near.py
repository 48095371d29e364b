"""Pairs of similar texts, exactly: Jaccard similarity of character 5-gram sets.

Candidates come from prefix filtering: with shingles in one global order, two sets whose Jaccard
reaches t share a shingle among the first |x| - ceil(t |x|) + 1 of each, so no pair is missed; every
candidate is verified on the whole sets, so none is wrong. Rare shingles come first in the order,
which keeps candidates few. Source: Bayardo, Ma, Srikant, Scaling Up All Pairs Similarity Search
(2007); Chaudhuri, Ganti, Kaushik, A Primitive Operator for Similarity Joins (2006).
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from brewslm.rows.matching import matching_text, shingles, texts_of
from brewslm.rows.record import Example
from brewslm.rows.rejects import HoldCode

_ROUNDING = 1e-9


class SimilarTexts:
    """An index of texts that answers which of them are similar to a further one."""

    def __init__(self, texts: Sequence[str], threshold: float) -> None:
        """texts: matching forms; threshold: Jaccard similarity in (0, 1] from which on a pair
        counts.
        """
        self._threshold = threshold
        self._sets = [shingles(text) for text in texts]
        self._frequency = Counter(shingle for own in self._sets for shingle in own)
        self._postings: dict[str, list[int]] = defaultdict(list)
        for index, own in enumerate(self._sets):
            ordered = sorted(own, key=self._rank)
            for shingle in ordered[: self._prefix(len(own))]:
                self._postings[shingle].append(index)

    def similar_to(self, text: str) -> list[tuple[int, float]]:
        """Return (index, Jaccard) of every indexed text at or above the threshold."""
        own = shingles(text)
        known = own & self._frequency.keys()
        if len(known) < self._threshold * len(own) - _ROUNDING:
            return []
        prefix = self._prefix(len(own)) - (len(own) - len(known))
        ordered = sorted(known, key=self._rank)[:prefix]
        candidates = {index for shingle in ordered for index in self._postings.get(shingle, ())}
        found = []
        for index in sorted(candidates):
            other = self._sets[index]
            smaller, larger = sorted((len(own), len(other)))
            if smaller < self._threshold * larger - _ROUNDING:
                continue
            shared = len(own & other)
            jaccard = shared / (len(own) + len(other) - shared)
            if jaccard >= self._threshold - _ROUNDING:
                found.append((index, jaccard))
        return found

    def _prefix(self, size: int) -> int:
        return size - math.ceil(self._threshold * size - _ROUNDING) + 1

    def _rank(self, shingle: str) -> tuple[int, str]:
        return self._frequency[shingle], shingle


def hold_near_duplicates(examples: Iterable[Example], threshold: float) -> None:
    """Hold all but the smallest row_id of each group of examples that similarity connects."""
    ordered = sorted(
        (example for example in examples if example.hold is None), key=lambda item: item.row_id
    )
    texts = [example_text(example) for example in ordered]
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


def example_text(example: Example) -> str:
    """Return inputs and reference in matching form, one text a line."""
    texts = texts_of(example.inputs) + texts_of(example.reference)
    return "\n".join(map(matching_text, texts))
