"""Kahneman-Tversky optimisation: answers that are judged one by one."""

from collections.abc import Iterator, Set
from typing import TYPE_CHECKING, get_args

from brewslm.diagnostics import FindingCode
from brewslm.stages.mode import Mode, RecipeProblem, takes_pairs
from brewslm.stages.modes._preference import PREFERENCE_RATE_LIMIT, check_preference
from brewslm.stages.recipe.preference import KtoLoss, PreferenceFields

if TYPE_CHECKING:
    from brewslm.stages.training_config import TrainingConfig

_UNPAIRED = "apo_zero_unpaired"
"""The loss that compares no rows of a batch."""


def _check(config: "TrainingConfig", written: Set[str]) -> Iterator[RecipeProblem]:
    yield from check_preference(config, written)
    is_single = "batch_size" in written and config.batch_size == 1
    if is_single and config.loss_type != _UNPAIRED:
        yield RecipeProblem(
            FindingCode.KTO_BATCH,
            "batch_size",
            "kto compares rows of a batch",
            "write batch_size: 2",
        )


MODE = Mode(
    name="kto",
    takes=takes_pairs,
    fields=PreferenceFields,
    ignored=("max_seq_length",),
    least={"batch_size": 2},
    losses=get_args(KtoLoss),
    rate_limit=PREFERENCE_RATE_LIMIT,
    check=_check,
)
