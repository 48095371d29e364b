"""The ladder of micro-batches keeps the rows of a step and comes to an end."""

import errno
from dataclasses import asdict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brewslm.engine.micro_batch import MicroBatch
from brewslm.engine.out_of_memory import is_out_of_memory
from brewslm.stages.training_config import TrainingConfig
from tests.engine.loaded.conftest import RECIPE

_MICRO_BATCHES = st.builds(
    MicroBatch, st.integers(1, 256), st.integers(1, 64), st.integers(1, 1024), st.booleans()
)


def _ladder(micro_batch: MicroBatch) -> list[MicroBatch]:
    rungs = [micro_batch]
    while (smaller := rungs[-1].smaller()) is not None:
        rungs.append(smaller)
    return rungs


@given(first=_MICRO_BATCHES)
def test_every_rung_has_the_same_rows_a_step_and_the_last_recomputes_single_rows(
    first: MicroBatch,
) -> None:
    rungs = _ladder(first)
    assert {rung.rows_a_step for rung in rungs} == {first.rows_a_step}
    sizes = [rung.batch_size for rung in rungs if not rung.gradient_checkpointing]
    assert sizes == sorted(set(sizes), reverse=True)
    assert (rungs[-1].batch_size, rungs[-1].gradient_checkpointing) == (1, True)


def test_rungs_of_eight_rows() -> None:
    rungs = _ladder(MicroBatch(8, 2, 16, gradient_checkpointing=False))
    assert [(rung.batch_size, rung.gradient_accumulation_steps) for rung in rungs] == [
        (8, 2),
        (4, 4),
        (2, 8),
        (1, 16),
        (1, 16),
    ]
    assert [rung.eval_batch_size for rung in rungs] == [16, 8, 4, 2, 1]


def test_only_memory_fields_of_a_config_change() -> None:
    config = TrainingConfig(**RECIPE)
    smaller = MicroBatch.of(config).smaller()
    assert smaller is not None
    before, after = config.model_dump(), smaller.applied_to(config).model_dump()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"batch_size", "gradient_accumulation_steps", "eval_batch_size"}


@given(asked=_MICRO_BATCHES, depth=st.integers(0, 9))
def test_checkpoint_made_lower_on_the_ladder_goes_on_there(asked: MicroBatch, depth: int) -> None:
    rungs = _ladder(asked)
    held = rungs[min(depth, len(rungs) - 1)]
    assert asked.resumed(asdict(held)) == held


def test_checkpoint_of_another_step_size_does_not_decide() -> None:
    asked = MicroBatch(8, 1, 8, gradient_checkpointing=False)
    assert asked.resumed(asdict(MicroBatch(2, 2, 2, gradient_checkpointing=True))) == asked
    assert asked.resumed({}) == asked


def test_allocators_are_understood_and_other_errors_are_not() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 45, dtype=torch.float64)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("CUDA error: out of memory"))
    assert is_out_of_memory(refused.value), refused.value
    assert is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert not is_out_of_memory(OSError(errno.ENOSPC, "No space left on device"))
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))
    assert not is_out_of_memory(ValueError("out of memory"))
