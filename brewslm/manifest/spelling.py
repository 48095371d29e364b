"""Other spellings: aliases that are accepted with a warning, and names of other tools that are
answered with ours.

Paths are dotted, with `[]` for any list element. What a registry lists brings its own aliases;
beside them these tables are the whole of it.
"""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct

from brewslm.rows.mapper import MAPPERS
from brewslm.rows.source import SOURCES
from brewslm.stages.export_format import FORMATS
from brewslm.stages.mode import MODES
from brewslm.tasks.task import FORMS

_CONFIG = "spec.training_plan.config"


class _Aliased(Protocol):
    @property
    def aliases(self) -> tuple[str, ...]: ...


def _aliases(members: Mapping[str, _Aliased]) -> dict[str, str]:
    return {alias: name for name, member in members.items() for alias in member.aliases}


VALUE_ALIASES: dict[str, dict[str, str]] = {
    "spec.training_plan.training_mode": _aliases(MODES.all()),
    "spec.training_plan.plan_profile": {"best_quality": "max_quality", "fastest": "balanced"},
    "spec.training_plan.preferred_runtime_id": {
        "builtin.local": "local",
        "celery": "local",
        "builtin.simulate": "simulate",
        "builtin.external_celery": "external",
        "external_celery": "external",
    },
    "spec.workflow.target_profile_id": {
        "vllm": "vllm_server",
        "local_cpu": "cpu_local",
        "cpu": "cpu_local",
    },
    "spec.dataset.task_profile": _aliases(FORMS.all()),
    "spec.adapters[].base_adapter_id": _aliases(MAPPERS.all()),
    "spec.eval_pack.pack_id": {
        "evalpack.qa.strict": "evalpack.quality.strict",
        "evalpack.classification": "evalpack.general.default",
        "evalpack.classification.default": "evalpack.general.default",
        "evalpack.summarization": "evalpack.general.default",
        "evalpack.preference": "evalpack.general.default",
    },
    "spec.eval_pack.compare_to": {
        "baseline": "base_model",
        "base": "base_model",
        "production": "champion",
    },
    "spec.export.formats[]": _aliases(FORMATS.all()),
    "spec.export.quantization": {
        "gguf_q4": "Q4_K_M",
        "gguf_q8": "Q8_0",
        "onnx_int8": "INT8",
    },
    f"{_CONFIG}.optimizer": {"adamw": "adamw_torch", "adamw_hf": "adamw_torch"},
    f"{_CONFIG}.loss_type": {"aot_pair": "aot_unpaired"},
}
VALUE_ALIASES |= {
    f"{_CONFIG}.training_mode": VALUE_ALIASES["spec.training_plan.training_mode"],
    f"{_CONFIG}.training_runtime_id": VALUE_ALIASES["spec.training_plan.preferred_runtime_id"],
    "spec.workflow.training_preferred_plan_profile": VALUE_ALIASES[
        "spec.training_plan.plan_profile"
    ],
    "spec.deployment.target_profile_id": VALUE_ALIASES["spec.workflow.target_profile_id"],
    "spec.adapters[].task_profile": VALUE_ALIASES["spec.dataset.task_profile"],
    "spec.eval_pack.gates[].baseline": VALUE_ALIASES["spec.eval_pack.compare_to"],
}

FORMAT_ALIASES = (*SOURCES.names(), "file")
"""Values of a source's role that name a format: the role is raw, the format goes to the locator."""

KEY_ALIASES: dict[str, dict[str, str]] = {
    "spec.workflow.budget_settings": {"auto-cancel": "auto_cancel"},
    _CONFIG: {
        "beta": "alignment_beta",
        "teacher": "distillation_teacher_model",
        "kd_teacher": "distillation_teacher_model",
        "kd_alpha": "distillation_alpha",
        "kd_temperature": "distillation_temperature",
        "kd_offline": "distillation_offline",
    },
}

UNAVAILABLE_VALUES: dict[str, dict[str, str]] = {
    "spec.training_plan.preferred_runtime_id": dict.fromkeys(
        ("simulate", "external", "cloud_burst"),
        "delete the line; for a trial run write base_model: builtin:nano",
    ),
    "spec.eval_pack.pack_id": dict.fromkeys(
        ("evalpack.domain-profile", "evalpack.project.scaffolded"),
        "delete the line; save the pack as a file and name it in eval_pack.path",
    ),
    "spec.export.formats[]": {
        "tensorrt": "write formats: [safetensors]",
        "docker": "write formats: [safetensors]",
    },
    "spec.export.quantization": dict.fromkeys(
        ("AWQ", "GPTQ"), "delete the line; exports keep the dtype of the base"
    ),
    "spec.workflow.target_profile_id": {
        "qa_with_auto_rag": "write target_profile_id: vllm_server; a project has no retrieval"
    },
    f"{_CONFIG}.task_type": dict.fromkeys(
        ("seq2seq", "classification"),
        "write task_type: causal_lm; the task is named in dataset.task_profile",
    ),
}
UNAVAILABLE_VALUES |= {
    f"{_CONFIG}.training_runtime_id": UNAVAILABLE_VALUES["spec.training_plan.preferred_runtime_id"],
    "spec.deployment.target_profile_id": UNAVAILABLE_VALUES["spec.workflow.target_profile_id"],
}


class Foreign(Struct, frozen=True):
    """What a name of another tool is called here."""

    name: str
    """The name here; a path where it does not belong to the recipe; empty where there is none."""
    note: str = ""
    """Why there is none, or how the value has to be written."""
    value: str = ""
    """The value to write where the key alone says it."""


def _foreign() -> dict[str, Foreign]:
    table: dict[str, Foreign] = {}

    def put(keys: str, name: str, note: str = "", value: str = "") -> None:
        for key in keys.split():
            table[key] = Foreign(name, note, value)

    put("per_device_train_batch_size micro_batch_size train_batch_size", "batch_size")
    put("per_device_eval_batch_size", "eval_batch_size")
    put("grad_accum gradient_accumulation", "gradient_accumulation_steps")
    put("num_train_epochs epochs n_epochs", "num_epochs")
    put("lr peak_lr", "learning_rate")
    put("optim", "optimizer")
    put("lr_scheduler_type scheduler schedule", "lr_scheduler")
    put("warmup", "warmup_ratio", "a share of all steps; a count is warmup_steps")
    put(
        "max_length max_seq_len cutoff_len sequence_len block_size model_max_length",
        "max_seq_length",
        "in preference modes alignment_max_length",
    )
    put("max_prompt_length", "alignment_max_prompt_length")
    put("packing sample_packing neat_packing", "sequence_packing")
    put("r lora_rank rank", "lora_r")
    put("alpha", "lora_alpha")
    put("dropout", "lora_dropout")
    put("bias", "lora_bias")
    put("lora_target lora_target_modules lora_target_mode", "target_modules")
    put("lora_target_linear", "target_modules", "", "all-linear")
    put("lora_modules_to_save additional_target", "modules_to_save")
    put("peft_use_dora", "use_dora")
    put("peft_use_rslora", "use_rslora")
    put(
        "adapter finetuning_type peft_method method",
        "quantization",
        "for qlora; for lora leave it out",
        "nf4",
    )
    put("load_in_4bit quantization_bit bnb_4bit_quant_type", "quantization", "nf4 or fp4", "nf4")
    put("load_in_8bit", "quantization", "", "int8")
    put("double_quantization", "bnb_4bit_use_double_quant")
    put("torch_dtype precision pure_bf16", "dtype")
    put("flash_attn sdp_attention xformers_attention", "attn_implementation")
    put("neftune_alpha neft_alpha", "neftune_noise_alpha")
    put(
        "train_on_inputs train_on_prompt mask_history",
        "completion_only_loss",
        "the opposite sense; for chat rows assistant_only_loss",
    )
    put("template chat_template_path", "chat_template", "or use_tokenizer_chat_template")
    put("pref_beta", "alignment_beta")
    put("pref_loss dpo_loss rl_loss", "loss_type")
    put("kto_chosen_weight", "desirable_weight")
    put("kto_rejected_weight", "undesirable_weight")
    put("stage rl finetune_mode", "spec.training_plan.training_mode")
    put("evaluation_strategy", "eval_strategy")
    put("evals_per_epoch", "eval_steps")
    put("saves_per_epoch", "save_steps")
    put("early_stop_min_steps", "plateau_min_steps")
    put("early_stop_patience", "plateau_patience")
    put("eval_early_stop", "early_stopping_patience")
    put("resume_from_checkpoint auto_resume_from_checkpoints", "resume")
    put("print_every_steps", "logging_steps")
    put("use_wandb wandb_project", "report_to")
    put("model_name_or_path base_model_name model_id tokenizer_name", "spec.model.base_model")
    put("model_revision revision_of_model", "spec.model.revision")
    put(
        "dataset datasets dataset_path dataset_name train_file",
        "spec.data_sources[]",
        "with the role train",
    )
    put("val_file", "spec.data_sources[]", "with the role validation")
    put("eval_file dev_path", "spec.data_sources[]", "with the role gold_test")
    put("val_set_size test_size eval_dataset_size", "spec.dataset.split")
    put("max_samples ablate_examples max_train_samples", "spec.dataset.max_examples")
    put("system_prompt default_system", "spec.dataset.system_prompt")
    put("interleave_probs mix_strategy", "spec.data_sources[].weight")
    put("max_new_tokens temperature top_p", "spec.eval_pack.generation")
    put(
        "output_dir hub_model_id push_to_hub overwrite_output_dir",
        "",
        "results are kept by content and exported by spec.export",
    )
    put(
        "trust_remote_code allow_custom_code",
        "",
        "code that comes with a model is never run",
    )
    put("hub_token hf_token api_key", "", "put the token into the worker's environment")
    put("deepspeed fsdp ddp_timeout local_rank", "", "one device a run")
    put("adapter_id field_mapping", "spec.adapters[]")
    put("task_profile", "spec.dataset.task_profile")
    return table


FOREIGN_KEYS: dict[str, Foreign] = _foreign()

PLACEHOLDERS = ("sha256:...", "hf:...", "sha256:…", "hf:…")
