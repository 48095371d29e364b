from pathlib import Path
from typing import Any

import pytest

from brewslm.diagnostics import Severity
from brewslm.manifest.load import check_manifest, load_manifest
from brewslm.manifest.schema import ManifestFile
from brewslm.manifest.spelling import FOREIGN_KEYS, KEY_ALIASES, VALUE_ALIASES
from brewslm.stages.training_config import TrainingConfig
from tests.manifest.writing import assert_found, config, findings_of, project, spec, write

ALIASES = [
    (spec("workflow: {§target_profile_id: vllm}"), "vllm_server"),
    (spec("workflow: {§training_preferred_plan_profile: fastest}"), "balanced"),
    (spec("workflow: {budget_settings: {§auto-cancel: true}}"), "auto_cancel"),
    (spec('model: {§base_model: "hf:org/name"}'), "org/name"),
    (spec("data_sources: [{name: a, §type: csv, file_path: a.csv}]"), "raw"),
    (spec('data_sources: [{name: a, type: raw, §locator: "file:a.ndjson"}]'), "jsonl:a.ndjson"),
    (spec("adapters: [{name: a, §source_type: parquet}]"), "raw"),
    (spec("adapters: [{name: a, §base_adapter_id: alpaca}]"), "instruction_passthrough"),
    (spec("adapters: [{name: a, §task_profile: chat}]"), "chat_sft"),
    (project("dataset: {§task_profile: extraction}"), "structured_extraction"),
    (project("training_plan: {§training_mode: SFT}"), "sft"),
    (project("training_plan: {§training_mode: instruction_sft}"), "sft"),
    (project("training_plan: {§plan_profile: best_quality}"), "max_quality"),
    (project("training_plan: {§preferred_runtime_id: builtin.local}"), "local"),
    (config("§training_runtime_id: celery"), "local"),
    (config("§optimizer: adamw_hf"), "adamw_torch"),
    (config("§beta: 0.2"), "alignment_beta"),
    (config("§kd_temperature: 3"), "distillation_temperature"),
    (config("§teacher: ./teacher"), "distillation_teacher_model"),
    (config('§distillation_teacher_model: "hf:org/big"'), "org/big"),
    (project("eval_pack: {§pack_id: evalpack.qa.strict}"), "evalpack.quality.strict"),
    (project("eval_pack: {§compare_to: production}"), "champion"),
    (
        project("eval_pack: {gates: [{metric_id: f1, threshold: 0, §baseline: base}]}"),
        "base_model",
    ),
    (project("export: {formats: [§peft]}"), "adapter"),
    (project("export: {formats: [gguf], §quantization: gguf_q4}"), "Q4_K_M"),
    (project("export: {formats: [gguf], §quantization: q8_0}"), "Q8_0"),
    (project("deployment: {§target_profile_id: local_cpu}"), "cpu_local"),
]


@pytest.mark.parametrize(("text", "canonical"), ALIASES)
def test_an_alias_is_a_warning_that_names_the_canonical_spelling(
    text: str, canonical: str, tmp_path: Path
) -> None:
    finding = assert_found(tmp_path, "ALIAS_USED", "warning", text)
    assert finding.expected == canonical
    assert canonical in finding.actionable_fix


def test_aliases_leave_no_trace_in_the_effective_manifest(tmp_path: Path) -> None:
    write(tmp_path, project("training_plan: {training_mode: sft, config: {optimizer: adamw}}"))
    first = load_manifest(tmp_path)
    canonical = "{training_mode: Instruction_SFT, config: {optimizer: adamw_torch}}"
    write(tmp_path, project(f"training_plan: {canonical}"))
    assert load_manifest(tmp_path).digest == first.digest


def test_a_format_as_role_gives_the_locator_its_scheme(tmp_path: Path) -> None:
    write(tmp_path, spec("data_sources: [{name: a, type: tsv, file_path: data/a.txt}]"))
    source = load_manifest(tmp_path).effective["data_source.a"]
    assert (source["type"], source["locator"], source["file_path"]) == (
        "raw",
        "tsv:data/a.txt",
        None,
    )


def test_every_alias_means_a_value_that_its_field_takes() -> None:
    assert set(KEY_ALIASES) == {"spec.training_plan.config", "spec.workflow.budget_settings"}
    for canonical in KEY_ALIASES["spec.training_plan.config"].values():
        assert canonical in TrainingConfig.model_fields
    for path, aliases in VALUE_ALIASES.items():
        assert path.startswith("spec.")
        assert not set(aliases) & set(aliases.values())


@pytest.mark.parametrize(
    "text",
    [
        config("§beta: 0.1\nalignment_beta: 0.1"),
        config("teacher: ./a\n§kd_teacher: ./b"),
        spec("workflow: {budget_settings: {§auto-cancel: true, auto_cancel: true}}"),
    ],
)
def test_alias_and_canonical_key_together_are_refused(text: str, tmp_path: Path) -> None:
    assert_found(tmp_path, "DUPLICATE_MEANING", "error", text)


UNAVAILABLE = [
    project("training_plan: {§preferred_runtime_id: simulate}"),
    config("§use_lora: false"),
    config("§task_type: seq2seq"),
    config("§recommended_starting_checkpoint: earlier"),
    config("§multimodal_require_media: true"),
    spec('data_sources: [{name: a, type: raw, §locator: "kaggle:someone/rows"}]'),
    spec("data_sources: [{name: a, type: raw, §file_path: data/rows.xlsx}]"),
    project("eval_pack: {§pack_id: evalpack.domain-profile}"),
    project("export: {formats: [§docker]}"),
    project("export: {formats: [gguf], §quantization: AWQ}"),
    spec("workflow: {§target_profile_id: qa_with_auto_rag}"),
]


@pytest.mark.parametrize("text", UNAVAILABLE)
def test_values_with_nothing_behind_them_are_an_error(text: str, tmp_path: Path) -> None:
    assert_found(tmp_path, "VALUE_UNAVAILABLE", "error", text)
    assert check_manifest(tmp_path)[0] is not None


TRL = {
    "per_device_train_batch_size": ("4", "batch_size: 4"),
    "num_train_epochs": ("3", "num_epochs: 3"),
    "lr_scheduler_type": ("cosine", "lr_scheduler: cosine"),
    "max_length": ("512", "max_seq_length: 512"),
    "packing": ("true", "sequence_packing: true"),
    "torch_dtype": ("bfloat16", "dtype: bfloat16"),
    "output_dir": ("out", "delete it"),
}
AXOLOTL = {
    "micro_batch_size": ("2", "batch_size: 2"),
    "sequence_len": ("2048", "max_seq_length: 2048"),
    "sample_packing": ("true", "sequence_packing: true"),
    "load_in_4bit": ("true", "quantization: nf4"),
    "lora_target_linear": ("true", "target_modules: all-linear"),
    "val_set_size": ("0.1", "spec.dataset.split"),
    "base_model_name": ("org/name", "spec.model.base_model"),
    "datasets": ("a.jsonl", "spec.data_sources[]"),
    "optim": ("adamw_torch", "optimizer: adamw_torch"),
}


@pytest.mark.parametrize("key", [*TRL, *AXOLOTL])
def test_keys_of_trl_and_axolotl_are_answered_with_ours(key: str, tmp_path: Path) -> None:
    value, remedy = (TRL | AXOLOTL)[key]
    finding = assert_found(tmp_path, "FOREIGN_KEY", "error", config(f"§{key}: {value}"))
    assert remedy in finding.actionable_fix


def test_every_foreign_key_is_answered_with_a_name_that_exists(tmp_path: Path) -> None:
    text = config("\n".join(f"{key}: 1" for key in FOREIGN_KEYS))
    found = [item for item in findings_of(tmp_path, text) if item.code == "FOREIGN_KEY"]
    assert {item.found for item in found} == set(FOREIGN_KEYS) - set(TrainingConfig.model_fields)
    assert {item.severity for item in found} == {Severity.ERROR}
    for foreign in FOREIGN_KEYS.values():
        assert foreign.note if not foreign.name else _exists(foreign.name), foreign


SCHEMA: dict[str, Any] = ManifestFile.model_json_schema()


def _exists(name: str) -> bool:
    if not name.startswith("spec."):
        return name in TrainingConfig.model_fields
    definitions: dict[str, Any] = SCHEMA["$defs"]
    here = SCHEMA
    for step in name.replace("[]", "").split("."):
        if step not in here["properties"]:
            return False
        found = here["properties"][step]
        reference = found.get("$ref") or found.get("items", {}).get("$ref", "")
        here = definitions.get(reference.rpartition("/")[2], {"properties": {}})
    return True
