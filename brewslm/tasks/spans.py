"""Scoring of extracted entities as sets of (type, start, end)."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from brewslm.tasks.arithmetic import Arithmetic, Number, Totals
from brewslm.tasks.fields import json_counts, json_metrics
from brewslm.tasks.json_output import read_json
from brewslm.tasks.metric import (
    Formula,
    Metric,
    MetricKind,
    class_f1,
    class_metrics,
    counted,
    nameable,
    pooled,
    proportion,
    slug,
)
from brewslm.tasks.task import Contract, Scored, ScoringOptions

SPAN_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["entities"],
    "properties": {
        "entities": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "start", "end"],
                "properties": {
                    "type": {"type": "string"},
                    "start": {"type": "integer", "minimum": 0},
                    "end": {"type": "integer", "minimum": 0},
                    "text": {"type": "string"},
                },
            },
        }
    },
}
"""The schema of span_set answers where the contract brings none."""


class Span(NamedTuple):
    """An entity; bounds are code points of the text."""

    type: str
    start: int
    end: int


def schema_of(contract: Contract) -> Mapping[str, Any]:
    """Return the contract's schema, or the one that all span_set answers satisfy."""
    return contract.get("json_schema") or SPAN_SCHEMA


def types_of(contract: Contract, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the entity types that the schema lists, then those seen in references."""
    schema = schema_of(contract)
    entities = schema.get("properties", {}).get("entities", {})
    of_type = entities.get("items", {}).get("properties", {}).get("type", {})
    return tuple(dict.fromkeys((*of_type.get("enum", ()), *names)))


def score(
    inputs: Mapping[str, Any],
    reference: Mapping[str, Any],
    output: str,
    contract: Contract,
    options: ScoringOptions,
) -> Scored:
    """Return the span counts of one item; all gold entities of unparseable output are missed."""
    reading = read_json(output, options.json_mode)
    entries = reading.value.get("entities") if isinstance(reading.value, dict) else None
    entries = entries if isinstance(entries, list) else []
    well_formed = [entry for entry in entries if _is_well_formed(entry)]
    predicted = Counter(map(_span, well_formed))
    gold = Counter(map(_span, reference["entities"]))
    right = predicted & gold
    counts = json_counts(reading, schema_of(contract))
    for key, spans in (("tp", right), ("pred", predicted), ("gold", gold)):
        counts[key] = float(spans.total())
        for span, times in spans.items():
            name = f"{key}:{span.type}"
            counts[name] = counts.get(name, 0.0) + times
    malformed = len(entries) - len(well_formed)
    counts["pred"] += malformed
    counts["malformed"] = float(malformed > 0)
    counts |= _text_counts(str(inputs.get("text", "")), well_formed, reference["entities"])
    missed = gold - right
    counts["off_by_one"] = float(_near(missed, predicted - right, 1))
    is_exact = reading.is_valid and not missed and counts["pred"] == counts["tp"]
    counts["exact"] = float(is_exact)
    f1 = 2 * counts["tp"] / (counts["pred"] + counts["gold"]) if not is_exact else 1.0
    failure = ""
    if not is_exact:
        is_close = _near(missed, predicted - right, 2) > 0
        is_bent = not counts["schema_ok"] or malformed > 0
        failure = _failure(is_bent=is_bent, is_close=is_close, is_missing=bool(missed))
    return Scored(
        counts,
        f1,
        reading.value,
        is_parseable=reading.is_valid,
        parse_detail="" if reading.is_valid else "none",
        values={"exact_match": float(is_exact), "f1": f1},
        failure=failure,
    )


def metrics(contract: Contract, names: tuple[str, ...]) -> list[Metric]:
    """Return the metrics of span_set."""
    types = types_of(contract, names)
    produced = [
        *json_metrics(has_schema=True),
        pooled("precision", _pooled_precision, "tp / predicted", synonyms=("span_set_precision",)),
        pooled("recall", _pooled_recall, "tp / gold", synonyms=("span_set_recall",)),
        pooled(
            "f1",
            _pooled_f1("tp", "pred", "gold"),
            "2tp / (predicted + gold)",
            synonyms=("span_set_f1",),
        ),
        pooled("precision_macro", _macro(types, _precision_of), "mean precision of types"),
        pooled("recall_macro", _macro(types, _recall_of), "mean recall of types with gold"),
        pooled("f1_macro", _macro(types, class_f1), "mean F1 of types", synonyms=("macro_f1",)),
        proportion("exact_match", "exact", "share of items without a wrong or missed entity"),
        proportion(
            "span_malformed_rate",
            "malformed",
            "share of outputs with an entry that is no span",
            higher_is_better=False,
        ),
        pooled(
            "span_text_f1",
            _pooled_f1("text_tp", "text_pred", "text_gold"),
            "F1 of (type, text) pairs",
        ),
        Metric(
            "off_by_one_rate",
            MetricKind.RATIO,
            "share of gold entities missed by one character at most",
            False,
            numerator="off_by_one",
            denominator="gold",
        ),
        counted("tp_total", "tp", "entities found"),
        Metric(
            "fp_total",
            MetricKind.MEASURED,
            "entities invented",
            None,
            high=None,
            formula=lambda totals, _: totals["pred"] - totals["tp"],
            unit="count",
            is_gateable=False,
        ),
        Metric(
            "fn_total",
            MetricKind.MEASURED,
            "entities missed",
            None,
            high=None,
            formula=lambda totals, _: totals["gold"] - totals["tp"],
            unit="count",
            is_gateable=False,
        ),
        *class_metrics(types),
    ]
    return produced + [
        counted(f"per_class.{slug(name)}.tp", f"tp:{name}", f"entities of {name} found")
        for name in nameable(types)
    ]


def _is_well_formed(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("type"), str)
        and all(type(entry.get(bound)) is int for bound in ("start", "end"))
    )


def _span(entry: Mapping[str, Any]) -> Span:
    return Span(entry["type"], entry["start"], entry["end"])


def _text_counts(
    text: str, predicted: list[dict[str, Any]], gold: list[dict[str, Any]]
) -> dict[str, float]:
    def texts(entries: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
        return Counter(
            (entry["type"], str(entry.get("text", text[max(entry["start"], 0) : entry["end"]])))
            for entry in entries
        )

    found, wanted = texts(predicted), texts(gold)
    return {
        "text_tp": float((found & wanted).total()),
        "text_pred": float(found.total()),
        "text_gold": float(wanted.total()),
    }


def _near(missed: Counter[Span], invented: Counter[Span], reach: int) -> int:
    """Return how many missed entities have an invented one of their type with bounds in reach."""
    return sum(
        times
        for span, times in missed.items()
        if any(
            other.type == span.type
            and abs(other.start - span.start) <= reach
            and abs(other.end - span.end) <= reach
            for other in invented
        )
    )


def _failure(*, is_bent: bool, is_close: bool, is_missing: bool) -> str:
    if is_bent:
        return "formatting_mismatch"
    if is_close:
        return "span_boundary"
    return "coverage_gap" if is_missing else "wrong_value"


def _pooled_precision(totals: Totals, arithmetic: Arithmetic) -> Number:
    both = arithmetic.ratio(1.0, totals["pred"] + totals["gold"])
    return arithmetic.ratio_or_zero(totals["tp"], totals["pred"]) + 0 * both


def _pooled_recall(totals: Totals, arithmetic: Arithmetic) -> Number:
    both = arithmetic.ratio(1.0, totals["pred"] + totals["gold"])
    return arithmetic.ratio_or_zero(totals["tp"], totals["gold"]) + 0 * both


def _pooled_f1(tp: str, predicted: str, gold: str) -> Formula:
    return lambda totals, arithmetic: arithmetic.ratio(
        2 * totals[tp], totals[predicted] + totals[gold]
    )


def _macro(types: tuple[str, ...], of_type: Any) -> Formula:
    return lambda totals, arithmetic: arithmetic.mean_where(
        [of_type(totals, name, arithmetic) for name in types],
        [totals[f"gold:{name}"] for name in types],
    )


def _precision_of(totals: Totals, name: str, arithmetic: Arithmetic) -> Number:
    return arithmetic.ratio_or_zero(totals[f"tp:{name}"], totals[f"pred:{name}"])


def _recall_of(totals: Totals, name: str, arithmetic: Arithmetic) -> Number:
    return arithmetic.ratio_or_zero(totals[f"tp:{name}"], totals[f"gold:{name}"])
