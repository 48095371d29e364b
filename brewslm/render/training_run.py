"""A training run as text: its curve and its results, before what it was asked for."""

from collections.abc import Iterator, Sequence
from typing import Any

from brewslm.plan.recorded_run import RecordedRun
from brewslm.render import words

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 40
_FIRST = (
    "stop_reason",
    "steps",
    "epochs",
    "kept_step",
    "kept_because",
    "train_loss",
    "eval_loss",
    "baseline_eval_loss",
    "eval_loss_gain",
    "rows",
    "rows_left_out",
    "trained_tokens",
    "tokens_per_s",
    "train_s",
    "peak_bytes",
    "device",
)


def run_lines(run: RecordedRun) -> Iterator[str]:
    """Yield the curve and the results of a run, the telling ones first."""
    curves = [
        ("loss", [(item.step, item.loss) for item in run.points]),
        ("eval_loss", [(item.step, item.eval_loss) for item in run.points]),
        ("learning_rate", [(item.step, item.learning_rate) for item in run.points]),
    ]
    drawn = [(name, _curve(values)) for name, values in curves]
    if shown := [(name, text) for name, text in drawn if text]:
        yield ""
        yield "  curve"
        yield from (f"    {line}" for line in words.table(shown))
    if results := [(name, _value(name, run.results[name])) for name in _FIRST if _has(run, name)]:
        yield ""
        yield "  results"
        yield from (f"    {line}" for line in words.table(results))


def shown_results() -> frozenset[str]:
    """Return the names of values that `run_lines` shows."""
    return frozenset(_FIRST)


def _has(run: RecordedRun, name: str) -> bool:
    return run.results.get(name) not in (None, {})


def _value(name: str, value: Any) -> str:
    if name == "peak_bytes" and isinstance(value, int):
        return words.size(value)
    if name == "train_s" and isinstance(value, int | float):
        return words.duration(value)
    if isinstance(value, dict):
        return ", ".join(f"{words.visible(str(key))} {item}" for key, item in value.items())
    return words.number(value) if isinstance(value, int | float) else words.visible(str(value))


def _curve(points: Sequence[tuple[int, float | None]]) -> str:
    """Return a curve as bars, with its first and its last value; empty below two points."""
    known = [(step, value) for step, value in points if value is not None]
    if len(known) < 2:
        return ""
    stride = max(1, -(-len(known) // _WIDTH))
    drawn = [value for _, value in known[::stride]]
    low, high = min(drawn), max(drawn)
    span = (high - low) or 1.0
    bars = "".join(_BARS[round((value - low) / span * (len(_BARS) - 1))] for value in drawn)
    first, last = known[0], known[-1]
    return f"{bars}  {first[1]:.4g} at step {first[0]}, {last[1]:.4g} at step {last[0]}"
