"""Applies that train nothing: a changed threshold, and a recipe that was there before."""

import itertools
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.measured import Row, Run, UnexpectedExitError, brewslm, medians, seconds

_TARGET_S = 1.0


def regating(root: Path, gate: str, threshold: float, repeats: int) -> Row:
    """Raise a threshold again and again, as lowering one would be a weakening.

    gate: what stands before the threshold in the manifest.
    """
    texts = [f"{gate}{threshold + step / 100:g}" for step in range(repeats + 2)]
    turns = iter(itertools.pairwise(texts))
    return _row("changed threshold, decided again", lambda: _turn(root, *next(turns)), repeats)


def reuse(root: Path, before: str, after: str, apply: Callable[[], Run], repeats: int) -> Row:
    """Train with another recipe once, then change it back and forth."""
    _edit(root, before, after)
    apply()
    turns = itertools.cycle([(after, before), (before, after)])
    return _row("reverted recipe, reused", lambda: _turn(root, *next(turns)), repeats)


def _row(what: str, turn: Callable[[], Run], repeats: int) -> Row:
    wall_s = medians({what: turn}, repeats)[what]
    return Row(what, seconds(wall_s), f"{seconds(_TARGET_S)}", wall_s / _TARGET_S, "< 1 s")


def _turn(root: Path, before: str, after: str) -> Run:
    _edit(root, before, after)
    applied = brewslm(root, "apply", "--auto-approve")
    if "Apply:" not in applied.output:
        raise UnexpectedExitError(f"nothing was applied:\n{applied.output[-2000:]}")
    return applied


def _edit(root: Path, before: str, after: str) -> None:
    path = root / "brewslm.yaml"
    text = path.read_text()
    if before not in text:
        raise UnexpectedExitError(f'the manifest does not say "{before}"')
    path.write_text(text.replace(before, after))
