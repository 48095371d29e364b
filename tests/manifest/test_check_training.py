from pathlib import Path

import pytest

from tests.manifest.writing import assert_found, config, errors, findings_of, project

DPO = "training_mode: dpo\n"


def of_usual_size(text: str) -> str:
    """Return a manifest on a base of usual size instead of the built-in one."""
    return text.replace("builtin:nano", "org/model")


CASES = [
    ("CONFIG_CONFLICT", "error", config("§base_model: org/other")),
    (
        "CONFIG_CONFLICT",
        "error",
        project("training_plan: {training_mode: sft, config: {§training_mode: dpo}}"),
    ),
    (
        "CONFIG_CONFLICT",
        "error",
        project(
            "training_plan: {preferred_runtime_id: local, config: {§training_runtime_id: other}}"
        ),
    ),
    (
        "MODE_TASK_MISMATCH",
        "error",
        project("dataset: {task_profile: qa}\ntraining_plan: {§training_mode: dpo}"),
    ),
    (
        "MODE_TASK_MISMATCH",
        "error",
        project("dataset: {§task_profile: preference}\ntraining_plan: {training_mode: sft}"),
    ),
    (
        "MODE_TASK_MISMATCH",
        "error",
        project("dataset: {task_profile: qa}\ntraining_plan: {config: {§training_mode: cpt}}"),
    ),
    ("PRECISION_CONFLICT", "error", config("bf16: true\n§dtype: float16")),
    ("ATTENTION_CONFLICT", "error", config("flash_attention: true\n§attn_implementation: sdpa")),
    ("PACKING_GROUPING", "error", config("sequence_packing: true\n§group_by_length: true")),
    ("PADDING_FREE_ATTENTION", "error", config("attn_implementation: eager\n§padding_free: true")),
    ("LORA_INIT_QUANTIZED", "error", config("quantization: nf4\n§init_lora_weights: olora")),
    (
        "LORA_INIT_QUANTIZED",
        "error",
        config("quantization: int8\n§init_lora_weights: pissa_niter_4"),
    ),
    ("LOSS_TYPE_MODE", "error", config("§loss_type: ipo")),
    ("LOSS_TYPE_MODE", "error", config("training_mode: kto\n§loss_type: hinge")),
    ("KL_MODE", "error", config(DPO + "§kl_lambda: 0.1")),
    (
        "ALIGNMENT_LENGTHS",
        "error",
        config(DPO + "§alignment_max_prompt_length: 512\nalignment_max_length: 512"),
    ),
    ("KTO_BATCH", "error", config("training_mode: kto\n§batch_size: 1")),
    ("KD_TEACHER_MISSING", "warning", config("training_mode: kd").replace("config:", "§config:")),
    ("LEARNING_RATE_HIGH", "warning", of_usual_size(config("§learning_rate: 0.01"))),
    ("LEARNING_RATE_HIGH", "warning", of_usual_size(config(DPO + "§learning_rate: 1.0e-4"))),
    (
        "EARLY_STOP_WITHOUT_EVAL",
        "warning",
        config("eval_strategy: no\n§early_stopping_patience: 2"),
    ),
    ("WARMUP_TWICE", "warning", config("warmup_ratio: 0.1\n§warmup_steps: 5")),
    ("AUTOFIX_WARMUP", "info", config("§max_steps: 1")),
    ("AUTOFIX_WARMUP", "info", config("§max_steps: 1\nwarmup_steps: 5")),
    ("STEPS_AND_EPOCHS", "info", config("num_epochs: 2\n§max_steps: 5")),
    ("TIME_LIMIT_NOT_REPRODUCIBLE", "info", config("§max_minutes: 5")),
    ("BEST_MODEL_STEPS", "error", config("eval_steps: 20\n§save_steps: 30")),
    ("BEST_MODEL_STEPS", "error", config("eval_strategy: epoch\n§save_strategy: steps")),
    ("FIELD_UNUSED", "warning", config("§bnb_4bit_compute_dtype: float32")),
    ("FIELD_UNUSED", "warning", config("eval_strategy: epoch\n§eval_steps: 5")),
    ("FIELD_UNUSED", "warning", config("save_strategy: epoch\n§save_steps: 5")),
    ("FIELD_UNUSED", "warning", config("§plateau_window: 3")),
    ("FIELD_UNUSED", "warning", config("optimizer: sgd\n§adam_beta1: 0.8")),
    ("FIELD_UNUSED", "warning", config("lr_scheduler: constant\n§warmup_ratio: 0.1")),
    ("FIELD_UNUSED", "warning", config("auto_oom_retry: false\n§max_oom_retries: 4")),
    ("FIELD_UNUSED", "warning", config("§dataloader_prefetch_factor: 2")),
    ("FIELD_UNUSED", "warning", project("eval_pack: {generation: {§top_p: 0.5}}")),
    ("FIELD_UNUSED", "warning", config("§distillation_alpha: 0.5")),
    ("FIELD_UNUSED", "warning", config("§alignment_beta: 0.5")),
    ("FIELD_UNUSED", "warning", config(DPO + "§max_seq_length: 512")),
]


@pytest.mark.parametrize(("code", "severity", "text"), CASES)
def test_each_finding_has_its_place(code: str, severity: str, text: str, tmp_path: Path) -> None:
    assert_found(tmp_path, code, severity, text)


@pytest.mark.parametrize(
    "text",
    [
        "bf16: false\nfp16: true\ndtype: float16",
        "flash_attention: false\nattn_implementation: sdpa",
        "group_by_length: true",
        "quantization: none\ninit_lora_weights: olora",
        "training_mode: dpo\nloss_type: ipo",
        "training_mode: kto\nbatch_size: 1\nloss_type: apo_zero_unpaired",
        "eval_steps: 20\nsave_steps: 40",
        "eval_steps: 20\nsave_steps: 30\nload_best_model_at_end: false",
        "eval_strategy: no\nsave_strategy: epoch\nearly_stopping_patience: 0",
    ],
)
def test_what_fits_together_has_no_error(text: str, tmp_path: Path) -> None:
    assert {*errors(findings_of(tmp_path, config(text)))} <= {"VALUE_UNAVAILABLE"}


def test_the_next_multiple_is_the_remedy(tmp_path: Path) -> None:
    text = config("eval_steps: 20\n§save_steps: 30")
    assert assert_found(tmp_path, "BEST_MODEL_STEPS", "error", text).actionable_fix == (
        "write save_steps: 40"
    )


def test_built_in_base_may_have_a_rate_that_it_needs(tmp_path: Path) -> None:
    found = findings_of(tmp_path, config("learning_rate: 0.01"))
    assert "LEARNING_RATE_HIGH" not in {item.code for item in found}
