"""Values on a row's way: the record that a source yields and the example made of it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from msgspec import Struct, field

from brewslm.rows.rejects import HoldCode, RejectCode

MAX_RECORD_BYTES = 1 << 20


class Fault(NamedTuple):
    """Why a record has no value."""

    code: RejectCode
    detail: str = ""


class Record(NamedTuple):
    """What a source yields: bytes with a position, and a value or the fault that prevents one.

    `line` is 1-based, the row ordinal for parquet; `byte_offset` is None there.
    """

    line: int
    byte_offset: int | None
    raw: bytes
    """Without line end; cut for `row_too_large`."""
    value: dict[str, Any] | None
    fault: Fault | None
    raw_digest: str = ""
    """Set where `raw` is not the whole record."""
    cell_faults: Mapping[str, Fault] | None = None
    """Columns that cannot be read exactly, with null in `value`; only a row that needs one of them
    is rejected.
    """
    lost_rows: int = 1
    """Rows that a fault cost, estimated where what follows could not be divided."""


class Flag(StrEnum):
    """What was noticed about an accepted row."""

    TAG_REPAIRED = "tag_repaired"
    CONTROL_CHARACTER = "control_character"
    BIDI_CONTROL = "bidi_control"
    INVISIBLE_CHARACTER = "invisible_character"
    REDACTED = "redacted"
    SPLIT_FORCED = "split_forced"
    HTML_ENTITY = "html_entity"


class Split(StrEnum):
    """Where an accepted example ends; the value is the name in counts and in `index.jsonl`."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    GOLD_DEV = "gold_dev"
    GOLD_TEST = "gold_test"
    HELD = "held"

    @property
    def file(self) -> str:
        """File of the set in the prepared folder; validation has had a short name from the start,
        and another one would make every prepared folder a new one.
        """
        return "val.jsonl" if self is Split.VALIDATION else f"{self.value}.jsonl"

    @property
    def is_gold(self) -> bool:
        """Whether rows of this set are never trained on."""
        return self in (Split.GOLD_DEV, Split.GOLD_TEST)

    @property
    def is_evaluated(self) -> bool:
        """Whether a verdict may rest on rows of this set."""
        return self.is_gold or self is Split.TEST

    @property
    def is_trained(self) -> bool:
        """Whether training sees rows of this set."""
        return self in (Split.TRAIN, Split.VALIDATION)


class Position(Struct, frozen=True):
    """Where a row stands: source, file and line."""

    source: str
    line: int
    file: str = ""
    byte_offset: int | None = None

    def __lt__(self, other: "Position") -> bool:
        return (self.source, self.line) < (other.source, other.line)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Example(Struct):
    """What a mapper made of a row, with its identities and, in the end, its place."""

    position: Position
    raw_digest: str
    row_key: str | None
    task_profile: str
    inputs: dict[str, Any]
    reference: dict[str, Any]
    flags: set[Flag] = field(default_factory=set)
    tags: dict[str, Any] = field(default_factory=dict)
    weight: float = 1
    is_gold: bool = False
    """Whether its source is never trained on."""
    row_id: str = ""
    input_key: str = ""
    group_key: str = ""
    stratum: str = ""
    derived_from: str | None = None
    split: Split | None = None
    hold: HoldCode | None = None


class Reject(Struct):
    """A row that stayed out, or a duplicate (`of_row_id` set) of a row that stayed in."""

    position: Position
    raw_digest: str
    row_key: str | None
    code: str
    field_path: str = ""
    detail: str = ""
    of_row_id: str | None = None
    row: Any = None
    content_at: int | None = None
    """Where the content of a duplicate is stored, None for other rows."""
    lost_rows: int = 1
    """Rows that were lost with this one, itself included."""
