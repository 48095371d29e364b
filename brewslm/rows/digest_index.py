"""Which rows have something, asked by a number made of it; eight bytes for each thing of a row."""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator

_ENTRY_BITS = 64
_PART_BITS = 10
_BITS_PER_ENTRY = 16
_LEAST_BITS, _MOST_BITS = 1 << 10, 1 << 29
_FIRST_RANGE_ROWS, _RANGE_GROWTH = 32, 8


class DigestIndex:
    """Rows by digests.

    Digests are cut to what the number of a row leaves of 64 bits, so an answer may name rows that
    have something else, and never leaves one out: whoever asks compares.
    """

    def __init__(self, rows: int) -> None:
        """rows: how many there are."""
        self._row_bits = max(rows, 1).bit_length()
        self._row_mask = (1 << self._row_bits) - 1
        self._digest_mask = (1 << _ENTRY_BITS - self._row_bits) - 1
        part_bits = min(_PART_BITS, self._row_bits)
        self._part_shift = _ENTRY_BITS - part_bits
        self._parts = [array("Q") for _ in range(1 << part_bits)]
        self._bits = bytearray(0)

    def add(self, digests: Iterable[int], row: int) -> None:
        """Take up what a row has, before `seal`; a digest is any integer."""
        row_bits, mask = self._row_bits, self._digest_mask
        parts, shift = self._parts, self._part_shift
        for digest in digests:
            entry = (digest & mask) << row_bits | row
            parts[entry >> shift].append(entry)

    def seal(self) -> None:
        """Make the index answer; nothing more is taken up."""
        self._bits = _empty_bits(len(self))
        bits, mask = self._bits, len(self._bits) * 8 - 1
        for number, part in enumerate(self._parts):
            self._parts[number] = ordered = array("Q", sorted(part))
            for entry in ordered:
                at = entry >> self._row_bits & mask
                bits[at >> 3] |= 1 << (at & 7)

    def __len__(self) -> int:
        """Return how many entries there are."""
        return sum(map(len, self._parts))

    def rows_of(self, digests: Iterable[int]) -> Iterator[int]:
        """Yield the rows that may have one of them, digest by digest, ascending for each; a row
        comes as often as it was taken up.
        """
        row_mask = self._row_mask
        for part, _, start, end in self._buckets(digests):
            for entry in part[start:end]:
                yield entry & row_mask

    def counts(self, digests: Iterable[int], start: int, stop: int) -> Iterator[Counter[int]]:
        """Yield how many of the digests each row from `start` to `stop` may have, for one range of
        rows after another; each range is wider than the one before.
        """
        buckets = [
            (part, first, bisect_left(part, first | start, at, end), end)
            for part, first, at, end in self._buckets(digests)
        ]
        row_mask = self._row_mask
        width = _FIRST_RANGE_ROWS
        while start < stop and buckets:
            end = min(start + width, stop)
            found: Counter[int] = Counter()
            left = []
            for part, first, at, bucket_end in buckets:
                upto = bisect_left(part, first | end, at, bucket_end)
                found.update(entry & row_mask for entry in part[at:upto])
                if upto < bucket_end:
                    left.append((part, first, upto, bucket_end))
            yield found
            buckets, start, width = left, end, width * _RANGE_GROWTH

    def counts_without(self, digests: Iterable[int], gone: bytearray) -> Counter[int]:
        """Return how many of the digests each row may have, and forget the rows marked in `gone`,
        which no later question about one of these digests meets again.
        """
        found: Counter[int] = Counter()
        row_mask = self._row_mask
        for part, first, at, end in self._buckets(digests):
            entries = part[at:end]
            kept = array("Q", [entry for entry in entries if not gone[entry & row_mask]])
            if len(kept) < len(entries):
                # the number of no row, so the bucket stays sorted and ends before it
                free = [first | row_mask] * (len(entries) - len(kept))
                part[at:end] = kept + array("Q", free)
            found.update(entry & row_mask for entry in kept)
        return found

    def _buckets(self, digests: Iterable[int]) -> Iterator[tuple["array[int]", int, int, int]]:
        """Yield part, smallest entry, start and end of the entries of each digest that has some."""
        row_bits, row_mask, digest_mask = self._row_bits, self._row_mask, self._digest_mask
        bits, mask = self._bits, len(self._bits) * 8 - 1
        for digest in digests:
            at = digest & digest_mask & mask
            if not bits[at >> 3] & 1 << (at & 7):
                continue
            first = (digest & digest_mask) << row_bits
            part = self._parts[first >> self._part_shift]
            start = bisect_left(part, first)
            end = bisect_left(part, first | row_mask, start)
            if start < end:
                yield part, first, start, end

    def frequent(self, rows: float) -> Iterator[tuple[int, set[int]]]:
        """Yield every digest, cut as in the index, of more than so many rows, with the rows."""
        for part in self._parts:
            start = 0
            for end in range(1, len(part) + 1):
                digest = part[start] >> self._row_bits
                if end < len(part) and part[end] >> self._row_bits == digest:
                    continue
                if end - start > rows:
                    found = {entry & self._row_mask for entry in part[start:end]}
                    if len(found) > rows:
                        yield digest, found
                start = end

    def cut(self, digest: int) -> int:
        """Return the part of a digest that the index tells apart."""
        return digest & self._digest_mask


def _empty_bits(entries: int) -> bytearray:
    amount = _LEAST_BITS
    while amount < min(entries * _BITS_PER_ENTRY, _MOST_BITS):
        amount *= 2
    return bytearray(amount // 8)
