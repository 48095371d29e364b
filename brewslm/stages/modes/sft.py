"""Supervised fine-tuning: cross-entropy on answers."""

from collections.abc import Iterator, Set
from typing import TYPE_CHECKING

from brewslm.diagnostics import FindingCode
from brewslm.stages.mode import Mode, RecipeProblem, takes_answers
from brewslm.stages.recipe.kl import KlFields

if TYPE_CHECKING:
    from brewslm.stages.training_config import TrainingConfig


def _elsewhere(config: "TrainingConfig", _written: Set[str]) -> Iterator[RecipeProblem]:
    if config.kl_lambda > 0:
        yield RecipeProblem(
            FindingCode.KL_MODE,
            "kl_lambda",
            "the KL term belongs to mode sft",
            "write kl_lambda: 0",
            f"{config.kl_lambda:g}",
        )


MODE = Mode(
    name="sft",
    aliases=("instruction_sft",),
    takes=takes_answers,
    is_usual=True,
    is_trained=True,
    fields=KlFields,
    check_elsewhere=_elsewhere,
)
