"""How long the rows of a prepared set are, in tokens, as the prepared manifest counts them."""

from collections.abc import Mapping
from typing import Any

_ASSUMED_TOKENS = 100.0
"""Of a row in a set that nobody counted."""


def tokens_of(prepared: Mapping[str, Any], split: str) -> dict[str, Any]:
    """Return quantiles, maximum and histogram of a set's row lengths, empty when not counted."""
    sets = (prepared.get("lengths") or {}).get("splits") or {}
    return dict((sets.get(split) or {}).get("tokens") or {})


def mean_tokens(prepared: Mapping[str, Any], split: str) -> float:
    """Return the mean tokens of a set's rows, each taken for the middle of its histogram bin."""
    tokens = tokens_of(prepared, split)
    bins = tokens.get("histogram") or []
    if not sum(bins):
        return _ASSUMED_TOKENS
    width = (int(tokens["max"]) + 1) / len(bins)
    return float(sum(rows * (index + 0.5) * width for index, rows in enumerate(bins)) / sum(bins))


def is_none_within(prepared: Mapping[str, Any], split: str, limit: int) -> bool:
    """Return whether every row of a set is longer than a limit, by far where it is an estimate."""
    tokens = tokens_of(prepared, split)
    bins = tokens.get("histogram") or []
    first = next((index for index, rows in enumerate(bins) if rows), None)
    if first is None:
        return False
    is_measured = prepared["lengths"].get("provenance") == "measured"
    return first * (int(tokens["max"]) + 1) / len(bins) > limit * (1 if is_measured else 2)


def max_tokens(prepared: Mapping[str, Any], split: str) -> float:
    """Return the tokens of a set's longest row."""
    return float(tokens_of(prepared, split).get("max") or 2 * _ASSUMED_TOKENS)
