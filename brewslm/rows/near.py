"""Pairs of similar texts, exactly: Jaccard similarity of character 5-gram sets.

The shingles of a text are dealt into as many parts as its size class has. Two sets that differ in d
shingles differ in at most d parts, and a Jaccard of t bounds d. So among their parts, put into one
global order, the first d + l of each have at least l in common: no pair is missed, and every
candidate is verified on the whole sets, so none is wrong. A part of several shingles is far rarer
than a shingle, and parts of rare shingles come first, which keeps candidates few. Source: Arasu,
Ganti, Kaushik, Efficient Exact Set-Similarity Joins (2006); Wang, Li, Feng, Can We Beat the Prefix
Filtering? (2012).
"""

import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from brewslm.rows.digest_index import DigestIndex
from brewslm.rows.matching import matching_text, shingles, texts_of
from brewslm.rows.rejects import HoldCode
from brewslm.rows.stored import Content, ContentStore, StoredExample

_ROUNDING = 1e-9
_MOST_SHARED = 8
_SPARE_PARTS = 8
_SAMPLED_TEXTS = 2048
_LEAST_WEIGHT_BITS, _WEIGHT_BITS = 6, 16
_PART_NUMBER_BITS = 20
_WEIGHT_SHIFT = 44
_SKETCH_MASK = (1 << 9) - 1
_KEPT_SETS = 1024
_VALUE_MASK = (1 << _WEIGHT_SHIFT) - (1 << _PART_NUMBER_BITS)


class _SizeClass:
    """Sets of similar size, which are dealt into equally many parts."""

    def __init__(self, number: int, most: int, threshold: float) -> None:
        """most: shingles of the largest set of the class."""
        self.number = number
        self.most = most
        differing = math.floor((1 - threshold) / threshold * most + _ROUNDING)
        self.parts = differing + differing // 2 + _SPARE_PARTS
        self.shared = max(1, min(_MOST_SHARED, differing // 8))
        """Parts that similar sets have in common among the first ones, at least."""


class SimilarTexts:
    """An index of texts that answers which of them are similar to a further one."""

    def __init__(self, texts: Sequence[str], threshold: float) -> None:
        """texts: matching forms; threshold: Jaccard similarity in (0, 1] from which on a pair
        counts.
        """
        self._texts = texts
        self._threshold = threshold
        self._weights = _weights(texts)
        self._bounds: list[int] = []
        self._classes: dict[int, _SizeClass] = {}
        self._index = DigestIndex(len(texts))
        self._sizes = array("L")
        self._sketches: list[int] = []
        self._shared = bytearray()
        for number, text in enumerate(texts):
            values = self._values(shingles(text))
            size_class = self._class_of(len(values))
            most = len(values) / threshold
            self._index.add(self._first_parts(values, size_class, most), number)
            self._sizes.append(len(values))
            self._sketches.append(_sketch(values))
            self._shared.append(size_class.shared)
        self._index.seal()
        self._shingles = lru_cache(_KEPT_SETS)(self._shingles_of)

    def similar_to(self, text: str) -> list[tuple[int, float]]:
        """Return (index, Jaccard) of every indexed text at or above the threshold."""
        return list(self._similar(text, 0, len(self._texts)))

    def first_similar(self, text: str, start: int, stop: int) -> tuple[int, float] | None:
        """Return the first of the texts from `start` to `stop` that is similar; the work is that of
        looking at the texts up to it.
        """
        return next(self._similar(text, start, stop), None)

    def left_similar(self, text: str, gone: bytearray) -> list[int]:
        """Return the similar texts that are not marked in `gone`, and forget the marked ones."""
        own = shingles(text)
        values = self._values(own)
        counts = self._index.counts_without(self._digests(values), gone)
        return [index for index, _ in self._verified(own, values, counts)]

    def _similar(self, text: str, start: int, stop: int) -> Iterator[tuple[int, float]]:
        """Yield (index, Jaccard) of the similar texts from `start` to `stop`, ascending."""
        own = shingles(text)
        values = self._values(own)
        for counts in self._index.counts(self._digests(values), start, stop):
            yield from self._verified(own, values, counts)

    def _digests(self, values: list[tuple[int, int]]) -> list[int]:
        """Return digests of the first parts of a set, for every class of sets it may be similar
        to.
        """
        least = math.ceil(self._threshold * len(values) - _ROUNDING)
        most = math.floor(len(values) / self._threshold + _ROUNDING)
        return [
            digest
            for number in range(self._number_of(least), self._number_of(most) + 1)
            if (size_class := self._classes.get(number)) is not None
            for digest in self._first_parts(values, size_class, min(most, size_class.most))
        ]

    def _verified(
        self, own: set[str], values: list[tuple[int, int]], counts: Mapping[int, int]
    ) -> Iterator[tuple[int, float]]:
        """Yield (index, Jaccard) of the candidates that are similar, ascending."""
        shared, sizes, sketches = self._shared, self._sizes, self._sketches
        sketch, size = _sketch(values), len(own)
        differing_ratio = (1 - self._threshold) / (1 + self._threshold)
        for index in sorted(index for index, count in counts.items() if count >= shared[index]):
            most_differing = differing_ratio * (size + sizes[index]) + _ROUNDING
            if (sketch ^ sketches[index]).bit_count() > most_differing:
                continue
            jaccard = _jaccard(own, self._shingles(index))
            if jaccard >= self._threshold - _ROUNDING:
                yield index, jaccard

    def _shingles_of(self, index: int) -> set[str]:
        return shingles(self._texts[index])

    def _number_of(self, size: int) -> int:
        """Return the number of the class of sets of a size; each reaches a fifth further."""
        bounds = self._bounds
        while not bounds or bounds[-1] < size:
            bounds.append(max(bounds[-1] + 1, bounds[-1] * 6 // 5) if bounds else 1)
        return bisect_left(bounds, size)

    def _class_of(self, size: int) -> _SizeClass:
        number = self._number_of(size)
        if number not in self._classes:
            made = _SizeClass(number, self._bounds[number], self._threshold)
            self._classes[number] = made
        return self._classes[number]

    def _values(self, own: set[str]) -> list[tuple[int, int]]:
        """Return of each shingle what chooses its part, and what it adds to the part's value."""
        weights = self._weights
        mask = len(weights) - 1
        digests = map(hash, own)
        return [(item, weights[item & mask] + (item >> 20 & _VALUE_MASK)) for item in digests]

    def _first_parts(
        self, values: list[tuple[int, int]], size_class: _SizeClass, most: float
    ) -> Iterator[int]:
        """Yield digests of the first parts of a set, as many as any similar set of up to `most`
        shingles asks for.
        """
        count = size_class.parts
        parts = list(range(count))
        for digest, value in values:
            parts[digest % count] += value
        parts.sort(reverse=True)
        differing = (1 - self._threshold) / (1 + self._threshold) * (len(values) + most)
        first = math.floor(differing + _ROUNDING) + size_class.shared
        number = size_class.number
        return (hash((number, part)) for part in parts[:first])


def _weights(texts: Sequence[str]) -> list[int]:
    """Return how rare shingles are by the last bits of their hash, judged by some texts; it lies
    where it decides about the order of parts.
    """
    mask = (1 << min(_LEAST_WEIGHT_BITS + len(texts).bit_length(), _WEIGHT_BITS)) - 1
    counts = [1] * (mask + 1)
    for text in texts[:: 1 + len(texts) // _SAMPLED_TEXTS]:
        for shingle in shingles(text):
            counts[hash(shingle) & mask] += 1
    rarest = math.log2(max(counts)) + 1
    return [round(8 * (rarest - math.log2(count))) << _WEIGHT_SHIFT for count in counts]


def _sketch(values: list[tuple[int, int]]) -> int:
    """Return a number that differs in at most as many bits from that of another set as the sets
    differ in shingles.
    """
    bits = 0
    for digest, _ in values:
        bits ^= 1 << (digest & _SKETCH_MASK)
    return bits


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
    for index, first in enumerate(components(texts, threshold)):
        if first != index:
            ordered[index].hold = HoldCode.NEAR_DUPLICATE


def components(texts: Sequence[str], threshold: float) -> list[int]:
    """Return for each text the first one that it is connected to by similar texts.

    A text that was reached is looked for no more, so texts that are all similar cost as much as
    texts of which none is.
    """
    similar = SimilarTexts(texts, threshold)
    reached = bytearray(len(texts))
    firsts = list(range(len(texts)))
    for start in range(len(texts)):
        if reached[start]:
            continue
        reached[start] = True
        waiting = [start]
        while waiting:
            for index in similar.left_similar(texts[waiting.pop()], reached):
                reached[index] = True
                firsts[index] = start
                waiting.append(index)
    return firsts


def example_text(content: Content) -> str:
    """Return inputs and reference in matching form, one text a line."""
    texts = texts_of(content.inputs) + texts_of(content.reference)
    return "\n".join(map(matching_text, texts))
