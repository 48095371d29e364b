"""Which rows have something, asked by a number made of it; eight bytes for each thing of a row."""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator

_ENTRY_BITS = 64
_PART_BITS = 10
_BITS_PER_ENTRY = 16
_LEAST_BITS, _MOST_BITS = 1 << 10, 1 << 29


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
        row_bits, row_mask, digest_mask = self._row_bits, self._row_mask, self._digest_mask
        bits, mask = self._bits, len(self._bits) * 8 - 1
        for digest in digests:
            at = digest & digest_mask & mask
            if not bits[at >> 3] & 1 << (at & 7):
                continue
            first = (digest & digest_mask) << row_bits
            part = self._parts[first >> self._part_shift]
            start = bisect_left(part, first)
            for entry in part[start : bisect_left(part, first | row_mask, start)]:
                yield entry & row_mask

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
