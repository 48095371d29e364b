"""Mixing of train rows: caps, source weights and rows put back against forgetting.

Only train is mixed, after placement. Copies are a weight, never lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from brewslm.rows.identity import order_digest, order_ratio
from brewslm.rows.rejects import HoldCode
from brewslm.rows.stored import StoredExample


@dataclass(slots=True)
class Mix:
    """What an epoch sees."""

    train_rows_effective: float = 0
    sources: dict[str, dict[str, float]] = field(default_factory=dict)
    """Source to rows, weight, effective rows and share of the epoch."""
    mix_back: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the mix as plain JSON."""
        return {"sources": self.sources, "mix_back": self.mix_back}


def by_order(examples: Sequence[StoredExample], seed: int) -> list[StoredExample]:
    """Return examples in the order that seed and row_id give."""
    return sorted(
        examples, key=lambda example: (order_digest(seed, example.row_id), example.row_id)
    )


def cap(train: Sequence[StoredExample], max_examples: int | None, seed: int) -> float:
    """Hold the train rows beyond `max_examples`, largest order digest first.

    Returns: the order ratio that all other rows are below, 1 where none is held.
    """
    held = [] if max_examples is None else by_order(train, seed)[max_examples:]
    for example in held:
        example.hold = HoldCode.CAPPED
    return order_ratio(order_digest(seed, held[0].row_id)) if held else 1.0


def apply_weights(train: Sequence[StoredExample], seed: int, below: float = 1.0) -> None:
    """Turn each source's weight into whole copies; the fraction is decided by order digest.

    Rows with no copy are held. below: what all order ratios are below, as `cap` returns it.
    Where rows were capped those that stay have small ratios, so the fraction is one of `below`.
    """
    for example in train:
        whole = int(example.weight)
        fraction = example.weight - whole
        copies = whole
        if fraction and order_ratio(order_digest(seed, example.row_id)) < fraction * below:
            copies += 1
        if copies:
            example.weight = copies
        else:
            example.weight = 1
            example.hold = HoldCode.WEIGHT_EXCLUDED


def put_back(
    general: Sequence[StoredExample], train_rows_effective: float, fraction: float, seed: int
) -> list[StoredExample]:
    """Return the general rows that stay, so that they are `fraction` of the epoch within one row;
    the others are held.
    """
    wanted = round(fraction * train_rows_effective / (1 - fraction)) if fraction < 1 else 0
    ordered = by_order(general, seed)
    for example in ordered[wanted:]:
        example.hold = HoldCode.CAPPED
    return ordered[:wanted]


def mix_of(
    train: Sequence[StoredExample],
    weights: dict[str, float],
    mix_back_source: str | None,
    mix_back_fraction: float,
) -> Mix:
    """Return the numbers of a finished mix."""
    total = sum(example.weight for example in train)
    mix = Mix(train_rows_effective=total)
    weights_of: dict[str, list[float]] = {}
    for example in train:
        weights_of.setdefault(example.source, []).append(example.weight)
    for source, own in sorted(weights_of.items()):
        mix.sources[source] = {
            "rows": len(own),
            "weight": weights[source],
            "effective_rows": sum(own),
            "share_ratio": sum(own) / total,
        }
    if mix_back_source is not None:
        rows = mix.sources.get(mix_back_source, {}).get("rows", 0)
        mix.mix_back = {"source": mix_back_source, "fraction": mix_back_fraction, "rows": rows}
    return mix
