"""A manifest with many mistakes: every one is told, whatever else is wrong."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.manifest.load import FindingsError, check_manifest, load_manifest

_MANIFEST = """api_version: brewslm/v1
kind: Project
metadata:
  name: many
spec:
  model: {base_model: builtin:nano}
  data_sources:
    - {name: first, type: raw, file_path: data/rows.jsonl, adapter: pairs}
    - {name: second, type: raw, file_path: data/rows.jsonl, adapter: pairs}
    - {name: third, type: cleaned, file_path: data/rows.jsonl, adapter: pairs}
  adapters:
    - {name: pairs, base_adapter_id: qa_pair_passthrough, task_profile: qa}
  training_plan:
    training_mode: sft
    config:
      learning_rate: 2.0e-4
      num_epochs: 3
      lora_r: 8
"""
_MISTAKES = {
    FindingCode.UNKNOWN_KEY: ("  name: many", "  name: many\n  lable: {a: b}"),
    FindingCode.BASE_MODEL_FORM: ("builtin:nano", "builtin:mega"),
    FindingCode.SOURCE_NOT_FOUND: ("type: raw, file_path: data/rows", "type: raw, file_path: none"),
    FindingCode.DUPLICATE_DATASET_NAME: ("name: second", "name: first"),
    FindingCode.UNKNOWN_DATASET_TYPE: ("type: cleaned", "type: gold"),
    FindingCode.UNKNOWN_MAPPER: (
        "base_adapter_id: qa_pair_passthrough",
        "base_adapter_id: qa_pear_passthrough",
    ),
    FindingCode.WRONG_TYPE: ("num_epochs: 3", "num_epochs: three"),
    FindingCode.OUT_OF_RANGE: ("lora_r: 8", "lora_r: 0"),
    FindingCode.NUMBER_FORMAT: ("learning_rate: 2.0e-4", "learning_rate: 1_000"),
    FindingCode.FOREIGN_KEY: ("    config:", "    config:\n      micro_batch_size: 4"),
    FindingCode.YAML_DUPLICATE_KEY: ("mode: sft", "mode: sft\n    training_mode: sft"),
    FindingCode.PATH_OUTSIDE_PROJECT: (
        "  adapters:",
        "    - {name: fourth, type: raw, locator: 'jsonl:../outside.jsonl'}\n  adapters:",
    ),
    FindingCode.PATH_NOT_REGULAR_FILE: (
        "  data_sources:",
        "  data_sources:\n    - {name: folder, type: raw, file_path: data.jsonl}",
    ),
    FindingCode.MISSING_FIELD: (
        "  adapters:",
        "  adapters:\n    - {base_adapter_id: qa_pair_passthrough}",
    ),
}
_FILES_ASIDE = {FindingCode.SOURCE_NOT_FOUND, FindingCode.PATH_NOT_REGULAR_FILE}
"""What only a plan looks for."""


def _write(folder: Path, codes: set[FindingCode]) -> None:
    text = _MANIFEST
    for code in sorted(codes):
        old, new = _MISTAKES[code]
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "brewslm.yaml").write_text(text)


def _errors(findings: tuple[Finding, ...]) -> set[str]:
    return {item.code for item in findings if item.severity is Severity.ERROR}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data.jsonl").mkdir()
    (tmp_path / "data" / "rows.jsonl").write_text('{"question": "a?", "answer": "b"}\n')
    return tmp_path


@pytest.mark.parametrize("code", sorted(set(_MISTAKES) - _FILES_ASIDE))
def test_one_mistake_is_one_finding(folder: Path, code: FindingCode) -> None:
    _write(folder, {code})
    assert _errors(check_manifest(folder)[1]) == {code}


@given(st.sets(st.sampled_from(sorted(_MISTAKES)), min_size=2))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_mistake_hides_another(folder: Path, codes: set[FindingCode]) -> None:
    _write(folder, codes)
    if codes <= _FILES_ASIDE:
        return
    told = _errors(check_manifest(folder)[1])
    assert told == codes - _FILES_ASIDE
    with pytest.raises(FindingsError) as caught:
        load_manifest(folder)
    assert _errors(caught.value.findings) == codes


def test_every_finding_has_its_line_and_a_remedy(folder: Path) -> None:
    _write(folder, set(_MISTAKES))
    with pytest.raises(FindingsError) as caught:
        load_manifest(folder)
    assert all(item.actionable_fix for item in caught.value.findings)
    lines = {item.code: item.place.line for item in caught.value.findings}
    text = (folder / "brewslm.yaml").read_text().splitlines()
    for code, word in {
        FindingCode.UNKNOWN_KEY: "lable",
        FindingCode.SOURCE_NOT_FOUND: "file_path: none",
        FindingCode.PATH_NOT_REGULAR_FILE: "file_path: data.jsonl}",
        FindingCode.PATH_OUTSIDE_PROJECT: "../outside.jsonl",
        FindingCode.NUMBER_FORMAT: "1_000",
        FindingCode.YAML_DUPLICATE_KEY: "training_mode",
    }.items():
        assert word in text[lines[code] - 1]
