"""What is known so far while a request is carried out."""

from dataclasses import dataclass, field

from brewslm.contracts import RowProgress, untold
from brewslm.diagnostics import Finding
from brewslm.rows.binding import Binding
from brewslm.rows.introspect import Proposal
from brewslm.rows.record import Reject
from brewslm.rows.request import Request
from brewslm.rows.source import Feed
from brewslm.rows.stored import ContentStore, StoredExample


@dataclass(frozen=True, slots=True)
class SourceStats:
    """What reading a source showed."""

    locator: str
    digest: str
    size_bytes: int
    rows_read: int
    blank_lines: int
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BindingStats:
    """What a mapper made of a source."""

    adapter: str
    mapper_id: str
    task_profile: str
    field_map: dict[str, str]
    confidence: float | None
    """Of introspection, None where the mapper was written."""
    mapped: int
    """Rows that became examples, duplicates included."""
    rejected: dict[str, int]
    examples_digest: str
    """Of the examples' identities and tags; equal for equal content in any order."""


@dataclass(slots=True)
class Work:
    """Everything that is known so far while a request is carried out."""

    request: Request
    contents: ContentStore
    tell: RowProgress = untold
    """Takes reports of progress."""
    findings: list[Finding] = field(default_factory=list)
    feeds: dict[str, Feed] = field(default_factory=dict)
    bindings: dict[str, Binding] = field(default_factory=dict)
    proposals: dict[str, tuple[Proposal, ...]] = field(default_factory=dict)
    examples: list[StoredExample] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    stats: dict[str, BindingStats] = field(default_factory=dict)

    def role(self, example: StoredExample) -> str:
        """Return the role of the source that an example came from."""
        return self.bindings[example.source].source.role
