"""A task profile: how it asks, what it expects, how it scores, and which metrics that yields."""

from collections.abc import Callable, Mapping
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


class Task(Struct, frozen=True):
    """All that other rooms need to know about a task profile; functions are pure."""

    name: str
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


TASKS: Registry[Task] = Registry("brewslm.tasks.profiles", "TASK", "task profile")
"""Task profiles by the name that manifests use."""


def prompt_of(task: Task, inputs: Mapping[str, Any], contract: Contract) -> list[Message]:
    """Return the prompt of a row; turns that it holds stay as they are, whatever the task."""
    if "messages" in inputs:
        return [dict(turn) for turn in inputs["messages"]]
    return task.prompt(inputs, contract)


def user_turn(content: str) -> list[Message]:
    """Return a prompt of one user turn."""
    return [{"role": "user", "content": content}]


def no_names(_reference: Mapping[str, Any]) -> tuple[str, ...]:
    """Return nothing: the profile has no labels, fields or types."""
    return ()
