"""From stored metrics to verdicts: each gate by the metric and the rows that it names.

Everything is read from the metrics document, so a changed threshold is decided again without a
model and without an array library.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from brewslm.tasks.comparing import (
    Verdict,
    chance_below,
    exact_threshold,
    exact_value,
    interval_of,
    is_number,
    mirrored,
    paired_interval,
    rounded,
    share_below,
    verdict_of,
)
from brewslm.tasks.gate import Gate, bound_of
from brewslm.tasks.statistics import Interval, holm, wilson

VERDICT_FORMAT = "1.0"
CANDIDATE = "candidate"
ROLE_OF_BASELINE = {"base_model": "baseline", "champion": "promoted"}
_DECISIVE_ORDER = ("gold_test", "gold_dev")
_MOST_ROWS_SHOWN = 1_000_000


class Outcome(Struct, frozen=True):
    """What a gate came to; `verdict` is None where the gate is not enforced."""

    gate_id: str
    metric_id: str
    resolved_metric_key: str | None
    operator: str
    threshold: float | None
    required: bool
    dataset: str
    decide_on: str
    confidence: float
    severity: str
    source: str = ""
    actual: float | None = None
    verdict: Verdict | None = None
    reason: str = "ok"
    n: float | None = None
    k: float | None = None
    interval: Interval | None = None
    interval_confidence: float | None = None
    """Of the interval; above the gate's own where the worst of several slices is looked for."""
    chance_wrong: float | None = None
    baseline: dict[str, Any] | None = None
    slice: str | None = None
    on_inconclusive: str = "block"
    rows_needed: int | None = None
    normaliser: str = ""
    """Form in which the metric compared answers; empty where the metrics do not say."""

    @property
    def passed(self) -> bool:
        """Whether the verdict is PASS."""
        return self.verdict is Verdict.PASS

    def to_json(self) -> dict[str, Any]:
        """Return the outcome as plain JSON."""
        interval = None if self.interval is None else list(self.interval)
        verdict = None if self.verdict is None else str(self.verdict)
        return asdict(self) | {"interval": interval, "verdict": verdict, "passed": self.passed}


class _Part(Struct, frozen=True):
    """One side of a gate: its threshold, or its regression against a baseline."""

    verdict: Verdict | None
    reason: str
    facts: dict[str, Any] = field(default_factory=dict)


def decisive_set(names: Sequence[str]) -> str:
    """Return the set that gates decide on: gold_test, else gold_dev, else the first listed."""
    return next((name for name in _DECISIVE_ORDER if name in names), names[0])


def decide(
    gates: Sequence[Gate],
    metrics: Mapping[str, Any],
    *,
    on_inconclusive: str = "block",
    dataset: str | None = None,
    required_metrics: Sequence[str] = (),
    was_ever_promoted: bool = False,
    looks: int = 1,
) -> dict[str, Any]:
    """Return the verdict document of a metrics document.

    dataset: the set to decide on, by default the decisive one; was_ever_promoted: whether a
    champion exists, whose missing metrics are then an error. Without gates the verdict is PASS.
    An error of the machinery on a role's rows leaves every gate on that role INCONCLUSIVE, so it
    never helps more than a wrong answer would.
    """
    name = dataset or decisive_set(sorted(metrics["sets"]))
    bench = _Bench(metrics, metrics["sets"][name], name, on_inconclusive, was_ever_promoted)
    outcomes = _with_adjusted_p([bench.outcome(gate) for gate in gates])
    required = [item for item in outcomes if item.required and item.verdict is not None]
    missing = [item for item in required_metrics if not bench.has_value(item)]
    verdicts = [item.verdict for item in required if item.verdict is not None]
    verdicts += [Verdict.INCONCLUSIVE] * bool(missing)
    verdict = min(verdicts, key=lambda item: item.rank, default=Verdict.PASS)
    return {
        "format_version": VERDICT_FORMAT,
        "verdict": str(verdict),
        "dataset": name,
        "rows": bench.report["rows"],
        "looks": looks,
        "gates": [item.to_json() for item in outcomes],
        "missing_required_metrics": missing,
        "blocking": [item.gate_id for item in required if not item.passed] + missing,
    }


def undecided_with_warning(gates: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of decided gates whose `on_inconclusive: warn` asks for a warning."""
    return tuple(
        str(gate["gate_id"])
        for gate in gates
        if not gate["required"]
        and gate["verdict"] == Verdict.INCONCLUSIVE
        and gate.get("on_inconclusive") == "warn"
    )


class _Bench(Struct, frozen=True):
    """The stored numbers that gates are held against."""

    metrics: Mapping[str, Any]
    report: Mapping[str, Any]
    dataset: str
    on_inconclusive: str
    was_ever_promoted: bool

    def has_value(self, metric_id: str) -> bool:
        key = self._resolved(metric_id)
        values = self.report["roles"][CANDIDATE]["metrics"]
        is_known = key in values and is_number(values[key]["value"])
        return is_known and (key == "error_rate" or not self._has_errors(CANDIDATE))

    def outcome(self, gate: Gate) -> Outcome:
        key = self._resolved(gate.metric_id)
        blank = Outcome(
            gate.name,
            gate.metric_id,
            key,
            gate.operator,
            gate.threshold,
            gate.required,
            self.dataset,
            gate.decide_on,
            gate.confidence,
            gate.severity or ("critical" if gate.required else "warning"),
            gate.source,
            slice=gate.slice,
            on_inconclusive=gate.on_inconclusive or self.on_inconclusive,
            normaliser=str(self._declared(key).get("normaliser", "")),
        )
        if key is None:
            if not gate.required:
                return replace(blank, reason="not_enforced")
            return replace(blank, verdict=Verdict.INCONCLUSIVE, reason="missing_metric_required")
        parts = []
        if gate.operator.startswith("worst_slice"):
            parts.append(self._worst_slice(gate, key))
        elif gate.threshold is not None:
            parts.append(self._threshold(gate, key))
        if gate.max_regression is not None:
            parts.append(self._regression(gate, key))
        facts: dict[str, Any] = {}
        for part in parts:
            facts |= part.facts
        decided = [part for part in parts if part.verdict is not None]
        if not decided:
            return replace(blank, reason="not_enforced", **facts)
        worst = min(decided, key=lambda part: part.verdict.rank if part.verdict else 0)
        return replace(blank, verdict=worst.verdict, reason=worst.reason, **facts)

    def _declared(self, key: str | None) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.metrics["declarations"].get(key, {})
        return found

    def _has_errors(self, role: str) -> bool:
        found = self.report["roles"].get(role)
        return found is not None and found["n_error"] > 0

    def _resolved(self, metric_id: str) -> str | None:
        declared = self.metrics["declarations"]
        if metric_id in declared:
            return metric_id
        named = (key for key, item in declared.items() if metric_id in item["synonyms"])
        return next(named, None)

    def _place(self, gate: Gate, of: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the values on the gate's rows; the whole set where it names no slice."""
        if gate.slice is None:
            return of
        found: Mapping[str, Any] | None = of["slices"].get(gate.slice)
        return found

    def _threshold(self, gate: Gate, key: str) -> _Part:
        place = self._place(gate, self.report["roles"][CANDIDATE])
        if place is None or key not in place["metrics"]:
            return _Part(Verdict.INCONCLUSIVE, "too_few_rows", {"n": 0})
        estimate = place["metrics"][key]
        part = judged(gate, estimate, gate.confidence)
        facts = {
            "actual": estimate["value"],
            "n": estimate["n"],
            "k": estimate.get("k"),
            "interval": interval_of(estimate, gate.confidence),
            "interval_confidence": gate.confidence,
        }
        spread = self.report["roles"][CANDIDATE].get("epochs", {}).get(key)
        trouble = self._trouble(gate, key, estimate)
        if trouble:
            return _Part(Verdict.INCONCLUSIVE, trouble, facts)
        if spread and gate.slice is None and gate.decide_on == "point":
            part = _over_epochs(gate, spread)
        if part.verdict is Verdict.INCONCLUSIVE:
            facts["rows_needed"] = _rows_needed(gate, estimate)
        return replace(part, facts=facts | part.facts)

    def _trouble(self, gate: Gate, key: str, estimate: Mapping[str, Any]) -> str:
        """Return why no verdict can be given, nothing where one can."""
        roles = ["baseline"] if "baseline" in self._declared(key).get("needs", ()) else []
        roles += [CANDIDATE] if key != "error_rate" else []
        if any(map(self._has_errors, roles)):
            return "too_many_errors"
        if not estimate["n"] or estimate["n"] < gate.min_n:
            return "too_few_rows"
        return "" if is_number(estimate["value"]) else "not_a_number"

    def _worst_slice(self, gate: Gate, key: str) -> _Part:
        prefix = f"{gate.slice_name}="
        slices = self.report["roles"][CANDIDATE]["slices"]
        eligible = {
            name: place
            for name, place in slices.items()
            if name.startswith(prefix)
            and key in place["metrics"]
            # Rows that ended in an error stay in their slice, which would be left out without them.
            and (place["metrics"][key]["n"] or 0) + place["n_error"]
            >= max(gate.min_slice_support, gate.min_n)
        }
        if not eligible:
            kind = "required" if gate.required else "optional"
            return _Part(Verdict.INCONCLUSIVE, f"no_eligible_slices_{kind}")
        # Bonferroni: with s slices each end has to hold at 1 - (1 - c)/s.
        confidence = 1 - (1 - gate.confidence) / len(eligible)
        parts = {}
        for name, place in eligible.items():
            estimate = place["metrics"][key]
            trouble = self._trouble(gate, key, estimate)
            part = judged(gate, estimate, confidence)
            parts[name] = _Part(Verdict.INCONCLUSIVE, trouble) if trouble else part
        is_lte = gate.operator.endswith("lte")
        worst = min(parts.values(), key=lambda part: part.verdict.rank if part.verdict else 0)
        values = {name: eligible[name]["metrics"][key] for name in eligible}
        known = {name: item for name, item in values.items() if is_number(item["value"])}
        facts: dict[str, Any] = dict(worst.facts)
        if known:
            chosen = (max if is_lte else min)(known, key=lambda name: (known[name]["value"], name))
            facts |= {
                "slice": chosen,
                "actual": known[chosen]["value"],
                "n": known[chosen]["n"],
                "k": known[chosen].get("k"),
                "interval": interval_of(known[chosen], confidence),
                "interval_confidence": confidence,
            }
        reason = worst.reason
        if worst.verdict is Verdict.FAIL:
            reason = f"worst_slice_{worst.reason}"
        return _Part(worst.verdict, reason, facts)

    def _regression(self, gate: Gate, key: str) -> _Part:
        role = ROLE_OF_BASELINE[gate.baseline or "base_model"]
        comparison = self.report["comparisons"].get(role)
        if comparison is None:
            if role == "promoted" and not self.was_ever_promoted:
                return _Part(None, "not_enforced")
            return _Part(Verdict.ERROR, "baseline_missing", {"baseline": {"role": role}})
        if not comparison["is_comparable"]:
            return _Part(Verdict.ERROR, "baseline_not_comparable", {"baseline": {"role": role}})
        place = self._place(gate, comparison)
        if place is None or key not in place["metrics"]:
            return _Part(Verdict.INCONCLUSIVE, "too_few_rows", {"baseline": {"role": role}})
        stored = place["metrics"][key]
        facts = {"actual": stored["value"], "baseline": {"role": role, "actual": stored["other"]}}
        if any(map(self._has_errors, (CANDIDATE, role))):
            return _Part(Verdict.INCONCLUSIVE, "too_many_errors", facts)
        if not stored["n"] or stored["n"] < gate.min_n:
            return _Part(Verdict.INCONCLUSIVE, "too_few_rows", facts)
        if not is_number(stored["delta"]):
            return _Part(Verdict.INCONCLUSIVE, "not_a_number", facts)
        return self._held_against(gate, key, stored, facts)

    def _held_against(
        self, gate: Gate, key: str, stored: Mapping[str, Any], facts: dict[str, Any]
    ) -> _Part:
        is_upward = self.metrics["declarations"][key]["higher_is_better"]
        if is_upward is None:
            is_upward = not gate.operator.endswith("lte")
        paired = paired_interval(stored, gate.test, gate.confidence)
        ends = paired[0] if paired else None
        delta = _exact_delta(stored)
        if not is_upward:
            delta, ends = -delta, mirrored(ends)
        bar = -exact_threshold(gate.max_regression or 0.0)
        verdict = verdict_of(delta, ends, bar, bound_of(gate))
        chance = _chance_of_regression(stored, float(bar), is_upward=is_upward)
        if chance is not None and verdict is Verdict.FAIL:
            chance = 1 - chance
        facts["baseline"] |= {
            "delta": stored["delta"],
            "delta_interval": list(paired[0]) if paired else None,
            "p": paired[1] if paired else None,
            "method": paired[2] if paired else "none",
            "chance_wrong": None if verdict is Verdict.INCONCLUSIVE else chance,
        }
        reasons = {
            Verdict.PASS: "ok",
            Verdict.FAIL: "regression_beyond_margin",
            Verdict.INCONCLUSIVE: "bound_crosses_threshold",
        }
        return _Part(verdict, reasons[verdict], facts)


def judged(gate: Gate, estimate: Mapping[str, Any], confidence: float) -> _Part:
    """Return the outcome of a threshold on one stored estimate."""
    if not is_number(estimate["value"]) or gate.threshold is None or not estimate["n"]:
        return _Part(Verdict.INCONCLUSIVE, "not_a_number")
    is_lte = gate.operator.endswith("lte")
    value, bar = exact_value(estimate), exact_threshold(gate.threshold)
    ends = interval_of(estimate, confidence)
    if is_lte:
        value, bar, ends = -value, -bar, mirrored(ends)
    verdict = verdict_of(value, ends, bar, bound_of(gate))
    below = chance_below(estimate, gate.threshold)
    facts: dict[str, Any] = {}
    if verdict is not Verdict.INCONCLUSIVE and below is not None:
        facts["chance_wrong"] = below if (verdict is Verdict.PASS) != is_lte else 1 - below
    reasons = {
        Verdict.PASS: "ok",
        Verdict.FAIL: "above_threshold" if is_lte else "below_threshold",
        Verdict.INCONCLUSIVE: "bound_crosses_threshold",
    }
    return _Part(verdict, reasons[verdict], facts)


def _over_epochs(gate: Gate, spread: Mapping[str, Any]) -> _Part:
    is_lte = gate.operator.endswith("lte")
    step = spread["std"] if gate.variance_policy == "lower_bound" else 0.0
    value = rounded(spread["mean"] + step if is_lte else spread["mean"] - step)
    bar = exact_threshold(gate.threshold or 0.0)
    if (value <= bar) if is_lte else (value >= bar):
        return _Part(Verdict.PASS, "ok")
    reason = "variance_above_threshold" if is_lte else "variance_below_threshold"
    return _Part(Verdict.FAIL, reason)


def _exact_delta(stored: Mapping[str, Any]) -> Fraction:
    pairs = stored.get("mcnemar")
    if pairs:
        return Fraction(pairs["gained"] - pairs["lost"], pairs["n"])
    return rounded(stored["delta"])


def _chance_of_regression(
    stored: Mapping[str, Any], bar: float, *, is_upward: bool
) -> float | None:
    """Return the share of paired draws beyond the margin, None where nothing was drawn."""
    drawn = stored.get("paired_bootstrap")
    if drawn is None:
        return None
    if is_upward:
        return share_below(drawn["quantiles"], drawn["draws"], bar)
    mirrored_draws = [-value for value in drawn["quantiles"]]
    return share_below(mirrored_draws, drawn["draws"], bar)


def _rows_needed(gate: Gate, estimate: Mapping[str, Any]) -> int | None:
    """Return the rows at which the observed rate would decide a proportion gate, if any do."""
    if estimate["kind"] != "proportion" or gate.threshold is None:
        return None
    rate, n = estimate["value"], int(estimate["n"])
    while n < _MOST_ROWS_SHOWN:
        low, high = wilson(rate * n, n, gate.confidence)
        if low >= gate.threshold or high < gate.threshold:
            return n
        n += max(1, n // 20)
    return None


def _with_adjusted_p(outcomes: list[Outcome]) -> list[Outcome]:
    """Add Holm-adjusted p to the baseline comparisons of optional gates."""
    at = [
        index
        for index, item in enumerate(outcomes)
        if not item.required and item.baseline and item.baseline.get("p") is not None
    ]
    baselines = [outcomes[index].baseline or {} for index in at]
    adjusted = holm([baseline["p"] for baseline in baselines])
    for index, baseline, p in zip(at, baselines, adjusted, strict=True):
        outcomes[index] = replace(outcomes[index], baseline=baseline | {"p_adjusted": p})
    return outcomes
