from pathlib import Path

import pytest

from brewslm.manifest.load import load_manifest
from tests.manifest.writing import assert_found, errors, findings_of, spec, write


def adapter(text: str) -> str:
    return spec(f"adapters: [{{name: a, {text}}}]")


LABELS = "base_adapter_id: label_to_classification"
FIELDS = "base_adapter_id: kv_to_structured"
CASES = [
    ("INVALID_VALUE", adapter("§source_ref: nobody")),
    ("FIELD_MAPPING_REVERSED", adapter(LABELS + ", §field_mapping: {body: text}")),
    ("MAPPER_OPTION", adapter(LABELS + ", field_mapping: {text: body, §lable: kind}")),
    ("MAPPER_OPTION", adapter(LABELS + ", adapter_config: {§allowed_label: [a]}")),
    ("MAPPER_OPTION", adapter(FIELDS + ", §adapter_config: {fields: 7}")),
    ("MAPPER_OPTION", spec(f"adapters: [§{{name: a, {FIELDS}}}]")),
    ("MAPPER_OPTION", adapter("adapter_config: {§min_confidenc: 0.5}")),
    ("MAPPER_OPTION", adapter("§adapter_config: {min_confidence: high}")),
    ("MAPPER_OPTION", adapter(LABELS + ", §task_profile: qa")),
    ("UNKNOWN_KEY", adapter("output_contract: {§allowed_label: [a]}")),
    ("INVALID_VALUE", adapter("output_contract: {§scoring_mode: spans}")),
    ("WRONG_TYPE", adapter("output_contract: {§min_rows: many}")),
    ("JSON_SCHEMA_INVALID", adapter("output_contract: {json_schema: {§type: objekt}}")),
]


@pytest.mark.parametrize(("code", "text"), CASES)
def test_each_finding_has_its_place(code: str, text: str, tmp_path: Path) -> None:
    assert_found(tmp_path, code, "error", text)


def test_a_turned_mapping_is_written_the_right_way_round(tmp_path: Path) -> None:
    text = adapter(LABELS + ", §field_mapping: {x: label}")
    finding = assert_found(tmp_path, "FIELD_MAPPING_REVERSED", "error", text)
    assert finding.actionable_fix == "write field_mapping: {label: x}"


def test_what_fits_its_mapper_has_no_error(tmp_path: Path) -> None:
    text = adapter(
        FIELDS + ", field_mapping: {text: body}, adapter_config: {fields: {a: b}, required: [a]},"
        " output_contract: {scoring_mode: field_match, required_fields: [answer.a]}"
    )
    assert errors(findings_of(tmp_path, text)) == []


SOURCES = """
data_sources:
  - {name: one, type: raw, locator: "jsonl:one.jsonl"}
  - {name: two, type: gold_test, locator: "jsonl:two.jsonl"}
"""


@pytest.mark.parametrize(
    ("adapters", "bound"),
    [
        ("[]", (None, None)),
        ("[{name: a}]", ("a", None)),
        ("[{name: a, status: draft}]", (None, None)),
        ("[{name: a, source_ref: two}, {name: b}]", ("b", "a")),
        ("[{name: a, source_ref: one}, {name: b}]", ("a", None)),
        ("[{name: a, source_type: gold_test}]", (None, "a")),
    ],
)
def test_the_first_rule_that_holds_binds(
    adapters: str, bound: tuple[str | None, ...], tmp_path: Path
) -> None:
    write(tmp_path, spec(SOURCES + f"adapters: {adapters}"))
    effective = load_manifest(tmp_path).effective
    found = tuple(effective[f"data_source.{name}"]["adapter"] for name in ("one", "two"))
    assert found == bound


BINDING = [
    (
        "UNKNOWN_ADAPTER",
        "error",
        "data_sources: [{name: a, type: raw, file_path: a.csv, §adapter: mine}]",
    ),
    (
        "ADAPTER_BINDING_AMBIGUOUS",
        "error",
        "data_sources: [§{name: a, type: raw, file_path: a.csv}]\nadapters: [{name: x}, {name: y}]",
    ),
    ("ADAPTER_UNUSED", "info", "adapters: [§{name: x}]"),
    (
        "TASK_PROFILE_CONFLICT",
        "error",
        "adapters: [{name: x, task_profile: qa}, {name: y, task_profile: chat_sft}]\n§dataset: {}",
    ),
]


@pytest.mark.parametrize(("code", "severity", "text"), BINDING)
def test_binding_never_guesses(code: str, severity: str, text: str, tmp_path: Path) -> None:
    finding = assert_found(tmp_path, code, severity, spec(text))
    if code == "ADAPTER_BINDING_AMBIGUOUS":
        assert finding.suggestions == ("x", "y")
