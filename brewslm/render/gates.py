"""Gates and metrics as text: verdict first, one line each, base beside candidate."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from brewslm.plan.action import HeldBack
from brewslm.render import words

_SIGNS = {
    "gte": "≥",
    "lte": "≤",
    "worst_slice_gte": "worst slice ≥",
    "worst_slice_lte": "worst slice ≤",
}


def held_line(held: HeldBack, quoted: Callable[[str], str]) -> str:
    """Return which gates hold what back, where it stays, and what to do; quoted: how names are
    written.
    """
    gates = ", ".join(map(quoted, held.gates)) or "the verdict as a whole"
    if held.revision is None:
        stays = "nothing is exported or promoted"
    else:
        stays = f"exports and promotion stay with revision {held.revision}"
        stays += f" ({quoted(held.alias)})" if held.alias else ""
    return (
        f"Required gates that do not pass: {gates}; {stays}. "
        "To go on: change the recipe, the data or a gate, then plan again."
    )


def gate_table(gates: Iterable[Mapping[str, Any]]) -> str:
    """Return one aligned line a gate: verdict, name, value and bar, counts, interval, base,
    chance of a wrong verdict.
    """
    rows = [gate_cells(gate) for gate in gates]
    if not rows:
        return "no gates\n"
    rows = [(*cells, f"chance wrong {chance}" if chance else "") for *cells, chance in rows]
    return "\n".join(words.table(rows)) + "\n"


def gate_cells(gate: Mapping[str, Any]) -> tuple[str, ...]:
    """Return verdict, name, value and bar, counts, interval, what it stands beside, and the chance
    that the verdict is wrong.
    """
    optional = "" if gate.get("required", True) else " (optional)"
    return (
        str(gate.get("verdict") or "-"),
        f"{words.visible(str(gate['gate_id']))}{optional}",
        _comparison(gate),
        _counts(gate),
        _interval(gate),
        _baseline(gate),
        _chance_wrong(gate),
    )


def _comparison(gate: Mapping[str, Any]) -> str:
    actual = gate.get("actual")
    value = "undefined" if actual is None else f"{actual:.4f}"
    where = f" [{words.visible(str(gate['slice']))}]" if gate.get("slice") else ""
    threshold = gate.get("threshold")
    bar = "" if threshold is None else f" {_SIGNS[gate['operator']]} {threshold:g}"
    reason = gate.get("reason")
    needed = gate.get("rows_needed") if gate.get("on_inconclusive") == "need_more" else None
    more = f", about {needed} rows would decide" if needed else ""
    why = f" ({reason}{more})" if reason not in (None, "ok") else ""
    form = gate.get("normaliser")
    compared = f" (as {form})" if form not in (None, "", "none") else ""
    return f"{words.visible(str(gate['metric_id']))}{compared}{where} {value}{bar}{why}"


def _counts(gate: Mapping[str, Any]) -> str:
    n, k = gate.get("n"), gate.get("k")
    if n is None:
        return ""
    return f"{k:g}/{n:g}" if k is not None else f"n {n:g}"


def _interval(gate: Mapping[str, Any]) -> str:
    interval = gate.get("interval")
    if not interval or interval[0] is None:
        return ""
    level = gate.get("interval_confidence") or gate.get("confidence", 0.95)
    return f"{100 * level:.5g} % {interval[0]:.3f}…{interval[1]:.3f}"


def _baseline(gate: Mapping[str, Any]) -> str:
    """Return what the candidate is held against, and else the base model's own value."""
    baseline = gate.get("baseline")
    if isinstance(baseline, Mapping) and baseline.get("actual") is not None:
        delta = baseline.get("delta")
        change = f" ({delta:+.4f})" if delta is not None else ""
        name = "base" if baseline.get("role") in ("baseline", "base_model") else "promoted"
        return f"{name} {baseline['actual']:.4f}{change}"
    value, actual = gate.get("base_actual"), gate.get("actual")
    if value is None:
        return ""
    change = f" ({actual - value:+.4f})" if actual is not None else ""
    return f"base {value:.4f}{change}"


def _chance_wrong(gate: Mapping[str, Any]) -> str:
    chance = gate.get("chance_wrong")
    return f"{100 * chance:.0f} %" if chance is not None else ""
