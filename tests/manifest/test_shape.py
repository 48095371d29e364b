from pathlib import Path

import pytest

from brewslm.diagnostics import Severity
from tests.manifest.writing import (
    BASE,
    HEAD,
    assert_found,
    config,
    errors,
    findings_of,
    project,
    spec,
)

CASES = [
    ("UNSUPPORTED_API_VERSION", "error", "§api_version: brewslm/v2\nmetadata: {name: a}\n"),
    ("UNSUPPORTED_KIND", "error", "§kind: Pipeline\nmetadata: {name: a}\n"),
    ("MISSING_FIELD", "error", "§api_version: brewslm/v1\n"),
    ("MISSING_FIELD", "error", "§metadata: {}\n"),
    ("MISSING_FIELD", "error", "metadata: {§name: ''}\n"),
    ("UNKNOWN_KEY", "error", "metadata: {name: a, §nmae: b}\n"),
    ("UNKNOWN_KEY", "error", HEAD + "§specs: {}\n"),
    ("UNKNOWN_KEY", "error", config("§lora_rnk: 8")),
    ("UNKNOWN_KEY", "error", config("§observability: {a: 1}")),
    ("FOREIGN_KEY", "error", config("§per_device_train_batch_size: 4")),
    ("FOREIGN_KEY", "error", config("§trust_remote_code: true")),
    ("INVALID_VALUE", "error", config("§lora_bias: some")),
    ("INVALID_VALUE", "error", config("§init_lora_weights: randomly")),
    ("INVALID_VALUE", "error", project("dataset: {§curriculum: hard}")),
    ("INVALID_VALUE", "error", project("export: {formats: [adapter, §zip]}")),
    ("INVALID_VALUE", "error", project("export: {formats: [tensorrt, §zip]}")),
    ("OUT_OF_RANGE", "error", config("§lora_r: 0")),
    ("OUT_OF_RANGE", "error", config("§max_seq_length: 127")),
    ("OUT_OF_RANGE", "error", config("lr_scheduler_kwargs: {§min_lr_rate: 2}")),
    ("OUT_OF_RANGE", "error", spec("model: {}\ndataset: {split: {§train: 1.5}}")),
    ("OUT_OF_RANGE", "error", f"metadata: {{§name: {'x' * 256}}}\n"),
    ("WRONG_TYPE", "error", config('§learning_rate: "2e-4"')),
    ("WRONG_TYPE", "error", config("§lora_r: 8.5")),
    ("WRONG_TYPE", "error", config("§bf16: yes")),
    ("WRONG_TYPE", "error", config("§bf16: 1")),
    ("WRONG_TYPE", "error", config("§lora_r: true")),
    ("WRONG_TYPE", "error", "metadata: {§name: 1.10}\n"),
    ("WRONG_TYPE", "error", "metadata: {§name: true}\n"),
    ("WRONG_TYPE", "error", "metadata: {name: a, labels: {§team: 7}}\n"),
    ("WRONG_TYPE", "error", spec("§data_sources: {name: a}")),
    ("WRONG_TYPE", "error", spec("data_sources: [§rows]")),
    ("WRONG_TYPE", "error", spec("§model: nano")),
    ("WRONG_TYPE", "error", project("export: {§formats: adapter}")),
    ("UNQUOTED_DATE", "error", "metadata: {§name: 2025-03-01}\n"),
    ("UNQUOTED_DATE", "error", "metadata: {name: a, labels: {§on: 2025-03-01}}\n"),
    ("UNQUOTED_DATE", "error", project("blueprint: {expected_output_examples: [§2025-03-01]}")),
    ("NULL_NOT_ALLOWED", "error", "metadata: {§name: }\n"),
    ("NULL_NOT_ALLOWED", "error", spec("workflow: {§protect: ~}")),
    ("NULL_NOT_ALLOWED", "error", spec("data_sources: [§null]")),
    ("NULL_NOT_ALLOWED", "error", spec("eval_pack: {datasets: [test, §null]}")),
    ("NULL_NOT_ALLOWED", "error", spec("adapters: [{name: a, field_mapping: {§text: null}}]")),
    ("VARIABLE_LITERAL", "warning", "metadata: {§name: '${NAME}'}\n"),
    ("PLACEHOLDER_VALUE", "warning", spec('model: {§cache_fingerprint: "sha256:..."}')),
    ("UNKNOWN_DATASET_TYPE", "error", spec("data_sources: [{name: a, §type: holdout}]")),
    ("UNKNOWN_MAPPER", "error", spec("adapters: [{name: a, §base_adapter_id: qa}]")),
    ("UNKNOWN_PIPELINE_STAGE", "error", spec("workflow: {§pipeline_stage: done}")),
    ("UNKNOWN_TARGET_PROFILE", "error", spec("workflow: {§target_profile_id: phone}")),
    ("UNKNOWN_TARGET_PROFILE", "error", project("deployment: {§target_profile_id: phone}")),
    ("OPTIMIZER_NOT_FOR_LORA", "error", config("§optimizer: galore_adamw")),
    ("OPTIMIZER_NOT_FOR_LORA", "error", config("§optimizer: adalomo")),
]


@pytest.mark.parametrize(("code", "severity", "text"), CASES)
def test_each_finding_has_its_place(code: str, severity: str, text: str, tmp_path: Path) -> None:
    assert_found(tmp_path, code, severity, text)


def test_one_wrong_value_of_a_union_is_one_finding(tmp_path: Path) -> None:
    assert errors(findings_of(tmp_path, config("target_modules: 7"))) == ["WRONG_TYPE"]
    assert errors(findings_of(tmp_path, config("completion_only_loss: perhaps"))) == [
        "INVALID_VALUE"
    ]


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (config("§lora_rnk: 8"), "lora_r: 8"),
        (config("§lora_bias: non"), "write lora_bias: none"),
        ("metadata: {§name: 1.10}\n", 'quote it: "1.10"'),
        (config("§target_profile_id: cpu_local"), "move it to spec.deployment.target_profile_id"),
        (spec("workflow: {§target_profile_id: cpu_locla}"), "write target_profile_id: cpu_local"),
    ],
)
def test_the_remedy_is_the_edit(text: str, remedy: str, tmp_path: Path) -> None:
    (finding,) = [
        item
        for item in findings_of(tmp_path, text.replace("§", ""))
        if item.severity is Severity.ERROR
    ]
    assert remedy in finding.actionable_fix


@pytest.mark.parametrize(
    "text",
    [
        spec("workflow:\ndomain: ~\ndata_sources: null\nadapters:\ntraining_plan: {config: }"),
        config("learning_rate: null\nlora_r: ~\nreport_to:"),
        spec("model: {revision: null}\ndeployment:\nblueprint: null"),
        project("blueprint: null\neval_pack: {datasets: null, gates: ~}"),
        HEAD + "spec:\n",
    ],
)
def test_null_means_not_written_for_sections_lists_and_the_recipe(
    text: str, tmp_path: Path
) -> None:
    assert errors(findings_of(tmp_path, text)) == []


def test_quoted_words_are_texts_and_no_values(tmp_path: Path) -> None:
    text = spec(BASE.replace("name: pairs", 'name: "1.10"') + 'dataset: {cleaning: {pii: "off"}}')
    assert errors(findings_of(tmp_path, text)) == []


def test_a_key_of_another_section_is_pointed_out(tmp_path: Path) -> None:
    finding = assert_found(tmp_path, "UNKNOWN_KEY", "error", spec("model: {§lora_r: 8}"))
    assert finding.suggestions == ("spec.training_plan.config.lora_r",)


def test_keys_that_begin_with_observability_are_recorded(tmp_path: Path) -> None:
    assert (
        errors(findings_of(tmp_path, config("observability_run: desk\nobservability_x: 1"))) == []
    )
    assert_found(tmp_path, "WRONG_TYPE", "error", config("§observability_x: [1]"))
