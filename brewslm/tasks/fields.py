"""Scoring of extracted objects, field by field."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from brewslm.tasks.arithmetic import Arithmetic, Number, Totals
from brewslm.tasks.json_output import JsonReading, read_json
from brewslm.tasks.metric import Formula, Metric, counted, nameable, pooled, proportion, slug
from brewslm.tasks.normalisers import words
from brewslm.tasks.schemas import (
    has_enum_violation,
    has_extra_field,
    is_compliant,
    leaves,
    value_key,
)
from brewslm.tasks.task import Contract, Scored, ScoringOptions
from brewslm.tasks.text_answers import token_overlap


def score(
    _inputs: Mapping[str, Any],
    reference: Mapping[str, Any],
    output: str,
    contract: Contract,
    options: ScoringOptions,
) -> Scored:
    """Return the field counts of one item; unparseable output is wrong in every field."""
    schema = contract.get("json_schema") or {}
    gold = reference["object"]
    reading = read_json(output, options.json_mode)
    found = reading.value if isinstance(reading.value, dict) else {}
    is_equal = reading.is_valid and value_key(reading.value, schema) == value_key(gold, schema)
    counts = json_counts(reading, schema) | {"em": float(is_equal)}
    counts |= _field_counts(found, gold, schema, is_valid=reading.is_valid)
    counts |= _leaf_counts(found, gold, schema)
    if reading.is_valid:
        counts["enum_violation"] = float(has_enum_violation(reading.value, schema))
        counts["extra_field"] = float(has_extra_field(reading.value, schema))
    is_bent = not reading.is_valid or not counts.get("schema_ok", 1.0)
    missing = bool(gold.keys() - found.keys())
    return Scored(
        counts,
        float(is_equal),
        reading.value,
        is_parseable=reading.is_valid,
        parse_detail="" if reading.is_valid else "none",
        values={"overall_em": float(is_equal)},
        failure=_failure(is_equal=is_equal, is_bent=is_bent, is_missing=missing),
    )


def json_counts(reading: JsonReading, schema: Mapping[str, Any]) -> dict[str, float]:
    """Return the counts of JSON validity and, where there is a schema, of compliance."""
    counts = {"json_valid": float(reading.is_valid), "strict_json": float(reading.is_whole)}
    if schema:
        is_fine = reading.is_valid and is_compliant(reading.value, schema)
        counts["schema_ok"] = float(is_fine)
    return counts


def json_metrics(*, has_schema: bool) -> list[Metric]:
    """Return the metrics of JSON output."""
    compliance = proportion(
        "schema_compliance_rate", "schema_ok", "share of outputs that satisfy the whole schema"
    )
    return [
        proportion("json_validity_rate", "json_valid", "share of outputs that parse as JSON"),
        proportion("strict_json_rate", "strict_json", "share of outputs that are JSON throughout"),
        *([compliance] if has_schema else []),
    ]


def metrics(contract: Contract, names: tuple[str, ...]) -> list[Metric]:
    """Return the metrics of field_match."""
    schema = contract.get("json_schema") or {}
    fields = tuple(dict.fromkeys((*schema.get("properties", {}), *names)))
    produced = [
        *json_metrics(has_schema=bool(schema)),
        proportion(
            "overall_em",
            "em",
            "share of objects equal to the reference",
            normaliser="json_scalar",
            synonyms=("exact_match",),
        ),
        _over_fields("field_exact_match_rate", fields, "field_right", "field_gold"),
        _over_fields(
            "field_exact_match_rate_valid", fields, "field_right", "field_gold_valid", False
        ),
        _over_fields("field_f1", fields, "field_f1", "field_gold", synonyms=("f1",)),
        pooled(
            "field_precision", _leaf_precision, "share of (pointer, value) pairs that are right"
        ),
        pooled("field_recall", _leaf_recall, "share of (pointer, value) pairs that were found"),
        pooled("field_set_f1", _leaf_f1, "F1 of (pointer, value) pairs"),
    ]
    if schema:
        produced += [
            proportion(
                "enum_violation_rate",
                "enum_violation",
                "share of outputs with a value outside its enum",
                higher_is_better=False,
            ),
            proportion(
                "extra_field_rate",
                "extra_field",
                "share of outputs with a field that the schema lacks",
                higher_is_better=False,
            ),
        ]
    for name in nameable(fields):
        produced += [
            proportion(
                f"per_field.{slug(name)}.em",
                f"field_right:{name}",
                f"share of items with field {name} right",
                denominator=f"field_gold:{name}",
                normaliser="json_scalar",
            ),
            pooled(
                f"per_field.{slug(name)}.f1",
                _field_ratio(name, "field_f1", "field_gold"),
                f"mean token F1 of field {name}",
                normaliser="words",
            ),
            counted(
                f"per_field.{slug(name)}.support", f"field_gold:{name}", f"items with field {name}"
            ),
        ]
    return produced


def _field_counts(
    found: Mapping[str, Any], gold: Mapping[str, Any], schema: Mapping[str, Any], *, is_valid: bool
) -> dict[str, float]:
    counts: dict[str, float] = {}
    properties = schema.get("properties", {})
    for name, wanted in gold.items():
        rules = properties.get(name)
        counts[f"field_gold:{name}"] = 1.0
        if is_valid:
            counts[f"field_gold_valid:{name}"] = 1.0
        if name not in found:
            continue
        is_right = value_key(found[name], rules) == value_key(wanted, rules)
        counts[f"field_right:{name}"] = float(is_right)
        overlap = float(is_right)
        if isinstance(found[name], str) and isinstance(wanted, str):
            overlap = token_overlap(words(found[name]).split(), words(wanted).split())[0]
        counts[f"field_f1:{name}"] = overlap
    return counts


def _leaf_counts(
    found: Mapping[str, Any], gold: Mapping[str, Any], schema: Mapping[str, Any]
) -> dict[str, float]:
    predicted = Counter(leaves(found, schema)) if found else Counter[Any]()
    wanted = Counter(leaves(gold, schema)) if gold else Counter[Any]()
    return {
        "leaf_tp": float((predicted & wanted).total()),
        "leaf_pred": float(predicted.total()),
        "leaf_gold": float(wanted.total()),
    }


def _failure(*, is_equal: bool, is_bent: bool, is_missing: bool) -> str:
    if is_equal:
        return ""
    if is_bent:
        return "formatting_mismatch"
    return "coverage_gap" if is_missing else "wrong_value"


def _over_fields(
    metric_id: str,
    fields: tuple[str, ...],
    numerator: str,
    denominator: str,
    is_gateable: bool = True,
    synonyms: tuple[str, ...] = (),
) -> Metric:
    def formula(totals: Totals, arithmetic: Arithmetic) -> Number:
        shares = [
            arithmetic.ratio_or_zero(totals[f"{numerator}:{name}"], totals[f"{denominator}:{name}"])
            for name in fields
        ]
        return arithmetic.mean_where(shares, [totals[f"{denominator}:{name}"] for name in fields])

    return pooled(
        metric_id,
        formula,
        "mean over fields of the share of items, among those whose reference has the field",
        is_gateable=is_gateable,
        normaliser="words" if numerator == "field_f1" else "json_scalar",
        synonyms=synonyms,
    )


def _field_ratio(name: str, numerator: str, denominator: str) -> Formula:
    return lambda totals, arithmetic: arithmetic.ratio(
        totals[f"{numerator}:{name}"], totals[f"{denominator}:{name}"]
    )


def _leaf_precision(totals: Totals, arithmetic: Arithmetic) -> Number:
    return arithmetic.ratio(totals["leaf_tp"], totals["leaf_pred"])


def _leaf_recall(totals: Totals, arithmetic: Arithmetic) -> Number:
    return arithmetic.ratio(totals["leaf_tp"], totals["leaf_gold"])


def _leaf_f1(totals: Totals, arithmetic: Arithmetic) -> Number:
    return arithmetic.ratio(2 * totals["leaf_tp"], totals["leaf_pred"] + totals["leaf_gold"])
