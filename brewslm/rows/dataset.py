"""What the manifest's `spec.dataset` says: how rows are cleaned, split, checked and mixed."""

from typing import Annotated, Any, Literal

from pydantic import Field

from brewslm.contracts import Category, Spec

TaskProfile = Literal[
    "instruction_sft",
    "chat_sft",
    "qa",
    "rag_qa",
    "tool_calling",
    "structured_extraction",
    "summarization",
    "seq2seq",
    "classification",
    "preference",
    "language_modeling",
]
Share = Annotated[float, Field(ge=0, le=1), Category.DATA]


class SplitSpec(Spec):
    """How the pool is split."""

    train: Share = 0.8
    """Share of the pool that is trained on."""
    validation: Share = 0.1
    """Share that early stopping looks at."""
    test: Share = 0.1
    """Share that is evaluated when there are no gold rows."""
    seed: Annotated[int, Field(ge=0), Category.DATA] = 42
    """Seed of the assignment."""
    method: Annotated[Literal["hash", "random"], Category.DATA] = "hash"
    """hash: by digest of the row or its group; random: exact shares of a seeded order."""
    group_by: Annotated[str | tuple[str, ...] | None, Category.DATA] = None
    """Columns whose equal values keep rows in one set."""
    stratify_by: Annotated[str | None, Category.DATA] = None
    """Column or field whose shares are kept equal in all sets; `random` only."""

    @property
    def group_columns(self) -> tuple[str, ...]:
        """Return `group_by` as columns, none where it is not written."""
        return (self.group_by,) if isinstance(self.group_by, str) else self.group_by or ()


class CleaningSpec(Spec):
    """What cleaning changes and removes."""

    dedupe: Annotated[Literal["off", "exact", "near"], Category.DATA] = "exact"
    """exact: equal after normalisation; near: also similar rows. The first row stays."""
    near_threshold: Annotated[float, Field(ge=0.5, le=1), Category.DATA] = 0.85
    """Jaccard similarity of character 5-grams."""
    pii: Annotated[Literal["off", "warn", "redact", "block"], Category.DATA] = "warn"
    """What happens to private data; found text is never printed or stored."""
    min_chars: Annotated[int, Field(ge=0), Category.DATA] = 1
    """Characters of the answer; fewer is a reject."""
    max_chars: Annotated[int | None, Field(ge=1), Category.DATA] = None
    """Characters of the whole row; more is a reject."""
    normalize_unicode: Annotated[bool, Category.DATA] = True
    """NFC, and CRLF to LF; nothing else is changed."""


class ContractSpec(Spec):
    """What every row has to satisfy."""

    allowed_labels: Annotated[tuple[str, ...] | None, Category.DATA] = None
    """Closed set of labels."""
    required_fields: Annotated[tuple[str, ...], Category.DATA] = ()
    """Mapped fields, or keys of a JSON answer with `answer.` before them."""
    json_schema: Annotated[dict[str, Any] | str | None, Category.DATA] = None
    """JSON Schema 2020-12, or the path of one, that every answer must fit."""
    max_reject_rate: Annotated[float, Field(ge=0, le=1), Category.DATA] = 0.1
    """Rejected rows over rows read, all sources together."""
    max_rejects_by_code: Annotated[dict[str, int], Category.DATA] = {}
    """Most rows that a reject code may take."""
    min_rows: Annotated[int, Field(ge=0), Category.DATA] = 0
    """Fewest train rows."""


class LeakCheckSpec(Spec):
    """How training rows are compared with evaluation rows."""

    exact: Annotated[bool, Category.DATA] = True
    """Equal rows across train and any evaluation set."""
    ngram: Annotated[int, Field(ge=0, le=50), Category.DATA] = 13
    """Words of a shared run that counts as a leak; 0 is off, else at least 5."""
    near: Annotated[float | None, Field(ge=0.5, le=1), Category.DATA] = 0.7
    """Jaccard similarity of character 5-grams; null is off."""
    group: Annotated[bool, Category.DATA] = True
    """Equal `split.group_by` values across sets."""
    action: Annotated[Literal["block", "warn"], Category.DATA] = "block"
    """block: an error before anything is trained."""


class MixBackSpec(Spec):
    """General rows put back against forgetting."""

    source: Annotated[str | None, Category.DATA] = None
    """The source; it is used for nothing else."""
    fraction: Annotated[float, Field(ge=0, le=0.5), Category.DATA] = 0.0
    """Its share of the final train set."""


class DatasetSpec(Spec):
    """The manifest's `spec.dataset`."""

    task_profile: Annotated[TaskProfile | None, Category.DATA] = None
    """The task; null takes it from the adapters, which must then agree."""
    system_prompt: Annotated[str, Field(max_length=16_000), Category.DATA] = ""
    """System turn put before every row that has none, in training and in evaluation."""
    split: SplitSpec = SplitSpec()
    """How the pool is split."""
    cleaning: CleaningSpec = CleaningSpec()
    """What cleaning changes and removes."""
    contract: ContractSpec = ContractSpec()
    """What every row has to satisfy."""
    leak_check: LeakCheckSpec = LeakCheckSpec()
    """How training rows are compared with evaluation rows."""
    mix_back: MixBackSpec = MixBackSpec()
    """General rows put back against forgetting."""
    curriculum: Annotated[str, Field(pattern=r"^(none|length|column:.+)$"), Category.DATA] = "none"
    """Order of train rows: none shuffles each epoch, length is short answers first."""
    max_examples: Annotated[int | None, Field(ge=1), Category.DATA] = None
    """Most train rows, chosen by row hash."""
