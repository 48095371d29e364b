"""Structured extraction: JSON reading, field rules, span rules."""

import random
from collections import Counter
from typing import Any

import jsonschema
import pytest

from brewslm.tasks.arithmetic import summed
from brewslm.tasks.json_output import read_json
from brewslm.tasks.metrics import produced_metrics
from brewslm.tasks.profiles.structured_extraction import score
from brewslm.tasks.schemas import value_key
from brewslm.tasks.task import DEFAULT_OPTIONS

SCHEMA = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "x-normaliser": "squad"},
        "size": {"type": "number"},
        "kind": {"enum": ["a", "b"]},
        "tags": {"type": "array", "x-unordered": True},
    },
}
FIELDS = {"json_schema": SCHEMA, "scoring_mode": "field_match"}
SPANS = {"json_schema": None, "scoring_mode": "span_set"}


@pytest.mark.parametrize(
    ("output", "value", "is_whole"),
    [
        ('{"a": 1}', {"a": 1}, True),
        (' [1, "]"] ', [1, "]"], True),
        ('```json\n{"a": "}"}\n```', {"a": "}"}, False),
        ('Sure: {"a": {"b": "\\"}"}} done {', {"a": {"b": '"}'}}, False),
    ],
)
def test_first_value_is_found(output: str, value: Any, is_whole: bool) -> None:
    found = read_json(output, "first_value")
    assert (found.value, found.is_valid, found.is_whole) == (value, True, is_whole)
    assert read_json(output, "strict").is_valid is is_whole


@pytest.mark.parametrize(
    "output",
    ["", "no json", '{"a": 1, "a": 2}', '{"a": NaN}', '{"a": 1,}', '{"a": 1', "{see} {}", "]["],
)
def test_inexact_json_is_unparseable(output: str) -> None:
    assert not read_json(output, "first_value").is_valid


@pytest.mark.parametrize(
    ("left", "right", "is_equal"),
    [
        (1, 1.0, True),
        (True, 1, False),
        ("1", 1, False),
        ("True", True, False),
        (None, "null", False),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}, True),
        ([1, 2], [2, 1], False),
        ("caf\u00e9", "cafe\u0301 ", True),
    ],
)
def test_equality_of_values(left: Any, right: Any, is_equal: bool) -> None:
    assert (value_key(left, {}) == value_key(right, {})) is is_equal


def test_schema_loosens_order_and_words() -> None:
    assert value_key([1, 2, 2], {"x-unordered": True}) == value_key(
        [2, 1, 2], {"x-unordered": True}
    )
    loose = {"x-normaliser": "squad"}
    assert value_key("The Firm", loose) == value_key("firm", loose)
    assert value_key("The Firm", loose | {"pattern": "."}) != value_key(
        "firm", loose | {"pattern": "."}
    )


def values(pairs: list[tuple[dict[str, Any], str]], contract: dict[str, Any]) -> dict[str, float]:
    items = [
        {"n": 1.0} | score({"text": "x" * 50}, gold, output, contract, DEFAULT_OPTIONS).counts
        for gold, output in pairs
    ]
    names = tuple(
        sorted({entity["type"] for gold, _ in pairs for entity in gold.get("entities", [])})
    )
    totals = summed(items)
    metrics = produced_metrics("structured_extraction", contract, names)
    return {key: float(metric.value(totals)) for key, metric in metrics.items()}


@pytest.mark.case("EVA-09")
def test_unparseable_output_is_wrong_in_every_field() -> None:
    gold = {"object": {"name": "Ada", "size": 3}}
    found = values([(gold, '{"name": "Ada", "size": 3.0}'), (gold, "sorry")], FIELDS)
    assert found["overall_em"] == 0.5
    assert found["field_exact_match_rate"] == 0.5
    assert found["field_exact_match_rate_valid"] == 1.0
    assert found["per_field.size.em"] == 0.5
    assert found["json_validity_rate"] == found["schema_compliance_rate"] == 0.5


def test_invented_fields_cost_precision_and_equality() -> None:
    gold = {"object": {"name": "Ada"}}
    found = values([(gold, '{"name": "Ada", "size": 3, "color": "red"}')], FIELDS)
    assert found["overall_em"] == 0
    assert found["field_precision"] == pytest.approx(1 / 3)
    assert found["field_recall"] == 1
    assert found["extra_field_rate"] == 1


def test_valid_json_with_wrong_values_earns_nothing_but_validity() -> None:
    gold = {"object": {"name": "Ada", "kind": "a"}}
    found = values([(gold, '{"name": "Bob", "kind": "z"}')], FIELDS)
    assert found["json_validity_rate"] == 1
    assert found["overall_em"] == found["field_f1"] == found["schema_compliance_rate"] == 0
    assert found["enum_violation_rate"] == 1


def test_empty_reference_needs_an_empty_object() -> None:
    assert values([({"object": {}}, "{}")], FIELDS)["overall_em"] == 1
    assert values([({"object": {}}, '{"name": ""}')], FIELDS)["overall_em"] == 0


@pytest.mark.parametrize(
    "output", ['{"name": 1}', '{"name": "x"}', '{"name": "x", "kind": "c"}', "[]", '{"size": 1}']
)
def test_compliance_equals_jsonschema(output: str) -> None:
    wanted = jsonschema.Draft202012Validator(SCHEMA).is_valid(read_json(output, "strict").value)
    assert values([({"object": {"name": "x"}}, output)], FIELDS)["schema_compliance_rate"] == wanted


def spans_json(spans: list[tuple[str, int, int]]) -> str:
    listed = ", ".join(f'{{"type": "{t}", "start": {s}, "end": {e}}}' for t, s, e in spans)
    return f'{{"entities": [{listed}]}}'


def as_reference(spans: list[tuple[str, int, int]]) -> dict[str, Any]:
    return {"entities": [{"type": t, "start": s, "end": e} for t, s, e in spans]}


@pytest.mark.parametrize("seed", range(30))
def test_span_metrics_equal_own_counts(seed: int) -> None:
    generator = random.Random(seed)  # noqa: S311  seeded cases

    def draw() -> list[tuple[str, int, int]]:
        starts = [generator.randint(0, 4) for _ in range(generator.randint(0, 4))]
        return [(generator.choice("AB"), at, at + generator.randint(1, 2)) for at in starts]

    cases = [(draw(), draw()) for _ in range(8)]
    tp = sum((Counter(gold) & Counter(found)).total() for gold, found in cases)
    predicted = sum(len(found) for _, found in cases)
    wanted = sum(len(gold) for gold, _ in cases)
    found = values([(as_reference(gold), spans_json(out)) for gold, out in cases], SPANS)
    assert found["f1"] == pytest.approx(2 * tp / (predicted + wanted), abs=1e-12)
    assert found["precision"] == pytest.approx(tp / predicted if predicted else 0, abs=1e-12)
    assert found["recall"] == pytest.approx(tp / wanted if wanted else 0, abs=1e-12)
    assert found["exact_match"] == sum(Counter(a) == Counter(b) for a, b in cases) / len(cases)
    assert (found["fp_total"], found["fn_total"]) == (predicted - tp, wanted - tp)


def test_no_entity_anywhere_is_undefined_not_perfect() -> None:
    found = values([(as_reference([]), spans_json([]))], SPANS)
    assert found["exact_match"] == 1
    assert all(found[key] != found[key] for key in ("precision", "recall", "f1"))


def test_shift_by_one_is_a_miss_and_an_invention() -> None:
    found = values([(as_reference([("A", 0, 3)]), spans_json([("A", 1, 4)]))], SPANS)
    assert found["f1"] == 0
    assert found["off_by_one_rate"] == 1


def test_duplicate_and_malformed_entries_are_inventions() -> None:
    output = spans_json([("A", 0, 3), ("A", 0, 3)]).replace("}]", "}, 7]")
    found = values([(as_reference([("A", 0, 3)]), output)], SPANS)
    assert found["precision"] == pytest.approx(1 / 3)
    assert found["recall"] == 1
    assert found["span_malformed_rate"] == 1


def test_unparseable_output_misses_every_entity() -> None:
    found = values([(as_reference([("A", 0, 3), ("B", 4, 5)]), "none")], SPANS)
    assert (found["fn_total"], found["recall"]) == (2, 0)
