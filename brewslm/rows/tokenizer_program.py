"""The program that tries a tokenizer file, in a process that is ended at its limits.

Called with the file's path; prints a JSON list with the number of tokens of each probe. A tokenizer
is made of vocabularies and regular expressions of whoever made the base model, so whether it loads
and encodes within reason is found out here first.
"""

import json
import resource
import sys

from tokenizers import Tokenizer

MAX_CPU_S = 10
MAX_MEMORY_BYTES = 2 << 30
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
    """Load the file, encode the probes, tell how long each is."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, MAX_CPU_S + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    tokenizer = Tokenizer.from_file(sys.argv[1])
    lengths = [len(tokenizer.encode(text, add_special_tokens=False)) for text in PROBES]
    sys.stdout.write(json.dumps(lengths))


if __name__ == "__main__":
    main()
