"""What prepare is asked to do: sources with the adapters that serve them, and the dataset."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from brewslm.rows.dataset import DatasetSpec

POOL_ROLES = ("raw", "cleaned", "synthetic")
GOLD_ROLES = ("gold_dev", "gold_test")


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """A source and the adapter that serves it."""

    name: str
    role: str
    """raw, cleaned, synthetic, train, validation, test, gold_dev or gold_test."""
    locator: str
    """`scheme:path`, the path relative to the project."""
    limit: int | None = None
    delimiter: str | None = None
    """Byte between the cells of a row, None for the scheme's own."""
    weight: float = 1
    sha256: str | None = None
    """Expected digest of the bytes, 64 hex digits."""
    record_count: int = 0
    """Expected number of rows; 0 does not check."""
    adapter: str = ""
    """Name of the adapter resource, for findings and statistics."""
    mapper_id: str | None = None
    """None asks for introspection."""
    task_profile: str | None = None
    field_mapping: Mapping[str, str] = field(default_factory=dict)
    """Field of the mapper to column of the source."""
    options: Mapping[str, Any] = field(default_factory=dict)
    contract: Mapping[str, Any] = field(default_factory=dict)
    """Output contract of this source, on top of the dataset's."""


@dataclass(frozen=True, slots=True)
class Request:
    """A whole dataset to prepare."""

    project: str
    sources: tuple[SourceRequest, ...]
    dataset: DatasetSpec = field(default_factory=DatasetSpec)
    supported_profiles: tuple[str, ...] | None = None
    """Task profiles that rows can be prepared for; None is any."""
    tag_columns: tuple[str, ...] = ()
    """Columns that slices, curriculum or test types name; group and stratum are added."""
    chat_template: Mapping[str, Any] | None = None
    """`{digest, origin, special_tokens_digest}` once a base is known."""
    prompt_template_digest: str = ""
    tokenizer_digest: str | None = None
    link_roots: tuple[str, ...] = ()
    """Absolute folders outside the project that links to rows may lead into."""
