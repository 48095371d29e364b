"""Which changes of gates and policy let more models pass than before."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from brewslm.tasks.gate import Gate, bound_of
from brewslm.tasks.packs import PackOptions

_INCONCLUSIVE_RANK = {"block": 0, "need_more": 0, "warn": 1}
_BOUND_RANK = {"careful": 0, "point": 1, "lenient": 2}


class GateChange(Struct, frozen=True):
    """A difference of the gate contract; `weakened` where it lets more models pass."""

    kind: str
    path: str
    before: Any
    after: Any
    weakened: bool

    def to_json(self) -> dict[str, Any]:
        """Return the change as plain JSON."""
        return {
            "kind": self.kind,
            "path": self.path,
            "before": self.before,
            "after": self.after,
            "weakened": self.weakened,
        }


def weakenings(
    before: Sequence[Gate],
    before_policy: Mapping[str, Any],
    after: Sequence[Gate],
    after_policy: Mapping[str, Any],
) -> list[GateChange]:
    """Return every change of gates and policy, weakenings first, each named by its kind.

    Policies are plain mappings, compared key by key; a difference that is not known to be stricter
    counts as weaker.
    """
    old = {gate.name: gate for gate in before}
    new = {gate.name: gate for gate in after}
    changes: list[GateChange] = []
    for name, gate in old.items():
        if name not in new:
            changes.append(GateChange("gate_removed", f"gates.{name}", _bar(gate), None, True))
        else:
            changes += _of_gate(f"gates.{name}", gate, new[name])
    changes += [
        GateChange("gate_added", f"gates.{name}", None, _bar(gate), False)
        for name, gate in new.items()
        if name not in old
    ]
    changes += _of_policy(before_policy, after_policy)
    return sorted(changes, key=lambda change: (not change.weakened, change.path, change.kind))


def _of_gate(path: str, old: Gate, new: Gate) -> Iterator[GateChange]:
    if old.metric_id != new.metric_id:
        yield _change("metric_swapped", f"{path}.metric_id", old.metric_id, new.metric_id)
        return
    if old.operator != new.operator:
        yield _change("metric_swapped", f"{path}.operator", old.operator, new.operator)
        return
    if old.required != new.required:
        kind = "gate_optional" if old.required else "gate_required"
        yield _change(kind, f"{path}.required", old.required, new.required, old.required)
    yield from _threshold(path, old, new)
    yield from _regression(path, old, new)
    # More rows asked of a slice leave small slices out; a surer interval has a higher upper end.
    is_worst = new.operator.startswith("worst_slice")
    is_lenient = "lenient" in (bound_of(old), bound_of(new))
    yield from _lowered("sample", f"{path}.min_n", old.min_n, new.min_n, is_worst)
    yield from _lowered(
        "support",
        f"{path}.min_slice_support",
        old.min_slice_support,
        new.min_slice_support,
        is_worst,
    )
    yield from _lowered(
        "confidence", f"{path}.confidence", old.confidence, new.confidence, is_lenient
    )
    yield from _bound(path, old, new)
    yield from _slices(path, old, new)
    if old.variance_policy != new.variance_policy:
        is_weaker = new.variance_policy == "mean"
        yield _change(
            "tolerance_widened" if is_weaker else "tolerance_narrowed",
            f"{path}.variance_policy",
            old.variance_policy,
            new.variance_policy,
            is_weaker,
        )
    yield from _inconclusive(f"{path}.on_inconclusive", old.on_inconclusive, new.on_inconclusive)


def _threshold(path: str, old: Gate, new: Gate) -> Iterator[GateChange]:
    if old.threshold == new.threshold:
        return
    if old.threshold is None or new.threshold is None:
        is_weaker = new.threshold is None
    elif new.operator.endswith("lte"):
        is_weaker = new.threshold > old.threshold
    else:
        is_weaker = new.threshold < old.threshold
    kind = "threshold_lowered" if is_weaker else "threshold_raised"
    yield _change(kind, f"{path}.threshold", old.threshold, new.threshold, is_weaker)


def _regression(path: str, old: Gate, new: Gate) -> Iterator[GateChange]:
    if old.baseline != new.baseline:
        is_weaker = old.baseline is not None
        kind = "baseline_changed" if is_weaker else "baseline_added"
        yield _change(kind, f"{path}.baseline", old.baseline, new.baseline, is_weaker)
    if old.max_regression != new.max_regression:
        before, after = old.max_regression, new.max_regression
        is_weaker = before is not None and (after is None or after > before)
        kind = "tolerance_widened" if is_weaker else "tolerance_narrowed"
        yield _change(kind, f"{path}.max_regression", before, after, is_weaker)
    if old.test != new.test:
        is_weaker = new.test == "none" or {old.decide_on, new.decide_on} != {"point"}
        kind = "confidence_reduced" if is_weaker else "test_changed"
        yield _change(kind, f"{path}.test", old.test, new.test, is_weaker)


def _bound(path: str, old: Gate, new: Gate) -> Iterator[GateChange]:
    if old.decide_on == new.decide_on:
        return
    ranks = [_BOUND_RANK[bound_of(gate)] for gate in (old, new)]
    is_weaker = ranks[1] > ranks[0]
    kind = "confidence_reduced" if is_weaker else "confidence_raised"
    yield _change(kind, f"{path}.decide_on", old.decide_on, new.decide_on, is_weaker)


def _slices(path: str, old: Gate, new: Gate) -> Iterator[GateChange]:
    for name, before, after in (
        ("slice", old.slice, new.slice),
        ("slice_name", old.slice_name, new.slice_name),
    ):
        if before == after:
            continue
        if before is None:
            yield _change("eval_rows_changed", f"{path}.{name}", before, after, True)
        else:
            kind = "slice_removed" if after is None else "slice_widened"
            yield _change(kind, f"{path}.{name}", before, after)


def _of_policy(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[GateChange]:
    """Yield every difference of two policies, of whatever key; one that the older policy does not
    speak of is no difference.
    """
    yield from _inconclusive(
        "policy.on_inconclusive", old.get("on_inconclusive"), new.get("on_inconclusive")
    )
    for key in sorted(old.keys() | new.keys() | _UNSAID.keys()):
        if key in _UNSAID or key in old:
            before, after = old.get(key, _UNSAID.get(key)), new.get(key, _UNSAID.get(key))
            yield from _of_key(key, before, after)


def _of_key(key: str, before: Any, after: Any) -> Iterator[GateChange]:
    if before == after or key == "on_inconclusive":
        return
    if key == "required_metrics":
        for metric_id in sorted({*before} - {*after}):
            yield _change("gate_removed", f"required_metric_ids.{metric_id}", metric_id, None)
        for metric_id in sorted({*after} - {*before}):
            yield _change("gate_added", f"required_metric_ids.{metric_id}", None, metric_id, False)
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        if key == "options":
            unsaid = PackOptions().model_dump(mode="json")
            before, after = {**unsaid, **before}, {**unsaid, **after}
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                kind = _KINDS.get(key, "policy_changed")
                is_weaker = key not in _NOT_WEAKER and not (
                    key == "contract" and before.get(name) in (None, [])
                )
                path = f"{key}.{name}"
                yield _change(kind, path, before.get(name), after.get(name), is_weaker)
    else:
        is_weaker = not _is_stricter(key, before, after)
        kind = _KINDS.get(key, "policy_changed")
        if not is_weaker:
            kind = _STRICTER_KINDS.get(key, kind)
        path = key if key in ("pack_id", "pack") else f"policy.{key}"
        yield _change(kind, path, before, after, is_weaker)


def _is_stricter(key: str, before: Any, after: Any) -> bool:
    match key:
        case "pack_id":
            return before is None
        case "error_budget":
            return bool(after < before)
        case "epochs":
            return bool(after > before)
        case "compare_to":
            return _COMPARED.index(after) > _COMPARED.index(before)
        case "require_baseline":
            return bool(after)
        case "allow_weakening" | "promote_ungated":
            return not after
        case _:
            return False


_UNSAID: dict[str, Any] = {
    "pack_id": None,
    "error_budget": 0,
    "allow_weakening": False,
    "required_metrics": (),
    "options": {},
    "metric_versions": {},
}
"""What a policy means that does not speak of a key."""
_KINDS = {
    "pack_id": "pack_swapped",
    "error_budget": "errors_allowed",
    "epochs": "sample_reduced",
    "compare_to": "baseline_changed",
    "require_baseline": "baseline_changed",
    "metric_versions": "metric_version_changed",
    "generation": "generation_changed",
}
_STRICTER_KINDS = {
    "pack_id": "pack_added",
    "error_budget": "errors_refused",
    "epochs": "sample_raised",
    "compare_to": "baseline_added",
    "require_baseline": "baseline_added",
}
_NOT_WEAKER = ("generation",)
"""Keys under which a difference asks the model in another way and moves no bar."""
_COMPARED = ("none", "base_model", "champion")


def _inconclusive(path: str, old: str | None, new: str | None) -> Iterator[GateChange]:
    if old == new:
        return
    is_weaker = _INCONCLUSIVE_RANK[new or "block"] > _INCONCLUSIVE_RANK[old or "block"]
    kind = "inconclusive_allowed" if is_weaker else "inconclusive_changed"
    yield _change(kind, path, old, new, is_weaker)


def _lowered(
    what: str, path: str, old: float, new: float, is_weaker_raised: bool
) -> Iterator[GateChange]:
    if old != new:
        kind = f"{what}_{'reduced' if new < old else 'raised'}"
        yield _change(kind, path, old, new, new < old or is_weaker_raised)


def _change(kind: str, path: str, before: Any, after: Any, weakened: bool = True) -> GateChange:
    return GateChange(kind, path, before, after, weakened)


def _bar(gate: Gate) -> str:
    bar = f"{gate.metric_id} {gate.operator}"
    return bar if gate.threshold is None else f"{bar} {gate.threshold:g}"
