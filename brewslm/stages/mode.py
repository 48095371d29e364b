"""What a training mode is: the rows it takes, its own fields, defaults, losses and limits."""

from collections.abc import Callable, Iterator, Mapping, Set
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, field

from brewslm.contracts import Spec
from brewslm.diagnostics import FindingCode, Severity
from brewslm.registry import Registry
from brewslm.tasks.task import Form

if TYPE_CHECKING:
    from brewslm.stages.training_config import TrainingConfig

USUAL_RATE_LIMIT = 2e-3


class RecipeProblem(Struct, frozen=True):
    """What is wrong with a recipe, and at which of its fields."""

    code: FindingCode
    field: str
    """Empty for the recipe as a whole."""
    message: str
    remedy: str
    found: str = ""
    expected: str = ""
    severity: Severity = Severity.ERROR


Check = Callable[["TrainingConfig", Set[str]], Iterator[RecipeProblem]]
"""(recipe, names of its written fields) to what is wrong."""


def nothing(_config: "TrainingConfig", _written: Set[str]) -> Iterator[RecipeProblem]:
    """Find nothing."""
    yield from ()


class NoFields(Spec):
    """Fields of a mode that has none of its own."""


class Mode(Struct, frozen=True, kw_only=True):
    """A training objective."""

    name: str
    aliases: tuple[str, ...] = ()
    """Other spellings, accepted with a warning."""
    takes: Callable[[Form], bool]
    """Whether it learns from rows of a task."""
    is_usual: bool = False
    """Whether it is proposed for the rows that it takes."""
    replaces: str = ""
    """Mode that means this one where the recipe sets `switch`."""
    switch: str = ""
    is_trained: bool = False
    """False where the mode is recognised and nothing trains it."""
    fields: type[Spec] = NoFields
    """Fields of the recipe that have no effect in modes with other ones."""
    ignored: tuple[str, ...] = ()
    """Fields of every recipe that have no effect here."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Values of fields that neither the profile nor the manifest sets."""
    least: Mapping[str, int] = field(default_factory=dict)
    """Smallest values of unwritten fields."""
    losses: tuple[str, ...] = ()
    """Values of `loss_type` beside auto."""
    rate_limit: float = USUAL_RATE_LIMIT
    """Learning rate that is far above what is usual."""
    check: Check = nothing
    """What is wrong with a recipe of this mode."""
    check_elsewhere: Check = nothing
    """What its fields mean in a recipe of another mode."""


MODES: Registry[Mode] = Registry("brewslm.stages.modes", "MODE", "training mode")
if TYPE_CHECKING:
    TrainingMode = str
else:
    TrainingMode = Literal[MODES.names()]


def takes_answers(form: Form) -> bool:
    """Return whether rows have a prompt and one right answer."""
    return bool(form.text_input) and not form.is_of_pairs


def takes_pairs(form: Form) -> bool:
    """Return whether rows compare or judge answers."""
    return form.is_of_pairs
