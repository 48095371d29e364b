"""Changes of gates and policy: what lets more models pass is called weaker, the rest is not."""

from random import Random

import pytest

from brewslm.tasks.deciding import decide
from brewslm.tasks.gate import Gate
from brewslm.tasks.weakening import GateChange, weakenings
from tests.tasks.drawn_metrics import CHOICES, Json, document_of, fields_of

GATE: Json = {"gate_id": "g", "metric_id": "accuracy", "threshold": 0.8}
LTE: Json = {"operator": "lte"}
WORST: Json = {"operator": "worst_slice_gte", "slice_name": "site"}
MARGIN: Json = {"baseline": "base_model", "max_regression": 0.1}


def changes(before: Json, after: Json) -> list[GateChange]:
    return weakenings([Gate(**GATE | before)], {}, [Gate(**GATE | after)], {})


@pytest.mark.parametrize("seed", range(5))
def test_no_model_passes_by_a_change_that_is_not_called_weaker(seed: int) -> None:
    rng = Random(seed)  # noqa: S311  seeded cases
    came_through = 0
    for _ in range(1_500):
        old = fields_of(rng) | {"gate_id": "g", "required": True}
        if not _is_decidable(old):
            continue
        new = dict(old)
        for name in rng.sample([*CHOICES], rng.choice([1, 1, 2])):
            new[name] = rng.choice(CHOICES[name])
        before, after = Gate(**old), Gate(**new)
        metrics = document_of(rng)
        (was,) = decide([before], metrics)["gates"]
        if was["verdict"] in (None, "PASS") or decide([after], metrics)["verdict"] != "PASS":
            continue
        if was["interval"] is None and was["reason"] == "bound_crosses_threshold":
            continue  # a bound on a metric without an interval decides nothing at all
        came_through += 1
        found = weakenings([before], {}, [after], {})
        assert [item.weakened for item in found][:1] == [True], (old, new, was)
    assert came_through > 20


def _is_decidable(gate: Json) -> bool:
    """Return whether a plan lets a gate by: with a bar, and a margin only against a baseline."""
    is_worst = "worst_slice" in gate["operator"]
    has_bar = gate["threshold"] is not None or (gate["max_regression"] is not None and not is_worst)
    return has_bar and (gate["baseline"] is None) == (gate["max_regression"] is None)


@pytest.mark.parametrize(
    ("common", "before", "after", "kind"),
    [
        ({}, {"threshold": 0.9}, {"threshold": 0.8}, "threshold_lowered"),
        (LTE, {"threshold": 0.1}, {"threshold": 0.2}, "threshold_lowered"),
        (MARGIN, {"threshold": 0.8}, {"threshold": None}, "threshold_lowered"),
        (MARGIN, {}, {"max_regression": 0.2}, "tolerance_widened"),
        (MARGIN, {}, {"max_regression": None}, "tolerance_widened"),
        ({}, {}, {"required": False}, "gate_optional"),
        ({}, {}, {"operator": "lte"}, "metric_swapped"),
        ({}, {}, {"metric_id": "macro_f1"}, "metric_swapped"),
        ({}, {"min_n": 20}, {"min_n": 19}, "sample_reduced"),
        ({}, {"min_slice_support": 6}, {"min_slice_support": 5}, "support_reduced"),
        ({}, {"confidence": 0.95}, {"confidence": 0.9}, "confidence_reduced"),
        ({}, {"decide_on": "lower"}, {"decide_on": "point"}, "confidence_reduced"),
        ({}, {"decide_on": "point"}, {"decide_on": "upper"}, "confidence_reduced"),
        (LTE, {"decide_on": "upper"}, {"decide_on": "point"}, "confidence_reduced"),
        (LTE, {"decide_on": "point"}, {"decide_on": "lower"}, "confidence_reduced"),
        (MARGIN, {}, {"test": "none"}, "confidence_reduced"),
        ({}, {"variance_policy": "lower_bound"}, {"variance_policy": "mean"}, "tolerance_widened"),
        ({}, {"slice": "a=b"}, {"slice": None}, "slice_removed"),
        ({}, {"slice": "a=b"}, {"slice": "a=c"}, "slice_widened"),
        ({}, {"slice": None}, {"slice": "a=b"}, "eval_rows_changed"),
        (WORST, {}, {"slice_name": "size"}, "slice_widened"),
        ({}, {"on_inconclusive": "block"}, {"on_inconclusive": "warn"}, "inconclusive_allowed"),
        ({}, {"on_inconclusive": None}, {"on_inconclusive": "warn"}, "inconclusive_allowed"),
    ],
)
def test_each_weakening_has_its_kind_and_is_none_the_other_way(
    common: Json, before: Json, after: Json, kind: str
) -> None:
    old, new = common | before, common | after
    (found,) = changes(old, new)
    name = next(name for name in after if Gate(**GATE | old) != Gate(**GATE | common | after))
    assert (found.kind, found.path, found.weakened) == (kind, f"gates.g.{name}", True)
    assert (found.before, found.after) == (
        getattr(Gate(**GATE | old), name),
        getattr(Gate(**GATE | new), name),
    )
    (back,) = changes(new, old)
    is_other = name in ("operator", "metric_id", "slice", "slice_name")
    assert back.weakened is is_other, "another question is weaker either way"
    if not is_other:
        assert back.kind == OPPOSITES[kind, name]


OPPOSITES = {
    ("threshold_lowered", "threshold"): "threshold_raised",
    ("tolerance_widened", "max_regression"): "tolerance_narrowed",
    ("gate_optional", "required"): "gate_required",
    ("sample_reduced", "min_n"): "sample_raised",
    ("support_reduced", "min_slice_support"): "support_raised",
    ("confidence_reduced", "confidence"): "confidence_raised",
    ("confidence_reduced", "decide_on"): "confidence_raised",
    ("confidence_reduced", "test"): "test_changed",
    ("tolerance_widened", "variance_policy"): "tolerance_narrowed",
    ("inconclusive_allowed", "on_inconclusive"): "inconclusive_changed",
}


def test_gate_that_leaves_the_inconclusive_to_the_policy_blocks_by_itself() -> None:
    (found,) = changes({"on_inconclusive": "block"}, {"on_inconclusive": None})
    assert (found.kind, found.weakened) == ("inconclusive_changed", False)


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (WORST, {"min_slice_support": 6}, "support_raised"),
        (WORST, {"min_n": 6}, "sample_raised"),
        ({"decide_on": "upper"}, {"confidence": 0.99}, "confidence_raised"),
        (LTE | {"decide_on": "lower"}, {"confidence": 0.99}, "confidence_raised"),
        (MARGIN | {"decide_on": "lower", "test": "none"}, {"test": "auto"}, "confidence_reduced"),
        (MARGIN | {"decide_on": "lower"}, {"test": "mcnemar"}, "confidence_reduced"),
    ],
)
def test_what_only_looks_stricter_is_weaker(before: Json, after: Json, kind: str) -> None:
    """Small slices are left out, the lenient end of an interval rises, another test decides."""
    (found,) = changes(before, before | after)
    assert (found.kind, found.weakened) == (kind, True)


def test_margin_that_is_added_or_dropped_names_its_baseline() -> None:
    (baseline, margin) = changes({}, MARGIN)
    assert [baseline.kind, margin.kind] == ["baseline_added", "tolerance_narrowed"]
    assert not (baseline.weakened)
    assert not (margin.weakened)
    (baseline, margin) = changes(MARGIN, {})
    assert [baseline.kind, margin.kind] == ["baseline_changed", "tolerance_widened"]
    assert baseline.weakened
    assert margin.weakened
    (moved,) = changes(MARGIN, MARGIN | {"baseline": "champion"})
    assert (moved.kind, moved.weakened) == ("baseline_changed", True)
    assert (moved.before, moved.after) == ("base_model", "champion")


def test_gates_come_and_go_by_name_and_weakenings_are_listed_first() -> None:
    kept = Gate(metric_id="accuracy", threshold=0.8, gate_id="kept")
    gone = Gate(metric_id="macro_f1", threshold=0.75)
    came = Gate(metric_id="mcc", operator="lte", max_regression=0.1, baseline="base_model")
    stricter = kept.model_copy(update={"threshold": 0.9})
    found = weakenings([kept, gone], {}, [came, stricter], {"epochs": 2, "pack_id": "a"})
    assert [item.to_json() for item in found] == [
        {
            "kind": "gate_removed",
            "path": "gates.min_macro_f1",
            "before": "macro_f1 gte 0.75",
            "after": None,
            "weakened": True,
        },
        {
            "kind": "threshold_raised",
            "path": "gates.kept.threshold",
            "before": 0.8,
            "after": 0.9,
            "weakened": False,
        },
        {
            "kind": "gate_added",
            "path": "gates.max_mcc",
            "before": None,
            "after": "mcc lte",
            "weakened": False,
        },
        {
            "kind": "pack_added",
            "path": "pack_id",
            "before": None,
            "after": "a",
            "weakened": False,
        },
    ]


@pytest.mark.parametrize(
    ("key", "stricter", "looser", "kinds"),
    [
        ("on_inconclusive", "block", "warn", ("inconclusive_allowed", "inconclusive_changed")),
        ("on_inconclusive", "need_more", "warn", ("inconclusive_allowed", "inconclusive_changed")),
        ("error_budget", 1, 2, ("errors_allowed", "errors_refused")),
        ("error_budget", 0, 2, ("errors_allowed", "errors_refused")),
        ("epochs", 3, 2, ("sample_reduced", "sample_raised")),
        ("compare_to", "champion", "base_model", ("baseline_changed", "baseline_added")),
        ("compare_to", "base_model", "none", ("baseline_changed", "baseline_added")),
        ("require_baseline", True, False, ("baseline_changed", "baseline_added")),
        ("allow_weakening", False, True, ("policy_changed", "policy_changed")),
        ("promote_ungated", False, True, ("policy_changed", "policy_changed")),
        ("pack_id", "a", None, ("pack_swapped", "pack_added")),
    ],
)
def test_policy_weakens_one_way_only(
    key: str, stricter: object, looser: object, kinds: tuple[str, str]
) -> None:
    (down,) = weakenings([], {key: stricter}, [], {key: looser})
    (up,) = weakenings([], {key: looser}, [], {key: stricter})
    assert (down.kind, down.weakened, down.before, down.after) == (kinds[0], True, stricter, looser)
    assert (up.kind, up.weakened, up.before, up.after) == (kinds[1], False, looser, stricter)
    assert {down.path, up.path} == {"pack_id" if key == "pack_id" else f"policy.{key}"}


def _told(before: Json, after: Json) -> list[tuple[str, str, bool]]:
    found = weakenings([], before, [], after)
    return [(item.kind, item.path, item.weakened) for item in found]


def test_keys_that_an_older_policy_leaves_out_keep_their_meaning() -> None:
    assert _told({}, {"error_budget": 1}) == [("errors_allowed", "policy.error_budget", True)]
    assert _told({}, {"allow_weakening": True}) == [
        ("policy_changed", "policy.allow_weakening", True)
    ]
    assert _told({}, {"required_metrics": ["mcc"]}) == [
        ("gate_added", "required_metric_ids.mcc", False)
    ]
    assert _told({}, {"options": {"a": 1}}) == [("policy_changed", "options.a", True)]
    assert _told({}, {"error_budget": 0, "options": {}, "pack_id": None, "later": 1}) == []
    defaults = {"json_mode": "first_value", "label_synonyms": {}, "numeric_tolerance": 0.0}
    task = {"normaliser": "label"}
    assert _told({"options": task}, {"options": task | defaults}) == []
    assert _told({"options": task | defaults}, {"options": task}) == []
    assert _told({"options": task}, {"options": task | defaults | {"json_mode": "strict"}}) == [
        ("policy_changed", "options.json_mode", True)
    ]
    assert _told({"on_inconclusive": "block"}, {"on_inconclusive": "need_more"}) == [
        ("inconclusive_changed", "policy.on_inconclusive", False)
    ]


def test_policies_are_compared_name_by_name() -> None:
    assert _told({"required_metrics": ["a", "b"]}, {"required_metrics": ["c", "b"]}) == [
        ("gate_removed", "required_metric_ids.a", True),
        ("gate_added", "required_metric_ids.c", False),
    ]
    assert _told({"generation": {"a": 1, "b": 2}}, {"generation": {"a": 1, "b": 3}}) == [
        ("generation_changed", "generation.b", False)
    ]
    assert _told({"metric_versions": {"a": 1, "c": 1}}, {"metric_versions": {"a": 2, "c": 1}}) == [
        ("metric_version_changed", "metric_versions.a", True)
    ]
    before = {"contract": {"labels": ["a"], "schema": None, "fields": []}}
    after = {"contract": {"labels": ["a", "b"], "schema": "x", "fields": ["f"]}}
    assert _told(before, after) == [
        ("policy_changed", "contract.labels", True),
        ("policy_changed", "contract.fields", False),
        ("policy_changed", "contract.schema", False),
    ]
    assert _told({"pack": "x"}, {"pack": "y"}) == [("policy_changed", "pack", True)]
    assert _told({"pack_id": "x"}, {"pack_id": "y"}) == [("pack_swapped", "pack_id", True)]
    assert _told({"seeds": [1]}, {"seeds": [2]}) == [("policy_changed", "policy.seeds", True)]
    assert _told({"contract": {"a": 1}}, {"contract": None}) == [
        ("policy_changed", "policy.contract", True)
    ]


def test_required_metrics_that_go_and_come_are_named() -> None:
    found = weakenings([], {"required_metrics": ["a"]}, [], {"required_metrics": ["b"]})
    assert [(item.before, item.after) for item in found] == [("a", None), (None, "b")]
