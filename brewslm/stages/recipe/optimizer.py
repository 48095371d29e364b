"""The update rule and its schedule."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from brewslm.contracts import Category, Spec

PlainOptimizer = Literal[
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
]
"""Optimizers of torch and transformers, and of libraries of their own."""
BitsandbytesOptimizer = Literal[
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
Optimizer = Literal[PlainOptimizer, BitsandbytesOptimizer]
BITSANDBYTES_OPTIMIZERS: tuple[str, ...] = get_args(BitsandbytesOptimizer)
FULL_MATRIX_OPTIMIZERS = ("galore", "apollo", "lomo", "adalomo")
"""Families that work on full weight matrices, of which LoRA has none to train."""
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


class OptimizerFields(Spec):
    """Optimizer, schedule and clipping."""

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
