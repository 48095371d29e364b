"""The program that uses a stranger's tokenizer file, in a process that is ended at its limits.

Reads JSON lines: first the file's path, answered with the numbers of tokens of some probes, then
lists of texts, answered with theirs. A tokenizer is made of vocabularies and regular expressions of
whoever made the base model: one that passes the probes may still be slow on a certain row.
"""

import sys

import orjson

from brewslm.rows.limits import (
    TOKENIZER_BYTES_PER_CPU_S,
    TOKENIZER_CPU_S,
    TOKENIZER_MEMORY_BYTES,
    Allowance,
    allow_cpu,
    limit_memory,
)
from brewslm.rows.tokens import TokenCounter

_LONG = 4096
PROBES = (
    "The quick brown fox jumps over 13 lazy dogs, doesn't it?",
    "Ünïcödé 漢字 \U0001f600",
    "13",
    "?",
    "a" * _LONG,
    "a" * _LONG + "!",
    "ab" * _LONG + "\n",
    "1" * _LONG + "x",
    "x" + " " * _LONG + "y",
    "x" + "\n" * _LONG + "y",
    "x" + "\t \n" * _LONG + "y",
    "!?" * _LONG + "a",
)
"""Texts that every tokenizer has tokens for, and those that careless expressions are slow on."""


def main() -> None:
    """Load the file, tell how long the probes are, then count what comes until the input closes."""
    limit_memory(TOKENIZER_MEMORY_BYTES)
    allow_cpu(TOKENIZER_CPU_S)
    count = TokenCounter(orjson.loads(sys.stdin.buffer.readline()))
    _answer(count.plain(PROBES))
    allowance = Allowance(TOKENIZER_CPU_S, TOKENIZER_BYTES_PER_CPU_S)
    for line in sys.stdin.buffer:
        allowance.grow(len(line))
        _answer(count(orjson.loads(line)))


def _answer(lengths: list[int]) -> None:
    sys.stdout.buffer.write(orjson.dumps(lengths) + b"\n")
    sys.stdout.buffer.flush()
