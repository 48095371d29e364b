"""One pass over training rows that finds which of them are worth comparing with evaluation rows.

The pass never misses a row that shares a run of words with an evaluation row or has a short one in
it, and lets a few others through: it asks a bitmap of digests. What it lets through is compared
word by word.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

from msgspec import Struct

from brewslm.rows.matching import matching_text, texts_of, word_tokens
from brewslm.rows.near import SimilarTexts
from brewslm.rows.stored import Content, content_of

SHORT_MIN_TOKENS, SHORT_MAX_TOKENS = 5, 12
_BITS_PER_RUN = 512
_LEAST_BITS, _MOST_BITS = 1 << 12, 1 << 29


@dataclass(frozen=True, slots=True)
class Texts:
    """What is compared of an example: not the fields that hardly vary, and no system turns."""

    constant: frozenset[str] = frozenset()
    """Names of inputs that hardly vary."""

    def of_inputs(self, content: Content) -> list[str]:
        """Return the matching forms of the inputs that vary.

        Text to learn as it is has no inputs; it stands for them.
        """
        if not content.inputs:
            return [matching_text(text) for text in texts_of(content.reference)]
        texts: list[str] = []
        for name, value in content.inputs.items():
            if name == "messages":
                value = [turn["content"] for turn in value if turn["role"] != "system"]
            if name != "subtask" and name not in self.constant:
                texts += [matching_text(text) for text in texts_of(value)]
        return texts

    def of_example(self, content: Content) -> list[str]:
        """Return the matching forms of inputs and reference."""
        references = texts_of(content.reference) if content.inputs else []
        return self.of_inputs(content) + [matching_text(text) for text in references]


@dataclass(frozen=True, slots=True)
class RunFilter:
    """A bitmap of short runs of words, which answers whether a text may have one of them.

    A run of `size` words has among any `stride` neighbouring starts one whose short run of
    `size - stride + 1` words is known, so every `stride`-th start is enough to look at.
    """

    length: int
    """Words of a short run."""
    stride: int
    bits: bytes

    @classmethod
    def of(cls, runs: Iterable[tuple[str, ...]], amount: int, size: int) -> "RunFilter":
        """Return a filter of runs of `size` words, of which there are at most `amount`; neighbours
        in a text cost least as neighbours here.
        """
        length = (size + 1) // 2
        bits = _empty_bits(amount)
        before: tuple[str, ...] = ()
        for run in runs:
            is_next = before[1:] == run[:-1]
            _mark(bits, run[-length:] if is_next else run, length)
            before = run
        return cls(length, size - length + 1, bytes(bits))

    @classmethod
    def of_starts(cls, runs: Collection[tuple[str, ...]], size: int) -> "RunFilter":
        """Return a filter that looks at every start, for runs of few words."""
        bits = _empty_bits(len(runs))
        for run in runs:
            _mark(bits, run, size)
        return cls(size, 1, bytes(bits))

    def may_match(self, tokens: list[str]) -> bool:
        """Return False only where the words hold none of the runs."""
        bits, mask = self.bits, len(self.bits) * 8 - 1
        for run in _digests(tokens, self.length, self.stride):
            at = run & mask
            if bits[at >> 3] & (1 << (at & 7)):
                return True
        return False


def _empty_bits(runs: int) -> bytearray:
    amount = _LEAST_BITS
    while amount < min(runs * _BITS_PER_RUN, _MOST_BITS):
        amount *= 2
    return bytearray(amount // 8)


def _mark(bits: bytearray, run: tuple[str, ...], length: int) -> None:
    mask = len(bits) * 8 - 1
    for digest in _digests(run, length, 1):
        at = digest & mask
        bits[at >> 3] |= 1 << (at & 7)


def _digests(tokens: Sequence[str], length: int, stride: int) -> Iterator[int]:
    for start in range(0, len(tokens) - length + 1, stride):
        yield crc32(" ".join(tokens[start : start + length]).encode())


class Scanned(Struct, array_like=True):
    """What the pass found out about a training row."""

    may_share_run: bool = False
    may_hold_short: bool = False
    similar: list[tuple[int, float]] = []
    """The first similar evaluation row of each range, as an index into the texts that were given,
    and its Jaccard.
    """


@dataclass(frozen=True)
class LeakScan:
    """How training rows are looked at; opened by each worker."""

    texts: Texts
    runs: RunFilter | None
    shorts: RunFilter | None
    near_texts: tuple[str, ...]
    near_ranges: tuple[tuple[int, int], ...]
    """Start and end of the texts that are asked apart."""
    near_threshold: float | None
    argument: type[list[bytes]] = list[bytes]
    result: type[list[Scanned]] = list[Scanned]

    def open(self) -> Callable[[list[bytes]], list[Scanned]]:
        """Return the function that looks at some contents."""
        return lambda contents: [self._scanned(content_of(data)) for data in contents]

    @cached_property
    def _similar(self) -> SimilarTexts | None:
        if self.near_threshold is None:
            return None
        return SimilarTexts(self.near_texts, self.near_threshold)

    def _scanned(self, content: Content) -> Scanned:
        inputs = self.texts.of_inputs(content)
        found = Scanned()
        if self.runs is not None:
            references = texts_of(content.reference) if content.inputs else []
            words = [word_tokens(text) for text in inputs]
            words += [word_tokens(matching_text(text)) for text in references]
            found.may_share_run = any(map(self.runs.may_match, words))
            if self.shorts is not None:
                words.append(word_tokens(" ".join(inputs)))
                found.may_hold_short = any(map(self.shorts.may_match, words))
        if self._similar is not None and (text := "\n".join(inputs)):
            for start, stop in self.near_ranges:
                if first := self._similar.first_similar(text, start, stop):
                    found.similar.append(first)
        return found
