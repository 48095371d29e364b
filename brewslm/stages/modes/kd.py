"""Distillation: answers, and the distribution of a teacher over them."""

from collections.abc import Iterator, Set
from typing import TYPE_CHECKING

from brewslm.diagnostics import FindingCode, Severity
from brewslm.stages.mode import Mode, RecipeProblem, takes_answers
from brewslm.stages.recipe.distillation import DistillationFields

if TYPE_CHECKING:
    from brewslm.stages.training_config import TrainingConfig


def _check(config: "TrainingConfig", _written: Set[str]) -> Iterator[RecipeProblem]:
    if not (config.distillation_teacher_model or config.distillation_offline):
        yield RecipeProblem(
            FindingCode.KD_TEACHER_MISSING,
            "",
            "distillation without a teacher",
            "add distillation_teacher_model: ORG/NAME",
            severity=Severity.WARNING,
        )


MODE = Mode(
    name="kd",
    aliases=("distillation",),
    takes=takes_answers,
    replaces="sft",
    switch="distillation_enabled",
    fields=DistillationFields,
    defaults={"distillation_enabled": True},
    check=_check,
)
