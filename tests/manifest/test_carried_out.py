from pathlib import Path

import pytest

from brewslm.diagnostics import Finding
from brewslm.manifest.load import check_manifest
from brewslm.manifest.starter import starter_text
from tests.manifest.writing import MARK, config, project, spec, write

CASES = [
    spec("data_sources: [{name: a, type: raw, §locator: 'hf:org/rows:train:0123'}]"),
    project("adapters: [{name: x, §task_profile: rag_qa}]"),
    project("dataset: {§task_profile: summarization}"),
    project("dataset: {§curriculum: length}"),
    project("training_plan: {§training_mode: orpo}"),
    project("training_plan: {§pin_environment: device}"),
    project("training_plan: {§preferred_runtime_id: cluster}"),
    config("§kl_lambda: 0.1"),
    config("§use_lora: false"),
    config("§trainer_backend: hf_trainer"),
    config("§torch_compile: true"),
    config("§report_to: [wandb]"),
    config("§recommended_starting_checkpoint: earlier"),
    config("§multimodal_native_beta: true"),
    config("§packing_strategy: wrapped"),
    config("§lora_bias: all"),
    config("§init_lora_weights: olora"),
    config("§init_lora_weights: pissa_niter_4"),
    config("§padding_free: true"),
    config("§optimizer: schedule_free_adamw"),
    config("§training_runtime_id: cluster"),
    config("§resume: never"),
    config("§oom_retry_seq_shrink: 0.5"),
    config("§assistant_only_loss: false"),
    config("§lr_scheduler: warmup_stable_decay"),
    config("§lr_scheduler: cosine_with_min_lr"),
    config("lr_scheduler: linear\nlr_scheduler_kwargs: {§num_cycles: 2}"),
    project("eval_pack: {§epochs: 2, generation: {temperature: 1}}"),
    project("export: {§formats: [gguf]}"),
    project("export: {formats: [adapter], verify: {§rerun_gates: true}}"),
]


def refused(folder: Path) -> list[Finding]:
    return [item for item in check_manifest(folder)[1] if item.severity == "error"]


@pytest.mark.parametrize("marked", CASES)
def test_what_is_not_carried_out_is_refused_at_its_place(marked: str, tmp_path: Path) -> None:
    write(tmp_path, marked.replace(MARK, ""))
    before = marked.partition(MARK)[0]
    place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
    found = refused(tmp_path)
    assert place in [(item.place.line, item.place.column) for item in found], found
    assert {item.code for item in found} == {"VALUE_UNAVAILABLE"}
    assert all(item.actionable_fix and item.address for item in found)


@pytest.mark.parametrize(
    "text",
    [
        config("init_lora_weights: orthogonal"),
        config("init_lora_weights: gaussian\nuse_dora: true"),
        config("auto_oom_retry: false"),
        config("max_oom_retries: 4"),
        config("lr_scheduler: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr_rate: 0.1}"),
        config("lr_scheduler: warmup_stable_decay\nlr_scheduler_kwargs: {num_decay_steps: 2}"),
        config("optimizer: lion_8bit\nneftune_noise_alpha: 5"),
        config("assistant_only_loss: false\ncompletion_only_loss: true"),
        project("eval_pack: {generation: {temperature: 0.7, top_p: 0.9}}"),
        project("workflow: {backend: {state: 's3://bucket/x', artifacts: 'secret://STORE'}}"),
    ],
)
def test_what_the_engine_does_is_not_refused(text: str, tmp_path: Path) -> None:
    write(tmp_path, text)
    assert refused(tmp_path) == []


def test_a_source_without_rows_is_refused(tmp_path: Path) -> None:
    write(tmp_path, spec("data_sources: [{name: a, type: raw}]"))
    (finding,) = refused(tmp_path)
    assert (finding.code, finding.place.line) == ("SOURCE_LOCATOR_MISSING", 5)


def test_the_starter_is_carried_out_whole(tmp_path: Path) -> None:
    write(tmp_path, starter_text(name="n"))
    assert refused(tmp_path) == []
