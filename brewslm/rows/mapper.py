"""What a mapper is: declared fields, an options spec, and a pure function of one row.

A row becomes one example or one reject. The value of a field comes from the one column bound to it;
an empty column is never replaced by another.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from msgspec import Struct, field
from pydantic import ValidationError

from brewslm.contracts import Spec
from brewslm.errors import BrewError
from brewslm.registry import Registry, closest
from brewslm.rows.adjustments import Remarks
from brewslm.rows.record import Flag
from brewslm.rows.rejects import RejectCode, RejectedRow
from brewslm.rows.targets import Target
from brewslm.tasks.task import FORMS, Reference

DEFAULT_MAPPER_ID = "default-canonical"
KEY_FIELD = "id"
SYSTEM_FIELD = "system"
HISTORY_FIELD = "history"
S = TypeVar("S", bound=Spec)


class Mapped(NamedTuple):
    """Inputs and reference of an example, and what was noticed on the way."""

    inputs: dict[str, Any]
    reference: dict[str, Any]
    flags: frozenset[Flag] = frozenset()
    task_profile: str | None = None
    """Set where the row's fields decide the profile."""
    remarks: Remarks | None = None
    """What was accepted in another form, and what nothing reads."""


class NoOptions(Spec):
    """Options of a mapper that has none."""


class DefaultOptions(Spec):
    """Options of introspection."""

    min_confidence: float = 0.80
    """Below it a proposal has to be written into the manifest."""


class MapperField(Struct, frozen=True):
    """A field that a mapper reads."""

    name: str
    is_required: bool = False
    is_extra: bool = False
    """Bound only where a row has the column, or the manifest maps it."""


class Sample(Struct, frozen=True):
    """A row and what must become of it: an accepted example, or a reject code."""

    row: Mapping[str, Any]
    code: RejectCode | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    profile: str | None = None
    labels: frozenset[str] | None = None


Map = Callable[[Mapping[str, Any], Any, Target], Mapped]


class Mapper(Struct, frozen=True):
    """A way to make examples of rows.

    `map` takes the bound fields, the options and the target; it raises RejectedRow.
    """

    id: str
    task_profile: str
    fields: tuple[MapperField, ...]
    map: Map
    samples: tuple[Sample, ...]
    aliases: tuple[str, ...] = ()
    """Other spellings, accepted with a warning."""
    references: tuple[Reference, ...] = ()
    """What it can make of an answer; an adapter may name any task of these instead."""
    options: type[Spec] = NoOptions
    one_of: tuple[str, ...] = ()
    """Fields of which at least one must be bound to a column."""
    check_options: Callable[[Any], None] | None = None
    """Raises MapperOptionError for options that are well-formed and unfit."""
    reads_whole_row: bool = False
    """Whether options name further columns; fields then come on top of the row's columns."""
    option_columns: Callable[[Any], Iterable[str]] | None = None
    """The further columns that options name."""
    makes_turns: bool = False
    """Whether the inputs of its examples are turns, whatever the task."""
    scoring_mode: str = "auto"
    """The way answers are compared when the contract names none."""

    @property
    def profiles(self) -> tuple[str, ...]:
        """All task profiles that the mapper can make examples of."""
        other = (
            name
            for name, form in FORMS.all().items()
            if form.reference in self.references
            and form.text_input
            and not form.takes_turns
            and not form.takes_passages
            and name != self.task_profile
        )
        return (self.task_profile, *other)

    @property
    def field_names(self) -> tuple[str, ...]:
        """Every field that `field_mapping` may name."""
        return (*(item.name for item in self.fields), KEY_FIELD)


MAPPERS: Registry[Mapper] = Registry("brewslm.rows.mappers", "MAPPER", "mapper")


class MapperOptionError(BrewError):
    """Options or fields that a mapper does not have; code MAPPER_OPTION."""


def load_options(mapper: Mapper, options: Mapping[str, Any]) -> Spec:
    """Return the options of a mapper as its frozen spec.

    Raises: MapperOptionError.
    """
    loaded = _load_spec(mapper.id, mapper.options, options)
    if mapper.check_options is not None:
        mapper.check_options(loaded)
    return loaded


def load_defaults(options: Mapping[str, Any]) -> DefaultOptions:
    """Return the options of introspection.

    Raises: MapperOptionError.
    """
    return _load_spec(DEFAULT_MAPPER_ID, DefaultOptions, options)


def _load_spec(mapper_id: str, spec: type[S], options: Mapping[str, Any]) -> S:
    try:
        return spec.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        known = tuple(spec.model_fields)
        suggestions = closest(name, known)
        raise MapperOptionError(
            f'mapper "{mapper_id}" cannot use the option "{name}"',
            code="MAPPER_OPTION",
            found=first["msg"],
            expected=", ".join(known) or "no options",
            remedy=f"write {suggestions[0]}" if suggestions else "correct adapter_config",
        ) from error


def check_profile(mapper: Mapper, profile: str | None) -> None:
    """Refuse a task that the mapper makes no examples of; None is the mapper's own.

    Raises: MapperOptionError.
    """
    if profile is not None and profile not in mapper.profiles:
        raise MapperOptionError(
            f'mapper "{mapper.id}" makes no rows of the task "{profile}"',
            code="MAPPER_OPTION",
            found=profile,
            expected=", ".join(mapper.profiles),
            remedy=f"write task_profile: {mapper.task_profile}, or name another mapper",
        )


def bind_columns(mapper: Mapper, field_mapping: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return (field, column) pairs; an unmapped field takes the column of its own name.

    Raises: MapperOptionError for a field that the mapper does not have.
    """
    for name in field_mapping:
        if name not in mapper.field_names:
            suggestions = closest(name, mapper.field_names)
            raise MapperOptionError(
                f'mapper "{mapper.id}" has no field "{name}"',
                code="MAPPER_OPTION",
                found=f'"{name}"',
                expected=", ".join(mapper.field_names),
                remedy=f"write {suggestions[0]}" if suggestions else "correct field_mapping",
            )
    return tuple((item.name, field_mapping.get(item.name, item.name)) for item in mapper.fields)


def text_field(
    values: Mapping[str, Any], name: str, code: RejectCode, *, is_trimmed: bool = True
) -> str:
    """Return the text of a required field.

    Raises: RejectedRow with `code` where it is absent or blank, wrong_type where it is no text.
    """
    value = values.get(name)
    if value is None:
        raise RejectedRow(code, name)
    if type(value) is not str:
        raise RejectedRow(RejectCode.WRONG_TYPE, name, f"a {type(value).__name__}")
    trimmed = value.strip()
    if not trimmed:
        raise RejectedRow(code, name)
    return trimmed if is_trimmed else value


def optional_text(values: Mapping[str, Any], name: str, *, is_trimmed: bool = True) -> str:
    """Return the text of a field, empty where it is absent or blank.

    Raises: RejectedRow with wrong_type where it is no text.
    """
    value = values.get(name)
    if value is None:
        return ""
    if type(value) is not str:
        raise RejectedRow(RejectCode.WRONG_TYPE, name, f"a {type(value).__name__}")
    trimmed = value.strip()
    return trimmed if is_trimmed or not trimmed else value


def scalar_text(value: Any, name: str, code: RejectCode) -> str:
    """Return a label or id as trimmed text; integers and booleans are accepted.

    Raises: RejectedRow.
    """
    if value is None:
        raise RejectedRow(code, name)
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int:
        return str(value)
    if type(value) is not str:
        raise RejectedRow(RejectCode.WRONG_TYPE, name, f"a {type(value).__name__}")
    if not (text := value.strip()):
        raise RejectedRow(code, name)
    return text
