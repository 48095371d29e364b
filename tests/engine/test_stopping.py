"""A run stops when its losses say so, and keeps the adapter of its lowest validation loss."""

from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.engine.stopping import (
    WatchState,
    choose_adapter,
    is_plateau,
    loss_of_kept,
    reason_to_stop,
    take_validation,
)
from brewslm.stages.training_config import TrainingConfig

_LOSSES = st.lists(st.integers(0, 12).map(lambda n: n / 4), min_size=1, max_size=12)


def _config(**values: Any) -> TrainingConfig:
    return TrainingConfig.model_validate(values)


@given(_LOSSES, st.integers(0, 4), st.sampled_from([0.0, 0.25, 0.5]))
def test_patience_counts_validations_since_the_last_gain(
    losses: list[float], patience: int, threshold: float
) -> None:
    config = _config(early_stopping_patience=patience, early_stopping_threshold=threshold)
    state, kept, reasons = WatchState(), list[int](), list[str]()
    for step, loss in enumerate(losses):
        reasons.append(take_validation(state, loss, step, config, lambda: kept.append(step)))  # noqa: B023  called at once
    lowest = list(accumulate(losses, min))
    gains = [0, *(n for n in range(1, len(losses)) if losses[n] < lowest[n - 1] - threshold)]
    waited = [n - max(gain for gain in gains if gain <= n) for n in range(len(losses))]
    assert reasons == [
        "early_stopping" if patience and count >= patience else "" for count in waited
    ]
    assert kept == [0, *(n for n in range(1, len(losses)) if losses[n] < lowest[n - 1])]
    assert (state.best_step, state.best_loss) == (losses.index(min(losses)), min(losses))
    assert state.last_eval_loss == losses[-1]


@pytest.mark.parametrize(
    ("wanted", "strategy", "has_best", "keeps_best"),
    [
        ("auto", "steps", True, True),
        ("auto", "epoch", True, True),
        ("auto", "no", True, False),
        (True, "no", True, True),
        (False, "steps", True, False),
        ("auto", "steps", False, False),
    ],
)
def test_the_best_adapter_is_put_back_where_it_is_wanted(
    wanted: bool | str, strategy: str, has_best: bool, keeps_best: bool
) -> None:
    config = _config(load_best_model_at_end=wanted, eval_strategy=strategy)
    state = WatchState(best_loss=0.5, best_step=0, last_eval_loss=0.7)
    done: list[str] = []
    step, why = choose_adapter(
        state, 40, config, has_best=has_best, put_back=lambda: done.append("put back")
    )
    if keeps_best:
        assert (step, why, done) == (0, "lowest validation loss 0.5000", ["put back"])
    else:
        assert (step, why, done) == (40, "last step", [])
    assert loss_of_kept(state, step, lambda: 0.7) == (0.5 if keeps_best else 0.7)


def test_a_run_without_validation_keeps_its_last_step() -> None:
    kept = choose_adapter(WatchState(), 7, _config(), has_best=False, put_back=lambda: None)
    assert kept == (7, "last step")
    assert loss_of_kept(WatchState(), 7, lambda: 1.25) == 1.25


@given(
    st.lists(st.integers(0, 6), max_size=12),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 2),
    st.lists(st.integers(1, 50), max_size=9),
)
def test_plateau_is_a_smoothed_loss_without_gain(
    points: list[int], window: int, patience: int, min_delta: int, rest: list[int]
) -> None:
    losses = [float(point * window + part) for point in points for part in range(-5, 6) if part]
    smooth = [sum(points[end - window : end]) for end in range(window, len(points) + 1)]
    waits = 0
    for index, value in enumerate(smooth):
        since = smooth[: index - waits]
        waits = 0 if not since or value < since[-1] - min_delta else waits + 1
    assert is_plateau(
        [*losses, *map(float, rest)], window=window, patience=patience, min_delta=float(min_delta)
    ) == (waits >= patience)


def test_falling_loss_is_no_plateau() -> None:
    losses = [2.0 - step * 0.005 for step in range(300)]
    assert not is_plateau(losses, window=3, patience=2, min_delta=0.001)


def test_loss_that_stays_is_a_plateau_after_patience() -> None:
    falling = [2.0 - step * 0.01 for step in range(100)]
    flat = [1.0] * 100
    assert not is_plateau(falling + flat[:20], window=2, patience=3, min_delta=0.001)
    assert is_plateau(falling + flat, window=2, patience=3, min_delta=0.001)


def test_gain_below_the_smallest_that_counts_is_none() -> None:
    losses = [1.0 - step * 1e-6 for step in range(200)]
    assert is_plateau(losses, window=1, patience=3, min_delta=0.01)


@pytest.mark.parametrize(
    ("values", "step", "elapsed_s", "reason"),
    [
        ({}, 200, 1e9, ""),
        ({"max_minutes": 2}, 200, 119.9, ""),
        ({"max_minutes": 2}, 200, 120.0, "max_minutes"),
        ({"plateau_patience": 2}, 200, 0.0, "plateau"),
        ({"plateau_patience": 0}, 200, 0.0, ""),
        ({"plateau_patience": 2}, 199, 0.0, ""),
        ({"plateau_patience": 2, "plateau_min_steps": 200}, 200, 0.0, "plateau"),
        ({"plateau_patience": 2, "plateau_min_steps": 201}, 200, 0.0, ""),
        ({"plateau_patience": 15}, 200, 0.0, "plateau"),
        ({"plateau_patience": 16}, 200, 0.0, ""),
        ({"plateau_patience": 2, "max_minutes": 2}, 200, 120.0, "max_minutes"),
    ],
)
def test_a_step_ends_a_run_by_time_or_by_a_loss_that_stays(
    values: dict[str, Any], step: int, elapsed_s: float, reason: str
) -> None:
    state = WatchState(losses=[1.0] * step)
    assert reason_to_stop(state, step, elapsed_s, _config(**values)) == reason
