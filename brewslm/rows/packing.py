"""Which rows share a sequence: best fit, longest rows first. The plan counts what training does."""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Sequence
from heapq import heappop, heappush


def packed_rows(lengths: Sequence[tuple[int, str]], max_tokens: int) -> list[list[int]]:
    """Return sequences as lists of row numbers.

    lengths: tokens and row_id of each row; copies of a row are spread over the sequences.
    """
    seen: Counter[str] = Counter()
    keys = []
    for number, (size, row_id) in enumerate(lengths):
        keys.append((-size, seen[row_id], row_id, number))
        seen[row_id] += 1
    sequences: list[list[int]] = []
    by_space: dict[int, list[int]] = {}
    spaces: list[int] = []
    for negative, _, _, number in sorted(keys):
        size = -negative
        at = bisect_left(spaces, size)
        if at == len(spaces):
            sequence, space = len(sequences), max_tokens
            sequences.append([])
        else:
            space = spaces[at]
            sequence = heappop(by_space[space])
            if not by_space[space]:
                del by_space[space], spaces[at]
        sequences[sequence].append(number)
        left = space - size
        if left not in by_space:
            by_space[left] = []
            insort(spaces, left)
        heappush(by_space[left], sequence)
    return sequences
