"""When a training run stops and which of its adapters it keeps: decided by its losses alone."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from brewslm.stages.training_config import TrainingConfig

_POINT_STEPS = 10


@dataclass
class WatchState:
    """What a run remembers between its steps; plain JSON."""

    elapsed_s: float = 0.0
    """Seconds of training before this process."""
    eval_s: float = 0.0
    losses: list[float] = field(default_factory=list)
    """Loss of each optimizer step."""
    trained_tokens: int = 0
    seen_tokens: int = 0
    seen_rows: dict[str, int] | None = None
    """By the number of their source; None in a checkpoint of a version that did not count."""
    best_loss: float | None = None
    best_step: int | None = None
    evaluations_without_gain: int = 0
    last_eval_loss: float | None = None
    stop_reason: str = ""
    """early_stopping, plateau or max_minutes; empty when all steps were done."""
    held: dict[str, Any] = field(default_factory=dict)
    """The micro-batch that the steps were made with."""


def take_validation(
    state: WatchState, loss: float, step: int, config: TrainingConfig, keep: Callable[[], None]
) -> str:
    """Count a validation loss; return why the run stops after it, empty when it goes on.

    keep: copies the adapter; called when the loss is the lowest so far.
    """
    best = math.inf if state.best_loss is None else state.best_loss
    is_gain = loss < best - config.early_stopping_threshold or state.best_loss is None
    state.evaluations_without_gain = 0 if is_gain else state.evaluations_without_gain + 1
    state.last_eval_loss = loss
    if loss < best or state.best_loss is None:
        state.best_loss, state.best_step = loss, step
        keep()
    patience = config.early_stopping_patience
    return "early_stopping" if 0 < patience <= state.evaluations_without_gain else ""


def reason_to_stop(state: WatchState, step: int, elapsed_s: float, config: TrainingConfig) -> str:
    """Return why a run stops after an optimizer step, empty when it goes on."""
    if config.max_minutes is not None and elapsed_s >= config.max_minutes * 60:
        return "max_minutes"
    if not config.plateau_patience or step < config.plateau_min_steps or step % _POINT_STEPS:
        return ""
    is_flat = is_plateau(
        state.losses,
        window=config.plateau_window,
        patience=config.plateau_patience,
        min_delta=config.plateau_min_delta,
    )
    return "plateau" if is_flat else ""


def choose_adapter(
    state: WatchState,
    last_step: int,
    config: TrainingConfig,
    *,
    has_best: bool,
    put_back: Callable[[], None],
) -> tuple[int, str]:
    """Put the adapter in place that the run keeps; return its step and why.

    has_best: whether a copy of the adapter with the lowest validation loss was kept; put_back: puts
    that copy in place of the last one.
    """
    wants_best = config.load_best_model_at_end
    if wants_best == "auto":
        wants_best = config.eval_strategy != "no"
    if wants_best and has_best and state.best_step is not None:
        put_back()
        return state.best_step, f"lowest validation loss {state.best_loss:.4f}"
    return last_step, "last step"


def loss_of_kept(state: WatchState, kept_step: int, measure: Callable[[], float]) -> float:
    """Return the validation loss of the adapter that is kept, measured unless that was done."""
    if state.best_loss is not None and kept_step == state.best_step:
        return state.best_loss
    return measure()


def is_plateau(losses: Sequence[float], *, window: int, patience: int, min_delta: float) -> bool:
    """Return whether the training loss has not gained `min_delta` for `patience` points.

    A point is the mean of 10 optimizer steps; points are smoothed by a moving mean of `window`.
    """
    points = [
        sum(losses[start : start + _POINT_STEPS]) / _POINT_STEPS
        for start in range(0, len(losses) - _POINT_STEPS + 1, _POINT_STEPS)
    ]
    smooth = [sum(points[end - window : end]) / window for end in range(window, len(points) + 1)]
    best, waited = math.inf, 0
    for value in smooth:
        best, waited = (value, 0) if value < best - min_delta else (best, waited + 1)
    return waited >= patience
