"""The recipe of a training run: a closed set of fields, each with its range and what a change to it
means.

A field of category metadata changes speed, memory or logging, not the result. The file is long
because the set is: one line a field, grouped as people think of them.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from brewslm.contracts import Category, Spec

TrainingMode = Literal["sft", "dpo", "orpo", "kto", "kd", "cpt"]
Optimizer = Literal[
    "adamw_torch",
    "adamw_torch_fused",
    "adamw_torch_4bit",
    "adamw_torch_8bit",
    "adamw_anyprecision",
    "adamw_apex_fused",
    "adamw_torch_xla",
    "adamw_torch_npu_fused",
    "adafactor",
    "sgd",
    "adagrad",
    "rmsprop",
    "stable_adamw",
    "grokadamw",
    "ademamix",
    "schedule_free_adamw",
    "schedule_free_radam",
    "schedule_free_sgd",
    "adamw_bnb_8bit",
    "adamw_8bit",
    "paged_adamw_32bit",
    "paged_adamw_8bit",
    "lion_32bit",
    "lion_8bit",
    "paged_lion_32bit",
    "paged_lion_8bit",
    "ademamix_8bit",
    "paged_ademamix_32bit",
    "paged_ademamix_8bit",
    "rmsprop_bnb",
    "rmsprop_bnb_8bit",
    "rmsprop_bnb_32bit",
]
Scheduler = Literal[
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
    "reduce_lr_on_plateau",
    "cosine_with_min_lr",
    "cosine_warmup_with_min_lr",
    "warmup_stable_decay",
]
LossType = Literal[
    "auto",
    "sigmoid",
    "sigmoid_norm",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "robust",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
    "kto",
    "apo_zero_unpaired",
]
Tracker = Literal[
    "tensorboard", "wandb", "mlflow", "trackio", "comet_ml", "swanlab", "clearml", "dvclive"
]
InitName = Annotated[
    str, Field(pattern=r"^(gaussian|orthogonal|olora|pissa|pissa_niter_[1-9][0-9]*)$")
]
OPTIMIZERS: tuple[str, ...] = get_args(Optimizer)
SCHEDULERS: tuple[str, ...] = get_args(Scheduler)
DPO_LOSSES: tuple[str, ...] = get_args(LossType)[1:15]
KTO_LOSSES: tuple[str, ...] = get_args(LossType)[15:]
BITSANDBYTES_OPTIMIZERS: tuple[str, ...] = OPTIMIZERS[18:]
MOST_TOKENS = 32768
FULL_MATRIX_OPTIMIZERS = ("galore", "apollo", "lomo", "adalomo")
"""Families that work on full weight matrices, of which LoRA has none to train."""


class LoadingMark(StrEnum):
    """Marks a field that says how a base model is loaded, and how its value enters the identity of
    what the loaded model answers.
    """

    COUNTS = "counts"
    COUNTS_UNLESS_DEFAULT = "counts_unless_default"
    """For a field that was marked later: identities made with its default stay as they were."""


class SchedulerOptions(Spec):
    """Options of the learning-rate schedulers; each scheduler takes some of them."""

    num_cycles: Annotated[float | None, Field(gt=0), Category.RECIPE] = None
    """Cosine waves over the run."""
    power: Annotated[float | None, Field(gt=0), Category.RECIPE] = None
    """Exponent of the polynomial."""
    lr_end: Annotated[float | None, Field(ge=0), Category.RECIPE] = None
    """Rate at the end of the polynomial."""
    min_lr: Annotated[float | None, Field(ge=0), Category.RECIPE] = None
    """Rate at the end of the cosine."""
    min_lr_rate: Annotated[float | None, Field(ge=0, le=1), Category.RECIPE] = None
    """The same as a share of the peak."""
    timescale: Annotated[int | None, Field(ge=1), Category.RECIPE] = None
    """Steps of the inverse square root."""
    num_stable_steps: Annotated[int | None, Field(ge=0), Category.RECIPE] = None
    """Steps at the peak."""
    num_decay_steps: Annotated[int | None, Field(ge=0), Category.RECIPE] = None
    """Steps of the decay."""
    decay_type: Annotated[Literal["linear", "cosine", "1-sqrt"] | None, Category.RECIPE] = None
    """Shape of the decay."""


class TrainingConfig(Spec):
    """The manifest's `spec.training_plan.config`."""

    # identity
    base_model: Annotated[str, Category.BASE] = ""
    """Must equal `model.base_model` if both are written."""
    training_mode: Annotated[TrainingMode | None, Category.RECIPE] = None
    """Must equal `training_plan.training_mode` if both are written."""
    task_type: Annotated[Literal["causal_lm"], Category.RECIPE] = "causal_lm"
    """Kind of model head."""
    trainer_backend: Annotated[Literal["auto", "trl_sft", "hf_trainer"], Category.RECIPE] = "auto"
    """auto is the trainer of the mode; hf_trainer the plain loop, for sft and cpt."""
    training_runtime_id: Annotated[str, Category.METADATA] = "auto"
    """auto follows `preferred_runtime_id`."""
    recommended_starting_checkpoint: Annotated[str, Field(max_length=255), Category.METADATA] = ""
    """Name of a warm-start checkpoint."""
    chat_template: Annotated[
        Literal["llama3", "chatml", "zephyr", "phi3"], Category.RECIPE, LoadingMark.COUNTS
    ] = "llama3"
    """Used when the tokenizer has none, or the next field is false."""
    use_tokenizer_chat_template: Annotated[bool, Category.RECIPE, LoadingMark.COUNTS] = True
    """Prefer the tokenizer's own template."""
    seed: Annotated[int, Field(ge=0, le=2**32 - 1), Category.RECIPE] = 42
    """Seed of adapter init, dropout and order."""
    data_seed: Annotated[int | None, Field(ge=0, le=2**32 - 1), Category.RECIPE] = None
    """Seed of the order of rows; null is `seed`."""
    full_determinism: Annotated[bool, Category.RECIPE] = False
    """Deterministic kernels only; slower."""
    # length and batches
    num_epochs: Annotated[float, Field(ge=1, le=100), Category.RECIPE] = 3.0
    """Passes over the train set."""
    auto_epochs: Annotated[bool, Category.RECIPE] = False
    """With `num_epochs` unwritten: 5 under 500 train rows, 3 under 5,000, else 2."""
    max_steps: Annotated[int, Field(ge=-1), Category.RECIPE] = -1
    """Optimizer steps; overrides epochs. -1 is off."""
    max_minutes: Annotated[float | None, Field(gt=0), Category.RECIPE] = None
    """Wall minutes of training, after which it ends as if all steps were done."""
    batch_size: Annotated[int, Field(ge=1, le=256), Category.RECIPE] = 4
    """Rows a device and forward pass; raising it costs memory."""
    gradient_accumulation_steps: Annotated[int, Field(ge=1), Category.RECIPE] = 4
    """Forward passes an optimizer step."""
    eval_batch_size: Annotated[int | None, Field(ge=1, le=1024), Category.METADATA] = None
    """Rows a pass for evaluation loss; null is `batch_size`."""
    # optimizer and schedule
    learning_rate: Annotated[float, Field(gt=0), Category.RECIPE] = 2e-4
    """Peak rate."""
    optimizer: Annotated[Optimizer, Category.RECIPE] = "paged_adamw_8bit"
    """Update rule."""
    adam_beta1: Annotated[float, Field(ge=0, le=1), Category.RECIPE] = 0.9
    """Decay of the first moment; Adam family only."""
    adam_beta2: Annotated[float, Field(ge=0, le=1), Category.RECIPE] = 0.999
    """Decay of the second moment; Adam family only."""
    adam_epsilon: Annotated[float, Field(gt=0), Category.RECIPE] = 1e-8
    """Added to the denominator; Adam family only."""
    weight_decay: Annotated[float, Field(ge=0), Category.RECIPE] = 0.01
    """Decay a step; not on biases and norms."""
    lr_scheduler: Annotated[Scheduler, Category.RECIPE] = "cosine"
    """Shape of the rate over the run."""
    lr_scheduler_kwargs: SchedulerOptions = SchedulerOptions()
    """Options that the scheduler takes."""
    warmup_ratio: Annotated[float, Field(ge=0, le=1), Category.RECIPE] = 0.03
    """Share of all steps in which the rate rises."""
    warmup_steps: Annotated[int, Field(ge=0), Category.RECIPE] = 0
    """Steps in which the rate rises; above 0 replaces the ratio."""
    max_grad_norm: Annotated[float, Field(ge=0), Category.RECIPE] = 1.0
    """Gradient clip; 0 is off."""
    neftune_noise_alpha: Annotated[float | None, Field(gt=0, le=100), Category.RECIPE] = None
    """Noise on embeddings; sft only."""
    # sequences and loss
    max_seq_length: Annotated[int, Field(ge=128, le=MOST_TOKENS), Category.RECIPE] = 2048
    """Tokens; longer rows are left out and counted, never cut."""
    sequence_packing: Annotated[bool, Category.RECIPE] = True
    """Several rows in one sequence."""
    packing_strategy: Annotated[Literal["bfd", "bfd_split", "wrapped"], Category.RECIPE] = "bfd"
    """Best fit, best fit with split rows, or one continuous stream."""
    padding_free: Annotated[bool, Category.RECIPE] = False
    """Flattened batches; needs flash attention."""
    group_by_length: Annotated[bool, Category.RECIPE] = False
    """Similar lengths in a batch; turns an unwritten `sequence_packing` off."""
    completion_only_loss: Annotated[bool | Literal["auto"], Category.RECIPE] = "auto"
    """Loss on answers only; auto where rows have a prompt and an answer."""
    assistant_only_loss: Annotated[bool | Literal["auto"], Category.RECIPE] = "auto"
    """Loss on every assistant turn; auto for chat rows."""
    # LoRA
    use_lora: Annotated[bool, Category.RECIPE] = True
    """Whether an adapter is trained."""
    lora_r: Annotated[int, Field(ge=1, le=256), Category.RECIPE] = 16
    """Rank; raising it costs memory and time."""
    lora_alpha: Annotated[int, Field(ge=1), Category.RECIPE] = 32
    """Scale; the weight is alpha / r."""
    lora_dropout: Annotated[float, Field(ge=0, le=1), Category.RECIPE] = 0.05
    """Dropout before the adapter."""
    lora_bias: Annotated[Literal["none", "all", "lora_only"], Category.RECIPE] = "none"
    """Biases trained."""
    target_modules: Annotated[
        tuple[str, ...] | Literal["all-linear", "attn", "attn_mlp", "auto"], Category.RECIPE
    ] = ("q_proj", "v_proj")
    """Modules that get an adapter."""
    modules_to_save: Annotated[tuple[str, ...], Category.RECIPE] = ()
    """Modules trained in full and saved."""
    use_dora: Annotated[bool, Category.RECIPE] = False
    """Weight-decomposed LoRA; 10 to 30 % slower."""
    use_rslora: Annotated[bool, Category.RECIPE] = False
    """The weight is alpha / sqrt(r)."""
    init_lora_weights: Annotated[bool | InitName, Category.RECIPE] = True
    """How adapter weights begin."""
    # the quantised base, as QLoRA has it
    quantization: Annotated[
        Literal["none", "nf4", "fp4", "int8"], Category.RECIPE, LoadingMark.COUNTS
    ] = "none"
    """How frozen base weights are held while training."""
    bnb_4bit_use_double_quant: Annotated[bool, Category.RECIPE, LoadingMark.COUNTS] = True
    """nf4, fp4: quantise the scales too."""
    bnb_4bit_compute_dtype: Annotated[
        Literal["auto", "bfloat16", "float16", "float32"],
        Category.RECIPE,
        LoadingMark.COUNTS_UNLESS_DEFAULT,
    ] = "auto"
    """auto is the training dtype."""
    # precision, attention, memory
    dtype: Annotated[
        Literal["auto", "bfloat16", "float16", "float32"], Category.RECIPE, LoadingMark.COUNTS
    ] = "auto"
    """auto: bfloat16 if `bf16`, float16 if `fp16`, else float32."""
    bf16: Annotated[bool, Category.RECIPE] = True
    """bfloat16 mixed precision."""
    fp16: Annotated[bool, Category.RECIPE] = False
    """float16 mixed precision."""
    flash_attention: Annotated[bool, Category.RECIPE] = True
    """Whether flash attention is wanted."""
    attn_implementation: Annotated[
        Literal["auto", "eager", "sdpa", "flash_attention_2", "flash_attention_3"],
        Category.RECIPE,
        LoadingMark.COUNTS_UNLESS_DEFAULT,
    ] = "auto"
    """auto: sdpa where the architecture supports it, else eager; a written value is kept."""
    gradient_checkpointing: Annotated[bool, Category.METADATA] = True
    """Recompute activations: less memory, about a fifth slower."""
    use_liger_kernel: Annotated[bool, Category.RECIPE] = False
    """Fused kernels."""
    torch_compile: Annotated[bool, Category.RECIPE] = False
    """Compiled model."""
    auto_oom_retry: Annotated[bool, Category.METADATA] = True
    """Try again with a smaller micro-batch and more accumulation when memory runs out."""
    max_oom_retries: Annotated[int, Field(ge=0, le=5), Category.METADATA] = 2
    """Tries after the first."""
    oom_retry_seq_shrink: Annotated[float, Field(ge=0.1, lt=1), Category.METADATA] = 0.75
    """Factor on the length at each try; not carried out, lengths never change by themselves."""
    # KL-regularised sft
    kl_lambda: Annotated[float, Field(ge=0, le=10), Category.RECIPE] = 0.0
    """Weight of KL(base || tuned); 0 is off."""
    kl_tau: Annotated[float, Field(ge=0.1, le=20), Category.RECIPE] = 1.0
    """Temperature of both distributions."""
    # evaluation, checkpoints, stopping
    eval_strategy: Annotated[Literal["no", "steps", "epoch"], Category.RECIPE] = "steps"
    """When validation loss is taken."""
    eval_steps: Annotated[int, Field(ge=1), Category.RECIPE] = 100
    """Optimizer steps between two evaluations."""
    save_strategy: Annotated[Literal["no", "steps", "epoch", "best"], Category.RECIPE] = "steps"
    """When a checkpoint is written."""
    save_steps: Annotated[int, Field(ge=1), Category.RECIPE] = 100
    """Optimizer steps between two checkpoints."""
    save_total_limit: Annotated[int, Field(ge=1, le=100), Category.METADATA] = 3
    """Checkpoints kept; the best is always among them."""
    load_best_model_at_end: Annotated[bool | Literal["auto"], Category.RECIPE] = "auto"
    """auto: true unless `eval_strategy` is no."""
    early_stopping_patience: Annotated[int, Field(ge=0, le=1000), Category.RECIPE] = 3
    """Validations without gain before stopping; 0 is off."""
    early_stopping_threshold: Annotated[float, Field(ge=0), Category.RECIPE] = 0.0
    """Smallest gain that counts."""
    plateau_patience: Annotated[int, Field(ge=0, le=1000), Category.RECIPE] = 0
    """Points of the training loss without gain before stopping; 0 is off."""
    plateau_window: Annotated[int, Field(ge=1, le=100), Category.RECIPE] = 5
    """Points in its moving mean; a point is the mean of 10 steps."""
    plateau_min_delta: Annotated[float, Field(ge=0), Category.RECIPE] = 0.001
    """Smallest gain that counts."""
    plateau_min_steps: Annotated[int, Field(ge=0), Category.RECIPE] = 50
    """No plateau stop before this optimizer step."""
    resume: Annotated[Literal["auto", "never"], Category.METADATA] = "auto"
    """auto: an interrupted run of the same fingerprint goes on."""
    # loading, logging
    dataloader_num_workers: Annotated[int, Field(ge=0, le=64), Category.METADATA] = 0
    """Loader processes."""
    dataloader_prefetch_factor: Annotated[int | None, Field(ge=1, le=64), Category.METADATA] = None
    """Batches ahead for each loader."""
    dataloader_pin_memory: Annotated[bool, Category.METADATA] = True
    """Ignored without CUDA."""
    dataloader_drop_last: Annotated[bool, Category.RECIPE] = False
    """Drop the last short batch."""
    logging_steps: Annotated[int, Field(ge=1), Category.METADATA] = 10
    """Optimizer steps between two logged points."""
    report_to: Annotated[tuple[Tracker, ...] | Literal["none"], Category.METADATA] = ()
    """Trackers; credentials from the worker's environment."""
    observability: Annotated[dict[str, str | int | float | bool | None], Category.METADATA] = {}
    """Keys of the manifest that begin with `observability_`; recorded only."""
    # distillation
    distillation_enabled: Annotated[bool, Category.RECIPE] = False
    """true with mode sft means mode kd."""
    distillation_teacher_model: Annotated[str, Category.RECIPE] = ""
    """Teacher; same tokenizer as the base."""
    distillation_teacher_revision: Annotated[str | None, Category.RECIPE] = None
    """Pins the teacher."""
    distillation_alpha: Annotated[float, Field(ge=0, le=1), Category.RECIPE] = 0.6
    """Weight of the hard labels."""
    distillation_temperature: Annotated[float, Field(ge=0.1, le=20), Category.RECIPE] = 2.0
    """Temperature T."""
    distillation_offline: Annotated[bool, Category.RECIPE] = False
    """Use the `teacher_logits` stored in the rows."""
    distillation_hidden_state_weight: Annotated[float, Field(ge=0, le=10), Category.RECIPE] = 0.0
    """Weight of an extra term on hidden states."""
    distillation_hidden_state_loss: Annotated[Literal["mse", "cosine"], Category.RECIPE] = "mse"
    """Form of that term."""
    # preference: dpo, orpo and kto
    alignment_beta: Annotated[float, Field(gt=0, le=5), Category.RECIPE] = 0.1
    """Strength of the pull to the reference."""
    loss_type: Annotated[LossType, Category.RECIPE] = "auto"
    """auto: sigmoid for dpo, kto for kto; orpo has one loss."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5), Category.RECIPE] = 0.0
    """Share of pairs believed to be swapped."""
    alignment_max_prompt_length: Annotated[int, Field(ge=32, le=32768), Category.RECIPE] = 1024
    """Tokens of the prompt."""
    alignment_max_length: Annotated[int, Field(ge=64, le=32768), Category.RECIPE] = 2048
    """Tokens of prompt and answer in these modes."""
    desirable_weight: Annotated[float, Field(gt=0), Category.RECIPE] = 1.0
    """kto: weight of good rows."""
    undesirable_weight: Annotated[float, Field(gt=0), Category.RECIPE] = 1.0
    """kto: weight of bad rows."""
    precompute_ref_log_probs: Annotated[bool, Category.RECIPE] = False
    """Score the reference once before training."""
    alignment_auto_filter: Annotated[bool, Category.RECIPE] = False
    """Drop pairs whose `quality` is below the threshold."""
    alignment_quality_threshold: Annotated[float, Field(ge=1, le=5), Category.RECIPE] = 3.0
    """Quality below which pairs are dropped."""
    alignment_min_keep_ratio: Annotated[float, Field(ge=0.05, le=1), Category.RECIPE] = 0.4
    """Keeping less than this share is an error."""
    alignment_dataset_path: Annotated[str, Field(max_length=4096), Category.DATA] = ""
    """One more train source of pairs."""
    # media
    multimodal_require_media: Annotated[bool, Category.METADATA] = False
    """Text only here."""
    multimodal_native_beta: Annotated[bool, Category.METADATA] = False
    """Text only here."""
    multimodal_media_loading: Annotated[bool, Category.METADATA] = False
    """Text only here."""


_WITHOUT_WARMUP = ("constant", "reduce_lr_on_plateau", "cosine_warmup_with_min_lr")
"""Schedules that take no warm-up, or whose warm-up begins above 0."""


def has_warmup(config: TrainingConfig) -> bool:
    """Return whether the rate of the first step is 0."""
    is_asked = bool(config.warmup_steps or config.warmup_ratio)
    return is_asked and config.lr_scheduler not in _WITHOUT_WARMUP


_LOADING: dict[str, LoadingMark] = {
    name: mark
    for name, info in TrainingConfig.model_fields.items()
    for mark in info.metadata
    if isinstance(mark, LoadingMark)
}


def loading_values(config: TrainingConfig) -> dict[str, Any]:
    """Return the values that say how the base model is loaded: what a worker is sent."""
    return config.model_dump(mode="json", include=set(_LOADING))


def loading_facts(config: TrainingConfig) -> dict[str, Any]:
    """Return the loading values that identify what the base model answers."""
    return {
        name: value
        for name, value in loading_values(config).items()
        if _LOADING[name] is LoadingMark.COUNTS
        or value != TrainingConfig.model_fields[name].default
    }


def loading_on_host(host: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a host uses instead of loading values; provenance, part of no identity."""
    return {name: value for name, value in host.items() if name in _LOADING}
