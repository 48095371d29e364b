"""How much a training has to do, against counting its batches one by one."""

from itertools import count, islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.plan.work import evaluations, training_work
from brewslm.stages.training_config import TrainingConfig


def _prepared(rows: int, **more: Any) -> dict[str, Any]:
    return {"splits": {"train": rows}, **more}


def _batches(rows: int, size: int) -> int:
    left = iter(range(rows))
    return next(number for number in count() if not list(islice(left, size)))


@given(
    st.integers(1, 200), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1.0, 1.5, 2.0, 3.0])
)
def test_steps_are_the_batches_of_all_epochs(
    rows: int, batch_size: int, accumulation: int, epochs: float
) -> None:
    config = TrainingConfig(
        batch_size=batch_size, gradient_accumulation_steps=accumulation, num_epochs=epochs
    )
    work = training_work(config, _prepared(rows))
    halves = _batches(rows, batch_size * accumulation) * int(2 * epochs)
    assert (work.rows, work.epochs) == (rows, epochs)
    assert work.steps == halves // 2 + halves % 2


@pytest.mark.parametrize("max_steps", [1, 7, 1000])
def test_steps_that_are_written_say_how_many_epochs_they_are(max_steps: int) -> None:
    config = TrainingConfig(batch_size=2, gradient_accumulation_steps=5, max_steps=max_steps)
    work = training_work(config, _prepared(40))
    assert (work.steps, work.epochs) == (max_steps, max_steps / 4)


def test_rows_that_are_trained_on_count_and_none_makes_one_step() -> None:
    config = TrainingConfig(batch_size=4, gradient_accumulation_steps=4, num_epochs=1)
    assert training_work(config, _prepared(160, train_rows_effective=40)).steps == 3
    assert training_work(config, _prepared(0)).steps == 1


@pytest.mark.parametrize(("strategy", "expected"), [("epoch", 1 + 3), ("steps", 1 + 3), ("no", 0)])
def test_validation_loss_is_taken_before_the_first_step_too(strategy: Any, expected: int) -> None:
    config = TrainingConfig(
        batch_size=4,
        gradient_accumulation_steps=4,
        num_epochs=3,
        eval_strategy=strategy,
        eval_steps=10,
    )
    assert evaluations(config, training_work(config, _prepared(170))) == expected
