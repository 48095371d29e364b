"""The projects that are measured: an example, and one whose trainer is scripted."""

import json
import random
import shutil
import sys
import time
from itertools import accumulate
from pathlib import Path

from tests.apply.bench import Bench
from tests.benchmarks.measured import ROOT, Run, brewslm, run

_SETTLING_S = 2.5
"""How old a file has to be before its stat call proves that it did not change."""
_WORDS = 30_000
_WORDS_A_ROW = 75
_LONGEST_ROW = 512
"""Tokens that such a row may have; most have fewer."""


def example(folder: Path) -> Path:
    """Return a copy of an example that was never applied."""
    return Path(shutil.copytree(ROOT / "examples" / "support-triage", folder))


def apply(root: Path) -> Run:
    """Apply a project without asking; what it reads has settled afterwards."""
    applied = brewslm(root, "apply", "--auto-approve")
    settle()
    return applied


def settle() -> None:
    """Wait until stat calls prove that files written by now are unchanged."""
    time.sleep(_SETTLING_S)


def scripted(folder: Path, rows: int = 0) -> Bench:
    """Return a project that was never applied, with further rows of 0.6 KB where they are asked
    for.
    """
    bench = Bench.make(folder)
    if rows:
        write_labelled(bench.root / "data" / "rows.jsonl", rows)
        bench.edit("max_seq_length: 256", f"max_seq_length: {_LONGEST_ROW}")
    return bench


def apply_scripted(bench: Bench) -> Run:
    """Apply in a process of its own with a trainer that takes no time."""
    return run((sys.executable, "-m", "tests.benchmarks.scripted_apply", str(bench.root)), ROOT)


def write_labelled(path: Path, rows: int) -> None:
    """Write rows of 0.6 KB, a text of varied words and a label each; the same ones every time."""
    draw = random.Random(7)  # noqa: S311  words, no secrets
    syllables = [first + second for first in "bdfgklmnprstv" for second in "aeiou"]
    words = ["".join(draw.choices(syllables, k=draw.randint(2, 5))) for _ in range(_WORDS)]
    frequency = list(accumulate(1 / (rank + 10) for rank in range(_WORDS)))
    with path.open("w") as stream:
        for number in range(rows):
            text = " ".join(draw.choices(words, cum_weights=frequency, k=_WORDS_A_ROW))
            label = ("late", "lost", "torn")[number % 3]
            stream.write(json.dumps({"text": f"{text} {number}", "label": label}) + "\n")
