"""What objectives on preferences have in common."""

from typing import Annotated, Literal

from pydantic import Field

from brewslm.contracts import Category, Spec

DpoLoss = Literal[
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
]
KtoLoss = Literal[
    "kto",
    "apo_zero_unpaired",
]
LossType = Literal["auto", DpoLoss, KtoLoss]


class PreferenceFields(Spec):
    """Losses, lengths, reference and filter of pairs."""

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
