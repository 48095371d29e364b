"""The protocols that rooms meet at: kinds and their specs, outputs, and the job that a door does.

A spec field carries its category in its annotation, `Annotated[float, Field(gt=0),
Category.RECIPE]`; a field without one counts under the category of its kind. `counting_values`
drops the fields that are metadata; what is left enters fingerprints.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum, StrEnum
from typing import Any, NamedTuple, Protocol

from msgspec import Struct, field
from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from brewslm.address import Address


class Operation(StrEnum):
    """What a plan does with a resource."""

    CREATE = "create"
    UPDATE = "update"
    NOOP = "noop"
    DELETE = "delete"


class Category(StrEnum):
    """What kind of change a field is, heaviest first."""

    BASE = "base"
    DATA = "data"
    RECIPE = "recipe"
    GATES = "gates"
    EXPORT = "export"
    PROMOTE = "promote"
    METADATA = "metadata"

    @property
    def weight(self) -> int:
        """0 for the lightest; the heaviest category of an action is the one shown."""
        return len(Category) - 1 - list(Category).index(self)


class Tier(StrEnum):
    """Which part of an evaluation a field of the gates category redoes, dearest first."""

    PREDICTIONS = "predictions"
    METRICS = "metrics"
    VERDICTS = "verdicts"


class Later(Enum):
    """Marks a field that was added after projects were applied without it."""

    FIELD = "later"
    """At its default the field is left out of the facts of a resource, so that what was made before
    the field existed keeps its identity."""


class Spec(BaseModel):
    """Base of all resource specs: frozen, strict, no unknown fields, docstrings become
    descriptions.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        defer_build=True,
    )


def category_of(info: FieldInfo) -> Category | None:
    """Return the category written at a field, None where the kind's own applies."""
    return next((item for item in info.metadata if isinstance(item, Category)), None)


def tier_of(info: FieldInfo) -> Tier | None:
    """Return the evaluation tier written at a field, if any."""
    return next((item for item in info.metadata if isinstance(item, Tier)), None)


def counting_values(spec: Spec) -> dict[str, Any]:
    """Return the spec as JSON values without its metadata fields and without later fields at their
    defaults, nested specs included.
    """
    return {
        name: _counting(getattr(spec, name))
        for name, info in type(spec).model_fields.items()
        if category_of(info) is not Category.METADATA
        and not (Later.FIELD in info.metadata and getattr(spec, name) == info.default)
    }


def spec_values(spec: Spec) -> dict[str, Any]:
    """Return the whole spec as JSON values."""
    return spec.model_dump(mode="json")


def categories_by_path(spec: Spec, default: Category) -> dict[str, Category]:
    """Return `{dotted path: category}` for every leaf of a spec; list elements are named by
    index.
    """
    return dict(_leaf_categories(spec, default, ""))


def _counting(value: Any) -> Any:
    if isinstance(value, Spec):
        return counting_values(value)
    if isinstance(value, (list, tuple)):
        return [_counting(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _counting(item) for key, item in value.items()}
    return value


def _leaf_categories(value: Any, category: Category, path: str) -> Iterator[tuple[str, Category]]:
    if isinstance(value, Spec):
        for name, info in type(value).model_fields.items():
            inner = f"{path}.{name}" if path else name
            yield from _leaf_categories(getattr(value, name), category_of(info) or category, inner)
    elif isinstance(value, (list, tuple)) and any(isinstance(item, Spec) for item in value):
        for index, item in enumerate(value):
            yield from _leaf_categories(item, category, f"{path}[{index}]")
    else:
        yield path, category


class InputRef(Struct, frozen=True):
    """An output of another resource that a resource consumes.

    An ordering input (`is_ordering`) makes a resource wait, and for a verdict also makes it depend
    on PASS, but its digest does not enter the fingerprint.
    """

    address: Address
    output: str
    is_ordering: bool = False

    @property
    def name(self) -> str:
        """The key of this input among the facts of a fingerprint, such as `dataset:train`."""
        return f"{self.address}:{self.output}"


class Output(Struct, frozen=True):
    """Bytes that a resource yielded: a file's digest, or the digest of a folder's listing."""

    digest: str
    size_bytes: int
    is_folder: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the output as plain JSON."""
        return {
            "digest": self.digest,
            "size_bytes": self.size_bytes,
            "is_folder": self.is_folder,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Output":
        """Read back what `to_json` wrote."""
        return cls(
            document["digest"], document["size_bytes"], bool(document.get("is_folder", False))
        )


class Work(StrEnum):
    """Who does the work of a kind."""

    RECORD = "record"
    """Nobody: the spec is recorded."""
    OBSERVED = "observed"
    """The plan: outputs are read off files while planning, and published by apply."""
    DOOR = "door"
    """The worker, through the kind's door."""
    POINTER = "pointer"
    """Apply itself: a pointer moves."""


class Ending(Struct, frozen=True):
    """The run event that an action of a kind leaves when it ends well."""

    stage: str = "system"
    reason_code: str = "action_applied"
    counts: tuple[str, ...] = ()
    """Dotted names of the values that the event carries."""


class Kind(Struct, frozen=True):
    """What a resource kind is: all that plan and apply need to know about it."""

    name: str
    spec: type[Spec]
    category: Category
    """Category of fields that carry none."""
    version: int
    """Raised when the stage's code changes what it would produce."""
    work: Work
    inputs: Callable[[Address, Mapping[Address, Spec]], tuple[InputRef, ...]] = field(
        default=lambda _address, _specs: ()
    )
    """What a resource consumes, given the specs of all resources of the project."""
    door: str | None = None
    ending: Ending = Ending()


class Composition(NamedTuple):
    """An example as chat turns: what is shown, where the answer begins, and where loss is taken."""

    messages: list[dict[str, Any]]
    completion_from: int
    """Index of the first message that belongs to the answer."""
    loss: str
    """completion, assistant_turns, all_tokens or preference."""


Compose = Callable[[str, dict[str, Any], dict[str, Any], dict[str, Any], str], Composition]
"""(task profile, inputs, reference, contract, system prompt) to chat turns; tasks/ has the one."""

RowProgress = Callable[[str, int, int | None], None]
"""(what is done, rows finished, all rows where they are known)."""


def untold(_what: str, _done: int, _total: int | None) -> None:
    """Report progress to nobody."""


TokenCounter = Callable[[list[str]], list[int]]
"""Texts to their numbers of tokens."""


class Job(BaseModel):
    """The document that tells a worker what to do; paths are absolute."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    job_id: str
    door: str
    address: str
    fingerprint: str = ""
    spec: dict[str, Any]
    """The effective spec of the resource, validated again by the door with the kind's model."""
    inputs: dict[str, str] = {}
    """Name of an input to the file or folder that holds it."""
    options: dict[str, Any] = {}
    """What does not change the result's identity: host values, role, checkpoint to resume from."""
    folder: str
    """Where the door writes; only this job uses it."""


class Result(BaseModel):
    """What a door yielded: outputs as paths relative to the job's folder, values as plain JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    outputs: dict[str, str] = {}
    values: dict[str, Any] = {}
    work_s: float | None = None
    """Seconds that the door was open, its libraries already imported."""


class Reporter(Protocol):
    """How a door tells about its work while it goes on."""

    def progress(
        self,
        unit: str,
        done: int,
        total: int | None,
        metrics: Mapping[str, float | None] | None = None,
    ) -> None:
        """Tell that `done` of `total` units (rows, steps, examples, bytes) are finished."""
        ...

    def log(self, text: str) -> None:
        """Tell a line for people who debug."""
        ...

    def checkpoint(self, step: int, path: str, superseded: Sequence[str] = ()) -> None:
        """Report that a checkpoint folder, relative to the job's folder, is complete and durable.

        superseded: older ones that may be removed once this one is recorded; whoever records it
        removes them.
        """
        ...

    def warn(self, reason_code: str, text: str, facts: Mapping[str, Any]) -> None:
        """Tell about trouble that the work goes on after; it enters the history of runs."""
        ...

    def is_stop_requested(self) -> bool:
        """Return whether the parent asked to stop at the next safe point."""
        ...


class Door(Protocol):
    """A function that does the work of one kind."""

    def __call__(self, job: Job, report: Reporter) -> Result:
        """Do the job; raise WorkerError with a reason code when it cannot be done."""
        ...
