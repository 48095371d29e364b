"""A task profile: how it asks, what it expects, how it scores, and which metrics that yields."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any

from msgspec import Struct, field

from brewslm.registry import Registry
from brewslm.tasks.metric import Metric

Message = dict[str, Any]
Contract = Mapping[str, Any]


class ScoringOptions(Struct, frozen=True):
    """Choices of a pack about how outputs are read; all of them belong to the metrics tier."""

    json_mode: str = "first_value"
    """first_value, or strict: the whole output has to be one JSON value."""
    normaliser: str | None = None
    """Form in which text answers are compared; None is the task's own."""
    label_synonyms: Mapping[str, str] = field(default_factory=dict)
    """Other spellings to the labels they mean."""
    numeric_tolerance: float = 0.0
    """Largest absolute difference at which two numbers are the same answer."""


DEFAULT_OPTIONS = ScoringOptions()


def no_alike(_contract: Contract) -> tuple[tuple[str, ...], ...]:
    """Return nothing: the profile has no closed set of answers."""
    return ()


class Scored(Struct, frozen=True):
    """What one output amounts to.

    `counts` are the sufficient statistics that metrics sum; `score` is the item's own mark in
    [0, 1], read by flips and failure clusters.
    """

    counts: dict[str, float]
    score: float
    extracted: Any = None
    is_parseable: bool = True
    parse_detail: str = ""
    values: dict[str, float] = field(default_factory=dict)
    """Metric id to the item's own value, for records."""
    failure: str = ""
    """Reason of a failure that only the task can tell, such as label_confusion."""


class Sample(Struct, frozen=True):
    """A row of the profile as canonical values, with an output that is fully right."""

    inputs: dict[str, Any]
    reference: dict[str, Any]
    contract: dict[str, Any]
    right_output: str


class Reference(StrEnum):
    """What the answer of a row is."""

    TEXT = "text"
    ANSWERS = "answers"
    """One of several texts."""
    LABEL = "label"
    OBJECT = "object"
    """A JSON object, or entities of a text."""
    CALLS = "calls"
    """Calls of tools that the task's own prompt lists."""
    PAIR = "pair"
    """A preferred text and another one, or a text that is judged."""


TYPED = frozenset({Reference.LABEL, Reference.OBJECT, Reference.CALLS})
"""Answers that are no free text, so that their length says nothing."""


class Form(Struct, frozen=True, kw_only=True):
    """What a row of a task profile holds."""

    name: str
    aliases: tuple[str, ...] = ()
    """Other spellings, accepted with a warning."""
    reference: Reference
    text_input: str
    """Input that holds the text that is asked about; `messages` holds turns instead, and a task
    without a prompt has none.
    """
    prompt_and_text: tuple[str, str] | None = None
    """Inputs where a row has both an instruction and a text that it applies to; None joins them."""
    other_inputs: Mapping[str, str] = field(default_factory=dict)
    """Inputs that are the same in every row."""
    takes_passages: bool = False
    """Whether its rows need passages beside the text."""
    profile_of_turns: str = ""
    """Task profile that its rows belong to if they turn out to be conversations."""

    @property
    def is_of_pairs(self) -> bool:
        """Whether rows compare or judge answers instead of holding a right one."""
        return self.reference is Reference.PAIR

    @property
    def takes_turns(self) -> bool:
        """Whether rows are conversations."""
        return self.text_input == "messages"

    def inputs_of(self, prompt: str, extra: str = "") -> dict[str, Any]:
        """Return the inputs of a row with one prompt, and with text that it applies to beside."""
        if prompt and extra and self.prompt_and_text is not None:
            pair = dict(zip(self.prompt_and_text, (prompt, extra), strict=True))
            inputs = {self.text_input: pair.pop(self.text_input), **pair}
        else:
            inputs = {self.text_input: "\n\n".join(part for part in (prompt, extra) if part)}
        return {**inputs, **self.other_inputs}


class Task(Form, frozen=True, kw_only=True):
    """A form whose rows are trained and evaluated: all that other rooms need to know; functions
    are pure.
    """

    version: int
    """Raised when prompt, answer or scoring would yield something else."""
    prompt: Callable[[Mapping[str, Any], Contract], list[Message]]
    answer: Callable[[Mapping[str, Any], Contract], str]
    score: Callable[[Mapping[str, Any], Mapping[str, Any], str, Contract, ScoringOptions], Scored]
    """(inputs, reference, output, contract, options) to the item's counts."""
    metrics: Callable[[Contract, tuple[str, ...]], list[Metric]]
    """(contract, names seen in references) to declarations; names are labels, fields or types."""
    names: Callable[[Mapping[str, Any]], tuple[str, ...]]
    """Reference to the labels, fields or types that it has."""
    answer_tokens_floor: int
    """Fewest tokens that a generation is allowed, whatever the references."""
    answer_tokens_cap: int
    fail_below: float
    """Items scored below it are failures."""
    samples: tuple[Sample, ...]
    normaliser: str = "words"
    """Form in which its answers are compared where a pack chooses none."""
    alike: Callable[[Contract], tuple[tuple[str, ...], ...]] = no_alike
    """Answers of the contract whose normal forms meet, so that only their exact text counts."""
    loss: str = "completion"


_FOLDER = ("brewslm.tasks.profiles", "TASK", "task profile")
FORMS: Registry[Form] = Registry(*_FOLDER)
"""Every task profile that rows can be read for, by the name that manifests use."""
TASKS: Registry[Task] = Registry(*_FOLDER, only=Task)
"""Those that are trained and evaluated."""
form_of = cache(FORMS.load)
"""Form of a task profile. Raises: UnknownNameError."""


def prompt_of(task: Task, inputs: Mapping[str, Any], contract: Contract) -> list[Message]:
    """Return the prompt of a row; turns that it holds stay as they are, whatever the task."""
    return (given_turns if "messages" in inputs else task.prompt)(inputs, contract)


def given_turns(inputs: Mapping[str, Any], _contract: Contract) -> list[Message]:
    """Return the turns before the final answer, as given."""
    return [dict(turn) for turn in inputs["messages"]]


def user_turn(content: str) -> list[Message]:
    """Return a prompt of one user turn."""
    return [{"role": "user", "content": content}]


def no_names(_reference: Mapping[str, Any]) -> tuple[str, ...]:
    """Return nothing: the profile has no labels, fields or types."""
    return ()
