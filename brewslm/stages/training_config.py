"""The recipe of a training run: a closed set of fields, each with its range and what a change to it
means.

A field of category metadata changes speed, memory or logging, not the result. Pydantic collects
fields from the last base to the first, so the bases stand in reverse order.
"""

from collections.abc import Mapping
from typing import Any

from brewslm.stages.recipe.batches import BatchFields
from brewslm.stages.recipe.distillation import DistillationFields
from brewslm.stages.recipe.identity import IdentityFields
from brewslm.stages.recipe.kl import KlFields
from brewslm.stages.recipe.loading import LoadingFields
from brewslm.stages.recipe.loading_mark import LoadingMark
from brewslm.stages.recipe.lora import LoraFields
from brewslm.stages.recipe.media import MediaFields
from brewslm.stages.recipe.optimizer import OptimizerFields
from brewslm.stages.recipe.precision import PrecisionFields
from brewslm.stages.recipe.preference import PreferenceFields
from brewslm.stages.recipe.quantised_base import QuantisedBaseFields
from brewslm.stages.recipe.sequences import SequenceFields
from brewslm.stages.recipe.stopping import StoppingFields


class TrainingConfig(
    MediaFields,
    PreferenceFields,
    DistillationFields,
    LoadingFields,
    StoppingFields,
    KlFields,
    PrecisionFields,
    QuantisedBaseFields,
    LoraFields,
    SequenceFields,
    OptimizerFields,
    BatchFields,
    IdentityFields,
):
    """The manifest's `spec.training_plan.config`."""


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
