"""What is wrong with a recipe in every mode that learns from preferences."""

from collections.abc import Iterator, Set
from typing import TYPE_CHECKING

from brewslm.diagnostics import FindingCode
from brewslm.stages.mode import RecipeProblem

if TYPE_CHECKING:
    from brewslm.stages.training_config import TrainingConfig

PREFERENCE_RATE_LIMIT = 5e-5


def check_preference(config: "TrainingConfig", _written: Set[str]) -> Iterator[RecipeProblem]:
    """Yield what is wrong with the lengths of pairs."""
    if config.alignment_max_prompt_length >= config.alignment_max_length:
        yield RecipeProblem(
            FindingCode.ALIGNMENT_LENGTHS,
            "alignment_max_prompt_length",
            "the prompt may not be as long as prompt and answer together",
            "write a shorter prompt length",
            str(config.alignment_max_prompt_length),
            f"below {config.alignment_max_length}",
        )
