from pathlib import Path

import pytest

from brewslm.manifest.load import check_manifest
from tests.manifest.writing import BASE, assert_found, errors, findings_of, project, spec

TOKEN = "hf_" + "a1B2" * 8
PAIR = '- {name: a, type: raw, locator: "jsonl:a.jsonl"}'
OTHER_CASE = '- {name: b, type: raw, §locator: "jsonl:A.jsonl"}'
BLUEPRINT = "domain_name: d, problem_statement: p, target_user_persona: u, confidence_score: 0.9"


def source(text: str) -> str:
    return spec(f"data_sources: [{{name: a, type: raw, {text}}}]")


def blueprint(text: str) -> str:
    return spec(f"blueprint: {{{BLUEPRINT}, {text}}}")


CASES = [
    (
        "DUPLICATE_DATASET_NAME",
        "error",
        spec(f"data_sources:\n  {PAIR}\n  {PAIR.replace('name: a', '§name: A')}"),
    ),
    ("DUPLICATE_ADAPTER_NAME", "error", spec("adapters: [{name: é}, {§name: É}]")),
    (
        "DUPLICATE_GATE_ID",
        "error",
        project(
            "eval_pack: {gates: [{metric_id: f1, threshold: 0}, §{metric_id: f1, threshold: 1}]}"
        ),
    ),
    ("NAME_CHARACTERS", "error", 'metadata: {§name: "a\\u200Bb"}\n'),
    ("NAME_CHARACTERS", "error", 'metadata: {§name: "a\\u202Eb"}\n'),
    ("NAME_CHARACTERS", "error", spec('adapters: [{§name: "a\\tb"}]')),
    ("NAME_CHARACTERS", "error", 'metadata: {§name: "rows\\uFE0F"}\n'),
    ("NAME_CHARACTERS", "error", 'metadata: {§name: "rows\\u3164"}\n'),
    ("NAME_CHARACTERS", "error", 'metadata: {§name: "a\\u00A0b"}\n'),
    ("NAME_CHARACTERS", "error", 'metadata: {§name: "a\\u2800"}\n'),
    ("NAME_CHARACTERS", "error", 'metadata: {§name: "a\\U000E0101"}\n'),
    ("LOCATOR_CONFLICT", "error", source('file_path: a.csv, §locator: "csv:a.csv"')),
    ("LOCATOR_FORM", "error", source('§locator: "jsnl:a.jsonl"')),
    ("LOCATOR_FORM", "error", source("§locator: a.jsonl")),
    ("LOCATOR_FORM", "error", source('§locator: "http://example.org/a.jsonl"')),
    ("LOCATOR_FORM", "error", source('§locator: "file:a.unknown"')),
    ("SOURCE_LOCATOR_MISSING", "error", spec("data_sources: [§{name: a, type: raw}]")),
    ("HTTPS_SOURCE_UNPINNED", "error", source('§locator: "https://example.org/a.jsonl"')),
    ("HF_SOURCE_UNPINNED", "warning", source('§locator: "hf:org/rows:train"')),
    (
        "PATH_NOT_PORTABLE",
        "warning",
        spec(f"data_sources:\n  {PAIR}\n  {OTHER_CASE}"),
    ),
    ("PATH_OUTSIDE_PROJECT", "error", source('§locator: "jsonl:../a.jsonl"')),
    ("INVALID_VALUE", "error", source("file_path: a.csv, §delimiter: ab")),
    ("INVALID_VALUE", "error", source("file_path: a.csv, §delimiter: '\"'")),
    ("FIELD_UNUSED", "error", source("file_path: a.jsonl, §delimiter: ';'")),
    ("PATH_OUTSIDE_PROJECT", "error", source("§file_path: /data/a.jsonl")),
    ("PATH_OUTSIDE_PROJECT", "error", source("§file_path: 'C:/a.jsonl'")),
    ("PATH_OUTSIDE_PROJECT", "error", source("§file_path: 'data\\a.jsonl'")),
    ("PATH_OUTSIDE_PROJECT", "error", source("§file_path: ~/a.jsonl")),
    ("PATH_OUTSIDE_PROJECT", "error", spec("model: {§base_model: ./../base}")),
    ("PATH_OUTSIDE_PROJECT", "error", project("eval_pack: {§path: ../pack.json}")),
    ("BASE_MODEL_FORM", "error", spec("model: {§base_model: a/b/c}")),
    ("BASE_MODEL_FORM", "error", spec("model: {§base_model: 'hf:'}")),
    ("BASE_MODEL_FORM", "error", spec("model: {§base_model: 'builtin:micro'}")),
    ("BASE_MODEL_FORM", "error", project("training_plan: {config: {§base_model: /abs/model}}")),
    (
        "REVISION_NOT_APPLICABLE",
        "error",
        spec("model: {base_model: 'builtin:nano', §revision: main}"),
    ),
    ("MODEL_REVISION_UNPINNED", "warning", spec("model: {§base_model: org/name, revision: main}")),
    ("INVALID_VALUE", "error", spec("model: {base_model: org/name, §revision: ../main}")),
    ("INVALID_VALUE", "error", spec("model: {base_model: org/name, §revision: a/../../main}")),
    ("INVALID_VALUE", "error", spec("model: {base_model: ./m, §cache_fingerprint: 'sha256:12'}")),
    (
        "SPLIT_RATIOS",
        "error",
        project("dataset: {§split: {train: 0.8, validation: 0.1, test: 0.2}}"),
    ),
    ("SPLIT_STRATIFY_METHOD", "error", project("dataset: {split: {§stratify_by: label}}")),
    ("OUT_OF_RANGE", "error", project("dataset: {leak_check: {§ngram: 3}}")),
    ("MIX_BACK_SOURCE", "error", project("dataset: {§mix_back: {source: nobody, fraction: 0.1}}")),
    ("MIX_BACK_SOURCE", "error", project("dataset: {§mix_back: {source: pairs}}")),
    ("BUDGET_CONFLICT", "error", spec("workflow: {budget_settings: {§cap: 1, max_cost_usd: 2}}")),
    ("BUDGET_COST_UNPRICED", "warning", spec("workflow: {budget_settings: {§cap: 1}}")),
    (
        "FIELD_UNUSED",
        "warning",
        spec("dataset: {task_profile: classification, cleaning: {§min_chars: 2}}"),
    ),
    ("FIELD_UNUSED", "warning", spec("workflow: {budget_settings: {§threshold: 0.5}}")),
    ("FIELD_UNUSED", "warning", spec("workflow: {budget_settings: {§auto_cancel: true}}")),
    ("BACKEND_URL", "error", spec("workflow: {backend: {§state: 'mysql://host/db'}}")),
    ("BACKEND_URL", "error", spec("workflow: {backend: {§artifacts: 'postgresql://host/db'}}")),
    ("SECRET_IN_MANIFEST", "error", f"metadata: {{name: a, §description: 'use {TOKEN}'}}\n"),
    (
        "SECRET_IN_MANIFEST",
        "error",
        spec("workflow: {backend: {§state: 'postgresql://me:pw@host/db'}}"),
    ),
    ("SECRET_NOT_ALLOWED", "error", spec("model: {§license: 'secret://LICENSE'}")),
    ("SECTION_WITHOUT_EFFECT", "warning", spec("§export: {formats: [adapter]}")),
    (
        "SECTION_WITHOUT_EFFECT",
        "warning",
        spec("model: {base_model: 'builtin:nano'}\n§dataset: {}"),
    ),
    ("OPEN_KEY_UNREAD", "info", "metadata: {name: a, §labels: {team: desk}}\n"),
    ("OPEN_KEY_UNREAD", "info", project("export: {§extra: {a: 1}}")),
    ("OPEN_KEY_UNREAD", "info", project("deployment: {§extra: {a: 1}}")),
    ("OPEN_KEY_UNREAD", "info", source('§metadata: {a: 1}, locator: "jsonl:a.jsonl"')),
    ("OPEN_KEY_UNREAD", "info", blueprint("§deployment_target_constraints: {region: eu}")),
    (
        "MERGE_FROM_QUANTIZED",
        "info",
        project("training_plan: {config: {quantization: nf4}}\nexport: {§formats: [safetensors]}"),
    ),
    (
        "QUANTIZATION_UNUSED",
        "warning",
        project("export: {formats: [adapter], §quantization: Q8_0}"),
    ),
    (
        "TARGET_FORMAT_MISMATCH",
        "warning",
        project("export: {formats: [adapter]}\n§deployment: {target_profile_id: mobile_cpu}"),
    ),
    ("UNKNOWN_DOMAIN_PACK", "info", spec("domain: {§pack_id: mining-pack}")),
    ("UNKNOWN_DOMAIN_PROFILE", "info", spec("domain: {§profile_id: mining}")),
    ("BLUEPRINT_DOMAIN_NAME_REQUIRED", "error", spec("§blueprint: {confidence_score: 1}")),
    ("BLUEPRINT_PROBLEM_STATEMENT_REQUIRED", "error", spec("blueprint: {§problem_statement: ' '}")),
    ("BLUEPRINT_TARGET_PERSONA_REQUIRED", "error", spec("§blueprint: {domain_name: d}")),
    (
        "BLUEPRINT_OUTPUT_SCHEMA_REQUIRED",
        "error",
        spec(f"§blueprint: {{{BLUEPRINT}, task_family: classification}}"),
    ),
    (
        "BLUEPRINT_DEPLOYMENT_CONSTRAINT_CONFLICT",
        "error",
        blueprint(
            "§deployment_target_constraints:"
            " {offline_required: true, requires_cloud_inference: true}"
        ),
    ),
    ("BLUEPRINT_LOW_CONFIDENCE_BLUEPRINT", "warning", spec("blueprint: {§confidence_score: 0.4}")),
    (
        "BLUEPRINT_UNRESOLVED_ASSUMPTIONS",
        "warning",
        blueprint("§unresolved_assumptions: [none yet]"),
    ),
    (
        "TASK_FAMILY_MISMATCH",
        "warning",
        blueprint("§task_family: Chat SFT") + "  dataset: {task_profile: qa}\n",
    ),
]


@pytest.mark.parametrize(("code", "severity", "text"), CASES)
def test_each_finding_has_its_place(code: str, severity: str, text: str, tmp_path: Path) -> None:
    assert_found(tmp_path, code, severity, text)


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    findings = findings_of(tmp_path, f"metadata: {{name: a, description: '{TOKEN}'}}\n")
    assert errors(findings) == ["SECRET_IN_MANIFEST"]
    assert TOKEN not in str([finding.to_json() for finding in findings])


def test_a_secret_by_name_is_read_for_stores(tmp_path: Path) -> None:
    text = spec("workflow: {backend: {state: 'secret://STATE', artifacts: 's3://bucket/x'}}")
    assert errors(findings_of(tmp_path, text)) == []


def test_an_unknown_scheme_is_answered_with_the_nearest(tmp_path: Path) -> None:
    finding = assert_found(tmp_path, "LOCATOR_FORM", "error", source('§locator: "jsnl:a.jsonl"'))
    assert finding.actionable_fix == "write locator: jsonl:a.jsonl"


def test_a_reading_with_warnings_still_gives_a_manifest(tmp_path: Path) -> None:
    assert_found(tmp_path, "SECTION_WITHOUT_EFFECT", "warning", spec("§eval_pack: {}"))
    manifest, findings = check_manifest(tmp_path)
    assert manifest is not None
    assert manifest.findings == findings


def test_written_names_may_hold_any_visible_characters(tmp_path: Path) -> None:
    text = spec(BASE.replace("name: pairs", 'name: "Q3 mail: Zürich 東京"'))
    assert errors(findings_of(tmp_path, text)) == []
