"""Verdicts on stored metrics, held against a slow reference that compares exact fractions."""

import math
from collections.abc import Mapping
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.tasks.deciding import Outcome, decide, decisive_set
from brewslm.tasks.gate import Gate
from brewslm.tasks.statistics import bca_levels, beta_cdf, holm, tango, wilson
from tests.tasks.drawn_metrics import METRICS, Json, document_of, gate_of

Ends = tuple[float, float]

WORST_FIRST = ("FAIL", "ERROR", "INCONCLUSIVE", "PASS")
ROLES = {None: "baseline", "base_model": "baseline", "champion": "promoted"}


def reference(gate: Gate, document: Json, *, is_promoted: bool) -> Json:
    """Return what a gate comes to, worked out from the definition of each of its fields."""
    declared = document["declarations"]
    key = next(
        (name for name, item in declared.items() if gate.metric_id in (name, *item["synonyms"])),
        None,
    )
    if key is None:
        if gate.required:
            return {"verdict": "INCONCLUSIVE", "reason": "missing_metric_required"}
        return {"verdict": None, "reason": "not_enforced"}
    parts: list[Json] = []
    if "worst_slice" in gate.operator:
        parts.append(of_slices(gate, key, document))
    elif gate.threshold is not None:
        parts.append(of_threshold(gate, key, document))
    if gate.max_regression is not None:
        parts.append(of_regression(gate, key, document, is_promoted=is_promoted))
    merged: Json = {}
    for part in parts:
        merged |= {name: part[name] for name in part if name not in ("verdict", "reason")}
    for verdict in WORST_FIRST:
        for part in parts:
            if part["verdict"] == verdict:
                return merged | {"verdict": verdict, "reason": part["reason"]}
    return merged | {"verdict": None, "reason": "not_enforced"}


def of_threshold(gate: Gate, key: str, document: Json) -> Json:
    own = document["sets"]["gold_test"]["roles"]["candidate"]
    place = own if gate.slice is None else own["slices"].get(gate.slice, {"metrics": {}})
    if key not in place["metrics"]:
        return {"verdict": "INCONCLUSIVE", "reason": "too_few_rows", "n": 0}
    estimate = place["metrics"][key]
    shown = {
        "actual": estimate["value"],
        "n": estimate["n"],
        "k": estimate.get("k"),
        "interval": ends_of(estimate, gate.confidence),
        "interval_confidence": gate.confidence,
    }
    if reason := unfit(gate, key, estimate, document):
        return shown | {"verdict": "INCONCLUSIVE", "reason": reason}
    spread = own.get("epochs", {}).get(key)
    if spread is not None and gate.slice is None and gate.decide_on == "point":
        is_lte = gate.operator == "lte"
        way = 1 if is_lte else -1
        reached = spread["mean"]
        reached += way * spread["std"] * (gate.variance_policy == "lower_bound")
        if clears(gate, Fraction(str(round(reached, 12)))):
            return shown | {"verdict": "PASS", "reason": "ok"}
        side = "above" if is_lte else "below"
        return shown | {"verdict": "FAIL", "reason": f"variance_{side}_threshold"}
    return shown | on_estimate(gate, estimate, gate.confidence)


def unfit(gate: Gate, key: str, estimate: Json, document: Json) -> str:
    """Return why an estimate decides nothing."""
    roles = document["sets"]["gold_test"]["roles"]
    is_broken = key != "error_rate" and roles["candidate"]["n_error"] > 0
    if "baseline" in document["declarations"][key].get("needs", []):
        is_broken |= roles.get("baseline", {"n_error": 0})["n_error"] > 0
    if is_broken:
        return "too_many_errors"
    if estimate["n"] == 0 or estimate["n"] < gate.min_n:
        return "too_few_rows"
    return "not_a_number" if estimate["value"] is None else ""


def clears(gate: Gate, value: Fraction) -> bool:
    assert gate.threshold is not None
    bar = Fraction(str(gate.threshold))
    return value <= bar if gate.operator.endswith("lte") else value >= bar


def on_estimate(gate: Gate, estimate: Json, level: float) -> Json:
    """Return what a number or an end of its interval comes to against the threshold."""
    if gate.threshold is None:
        return {"verdict": "INCONCLUSIVE", "reason": "not_a_number"}
    is_lte = gate.operator.endswith("lte")
    ends = ends_of(estimate, level)
    if gate.decide_on == "point":
        value = Fraction(str(round(estimate["value"], 12)))
        if estimate["kind"] == "proportion":
            value = Fraction(int(estimate["k"]), int(estimate["n"]))
        verdict = "PASS" if clears(gate, value) else "FAIL"
    elif ends is None:
        verdict = "INCONCLUSIVE"
    else:
        low, high = (clears(gate, Fraction(str(round(end, 12)))) for end in ends)
        asked, other = (low, high) if gate.decide_on == "lower" else (high, low)
        is_careful = gate.decide_on == ("upper" if is_lte else "lower")
        verdict = "PASS" if asked else "INCONCLUSIVE" if is_careful and other else "FAIL"
    if verdict == "INCONCLUSIVE":
        return {"verdict": verdict, "reason": "bound_crosses_threshold"}
    side = "above_threshold" if is_lte else "below_threshold"
    below = chance_below(estimate, gate.threshold)
    if below is not None:
        is_wrong_below = is_lte == (verdict == "FAIL")
        below = below if is_wrong_below else 1 - below
    reason = "ok" if verdict == "PASS" else side
    return {"verdict": verdict, "reason": reason, "chance_wrong": below}


def chance_below(estimate: Json, bar: float) -> float | None:
    """Return the chance that the true value is below a bar: Jeffreys posterior, or drawn."""
    if estimate["kind"] == "proportion" or estimate.get("method") == "wilson":
        wrong = estimate["n"] - estimate["k"]
        return beta_cdf(bar, estimate["k"] + 0.5, wrong + 0.5)
    return drawn_below(estimate, bar) if "quantiles" in estimate else None


def drawn_below(drawn: Json, bar: float) -> float:
    weights = [1.0 if value < bar else 0.5 * (value == bar) for value in drawn["quantiles"]]
    share = math.fsum(weights) / len(weights)
    return float((share * drawn["draws"] + 0.5) / (drawn["draws"] + 1))


def ends_of(estimate: Json, level: float) -> Ends | None:
    if estimate["interval"] is None:
        return None
    if estimate["method"] == "wilson":
        return wilson(estimate["k"], estimate["n"], level)
    return drawn_ends(estimate, level)


def drawn_ends(drawn: Json, level: float) -> Ends:
    if level == 0.95:
        return (drawn["interval"][0], drawn["interval"][1])
    last = len(drawn["quantiles"]) - 1
    ends = []
    for at in bca_levels(drawn["share_below"], drawn["acceleration"], level):
        left = min(math.floor(at * last), last - 1)
        near, far = drawn["quantiles"][left : left + 2]
        ends.append(near * (1 - (at * last - left)) + far * (at * last - left))
    return (ends[0], ends[1])


def of_slices(gate: Gate, key: str, document: Json) -> Json:
    places = {}
    for name, place in document["sets"]["gold_test"]["roles"]["candidate"]["slices"].items():
        is_asked = name.split("=")[0] == gate.slice_name and key in place["metrics"]
        if is_asked:
            rows = place["metrics"][key]["n"] + place["n_error"]
            if rows >= gate.min_n and rows >= gate.min_slice_support:
                places[name] = place["metrics"][key]
    if not places:
        word = "required" if gate.required else "optional"
        return {"verdict": "INCONCLUSIVE", "reason": f"no_eligible_slices_{word}"}
    level = 1 - (1 - gate.confidence) / len(places)
    told = {}
    for name, estimate in places.items():
        reason = unfit(gate, key, estimate, document)
        told[name] = (
            {"verdict": "INCONCLUSIVE", "reason": reason}
            if reason
            else on_estimate(gate, estimate, level)
        )
    verdict = min((item["verdict"] for item in told.values()), key=WORST_FIRST.index)
    worst = next(item for item in told.values() if item["verdict"] == verdict)
    reason = f"worst_slice_{worst['reason']}" if verdict == "FAIL" else worst["reason"]
    said: Json = {"verdict": verdict, "reason": reason}
    numbers = sorted((item["value"], name) for name, item in places.items() if item["value"])
    numbers += [(0.0, name) for name, item in places.items() if item["value"] == 0]
    if numbers:
        shown = max(numbers)[1] if gate.operator.endswith("lte") else min(numbers)[1]
        said |= {
            "slice": shown,
            "actual": places[shown]["value"],
            "n": places[shown]["n"],
            "k": places[shown].get("k"),
            "interval": ends_of(places[shown], level),
            "interval_confidence": level,
        }
    return said


def of_regression(gate: Gate, key: str, document: Json, *, is_promoted: bool) -> Json:
    found = document["sets"]["gold_test"]
    role = ROLES[gate.baseline]
    told: Json = {"baseline": {"role": role}}
    compared = found["comparisons"].get(role)
    if compared is None:
        if role == "promoted" and not is_promoted:
            return {"verdict": None, "reason": "not_enforced"}
        return told | {"verdict": "ERROR", "reason": "baseline_missing"}
    if not compared["is_comparable"]:
        return told | {"verdict": "ERROR", "reason": "baseline_not_comparable"}
    place = compared if gate.slice is None else compared["slices"].get(gate.slice, {"metrics": {}})
    stored = place["metrics"].get(key)
    if stored is None:
        return told | {"verdict": "INCONCLUSIVE", "reason": "too_few_rows"}
    told = {"actual": stored["value"], "baseline": {"role": role, "actual": stored["other"]}}
    if found["roles"]["candidate"]["n_error"] or found["roles"][role]["n_error"]:
        return told | {"verdict": "INCONCLUSIVE", "reason": "too_many_errors"}
    if stored["n"] == 0 or stored["n"] < gate.min_n:
        return told | {"verdict": "INCONCLUSIVE", "reason": "too_few_rows"}
    if stored["delta"] is None:
        return told | {"verdict": "INCONCLUSIVE", "reason": "not_a_number"}
    is_upward = document["declarations"][key]["higher_is_better"]
    if is_upward is None:
        is_upward = not gate.operator.endswith("lte")
    pairs, drawn = stored.get("mcnemar"), stored.get("paired_bootstrap")
    ends, p, method = None, None, "none"
    if pairs and gate.test in ("auto", "mcnemar"):
        ends = tango(pairs["gained"], pairs["lost"], pairs["n"], gate.confidence)
        p, method = pairs["p"], "mcnemar"
    elif drawn and gate.test in ("auto", "paired_bootstrap"):
        ends, p, method = drawn_ends(drawn, gate.confidence), drawn["p"], "paired_bootstrap"
    margin = Fraction(str(gate.max_regression))
    delta = Fraction(str(round(stored["delta"], 12)))
    if pairs:
        delta = Fraction(pairs["gained"] - pairs["lost"], pairs["n"])

    def is_kept(value: Fraction) -> bool:
        loss = -value if is_upward else value
        return loss <= margin

    careful = "upper" if gate.operator.endswith("lte") else "lower"
    if gate.decide_on == "point":
        verdict = "PASS" if is_kept(delta) else "FAIL"
    elif ends is None:
        verdict = "INCONCLUSIVE"
    else:
        kept = [is_kept(Fraction(str(round(end, 12)))) for end in ends]
        if gate.decide_on == careful:
            verdict = "PASS" if all(kept) else "INCONCLUSIVE" if any(kept) else "FAIL"
        else:
            verdict = "PASS" if any(kept) else "FAIL"
    chance = None
    if drawn and verdict != "INCONCLUSIVE":
        gains = [value if is_upward else -value for value in drawn["quantiles"]]
        chance = drawn_below(drawn | {"quantiles": gains}, -float(margin))
        chance = chance if verdict == "PASS" else 1 - chance
    told["baseline"] |= {
        "delta": stored["delta"],
        "delta_interval": ends,
        "p": p,
        "method": method,
        "chance_wrong": chance,
    }
    reasons = {"PASS": "ok", "FAIL": "regression_beyond_margin"}
    return told | {"verdict": verdict, "reason": reasons.get(verdict, "bound_crosses_threshold")}


SHOWN = ("actual", "n", "k", "interval", "interval_confidence", "slice", "chance_wrong")


@pytest.mark.parametrize("seed", range(10))
def test_every_verdict_equals_the_reference(seed: int) -> None:
    rng = Random(seed)  # noqa: S311  seeded cases
    for _ in range(100):
        asked = [gate_of(rng) for _ in range(rng.randint(0, 5))]
        required = rng.sample([*METRICS, "old_accuracy", "unheard_of"], rng.choice([0, 0, 1, 2]))
        _check(asked, document_of(rng), is_promoted=rng.random() < 0.5, required=required)


def _check(asked: list[Gate], document: Json, *, is_promoted: bool, required: list[str]) -> None:
    found = decide(
        asked,
        document,
        on_inconclusive="need_more",
        looks=3,
        required_metrics=required,
        was_ever_promoted=is_promoted,
    )
    wanted = [reference(gate, document, is_promoted=is_promoted) for gate in asked]
    for gate, said, want in zip(asked, found["gates"], wanted, strict=True):
        told = {"verdict": said["verdict"], "reason": said["reason"]}
        assert told == {"verdict": want["verdict"], "reason": want["reason"]}, gate
        assert said["passed"] is (want["verdict"] == "PASS")
        _check_facts(gate, said, want)
        declared = document["declarations"].get(said["resolved_metric_key"], {})
        assert said["normaliser"] == declared.get("normaliser", "")
        if said["rows_needed"] is not None:
            assert not said["passed"]
            assert declared["kind"] == "proportion"
    _check_baselines(asked, found["gates"], wanted)
    _check_whole(asked, document, found, [item["verdict"] for item in wanted], required)


def _check_facts(gate: Gate, said: Json, want: Json) -> None:
    """Check what is shown of a gate: its own fields, and the numbers that decided."""
    assert said["gate_id"] == gate.name
    for name in ("metric_id", "operator", "threshold", "required", "decide_on", "confidence"):
        assert said[name] == getattr(gate, name)
    assert said["source"] == "who asked"
    assert said["severity"] == (gate.severity or ("critical" if gate.required else "warning"))
    assert said["on_inconclusive"] == (gate.on_inconclusive or "need_more")
    assert said["dataset"] == "gold_test"
    key = gate.metric_id.removeprefix("old_")
    is_known = key != "unheard_of"
    assert said["resolved_metric_key"] == (key if is_known else None)
    assert said.keys() == {*Outcome.__struct_fields__, "passed"}
    assert type(said["verdict"]) in (str, type(None)), "plain JSON"
    is_worst = "worst_slice" in gate.operator
    for name in SHOWN:
        if name == "chance_wrong" and is_worst:
            continue
        wanted = want.get(name, gate.slice if name == "slice" else None)
        if name == "interval" and wanted is not None:
            assert said[name] == pytest.approx(list(wanted), abs=1e-9)
        else:
            assert said[name] == pytest.approx(wanted, abs=1e-9), name


def _check_baselines(asked: list[Gate], said: list[Json], wanted: list[Json]) -> None:
    """Check the sides that gates are compared with; Holm's p is of the optional gates only."""
    optional = [
        (want.get("baseline") or {}).get("p") if not gate.required else None
        for gate, want in zip(asked, wanted, strict=True)
    ]
    adjusted = iter(holm([p for p in optional if p is not None]))
    for p, found, want in zip(optional, said, wanted, strict=True):
        told, expected = found["baseline"], want.get("baseline")
        if expected is None:
            assert told is None
            continue
        if p is not None:
            expected = expected | {"p_adjusted": next(adjusted)}
        assert told.keys() == expected.keys()
        for name, value in expected.items():
            if name == "delta_interval" and value is not None:
                value = list(value)
            assert told[name] == pytest.approx(value, abs=1e-9), name


def _check_whole(
    asked: list[Gate], document: Json, found: Json, verdicts: list[str | None], required: list[str]
) -> None:
    own = document["sets"]["gold_test"]["roles"]["candidate"]
    missing = []
    for name in required:
        key = name.removeprefix("old_")
        value = own["metrics"].get(key, {}).get("value")
        is_blind = own["n_error"] > 0 and key != "error_rate"
        if value is None or is_blind:
            missing.append(name)
    counted = [
        (gate.name, verdict)
        for gate, verdict in zip(asked, verdicts, strict=True)
        if gate.required and verdict is not None
    ]
    came_to = {verdict for _, verdict in counted} | ({"INCONCLUSIVE"} if missing else set())
    assert found["verdict"] == next((word for word in WORST_FIRST if word in came_to), "PASS")
    assert found["missing_required_metrics"] == missing
    assert found["blocking"] == [name for name, word in counted if word != "PASS"] + missing
    assert (found["dataset"], found["looks"], found["format_version"]) == ("gold_test", 3, "1.0")
    assert found["rows"] == document["sets"]["gold_test"]["rows"]


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_rows_needed_are_the_fewest_looked_at_that_decide(counts: tuple[int, int]) -> None:
    k, n = counts
    gate = Gate(metric_id="accuracy", threshold=0.8, decide_on="lower", confidence=0.9)
    (found,) = decide([gate], _simple(k, n))["gates"]

    def decides(size: int) -> bool:
        low, high = wilson(k / n * size, size, 0.9)
        return low >= 0.8 or high < 0.8

    needed = found["rows_needed"]
    if found["verdict"] != "INCONCLUSIVE":
        assert decides(n)
        assert needed is None
    elif Fraction(k, n) == Fraction(4, 5):
        assert needed is None, "no number of rows decides a rate that is the threshold"
    else:
        assert decides(needed)
        steps = [n]
        while steps[-1] < needed:
            steps.append(steps[-1] + max(1, steps[-1] // 20))
        assert steps[-1] == needed
        assert not any(map(decides, steps[:-1]))


def _simple(k: int, n: int, **sets: Any) -> Json:
    """Return metrics of one proportion on gold_test."""
    estimate: Json = {"kind": "proportion", "k": k, "n": n, "value": k / n, "method": "wilson"}
    estimate["interval"] = list(wilson(k, n, 0.95))
    role = {"n_error": 0, "metrics": {"accuracy": estimate}, "slices": {}}
    report: Json = {"rows": n, "roles": {"candidate": role}, "comparisons": {}}
    declared: Mapping[str, Any] = {"higher_is_better": True, "synonyms": [], "needs": []}
    return {"declarations": {"accuracy": declared}, "sets": {"gold_test": report, **sets}}


@pytest.mark.parametrize(
    ("names", "decides"),
    [
        (["test", "gold_dev", "gold_test"], "gold_test"),
        (["validation", "gold_dev"], "gold_dev"),
        (["test", "validation"], "test"),
    ],
)
def test_gold_rows_decide_before_all_others(names: list[str], decides: str) -> None:
    assert decisive_set(names) == decides
    right, wrong = _simple(9, 10)["sets"]["gold_test"], _simple(1, 10)["sets"]["gold_test"]
    document = _simple(1, 10) | {"sets": dict.fromkeys(names, wrong) | {decides: right}}
    gate = Gate(metric_id="accuracy", threshold=0.8)
    assert decide([gate], document)["verdict"] == "PASS"
    other = next(name for name in names if name != decides)
    said = decide([gate], document, dataset=other)
    assert (said["verdict"], said["dataset"]) == ("FAIL", other)


def test_without_further_words_a_gate_blocks_and_a_champion_is_not_asked_for() -> None:
    gate = Gate(metric_id="accuracy", baseline="champion", max_regression=0.0)
    found = decide([gate], _simple(9, 10))
    assert (found["verdict"], found["looks"]) == ("PASS", 1)
    assert (found["gates"][0]["verdict"], found["gates"][0]["on_inconclusive"]) == (None, "block")


def test_no_number_of_rows_shows_that_all_are_right() -> None:
    gate = Gate(metric_id="accuracy", threshold=1.0, decide_on="lower")
    (found,) = decide([gate], _simple(10, 10))["gates"]
    assert (found["verdict"], found["rows_needed"]) == ("INCONCLUSIVE", None)


@pytest.mark.parametrize(("policy", "verdict"), [("lower_bound", "FAIL"), ("mean", "PASS")])
def test_spread_over_epochs_counts_against_a_gate(policy: str, verdict: str) -> None:
    metrics = _simple(9, 10)
    role = metrics["sets"]["gold_test"]["roles"]["candidate"]
    role["epochs"] = {"accuracy": {"mean": 0.85, "std": 0.1}}
    fields = {"metric_id": "accuracy", "threshold": 0.8, "variance_policy": policy}
    assert decide([Gate.model_validate(fields)], metrics)["verdict"] == verdict
