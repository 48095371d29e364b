"""A source and its mapper: rows in, examples and rejects out, everything counted."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from brewslm.rows.adjustments import RemarkCounts, Remarks
from brewslm.rows.clean import CleaningTally, PiiHit, clean, shown_value
from brewslm.rows.contract import Contract, check_contract
from brewslm.rows.dataset import CleaningSpec
from brewslm.rows.identity import hex_digest, identify
from brewslm.rows.mapper import KEY_FIELD, Mapper, bind_columns, load_options, scalar_text
from brewslm.rows.record import Example, Fault, Position, Record, Reject
from brewslm.rows.rejects import HoldCode, RejectCode, RejectedRow
from brewslm.rows.request import GOLD_ROLES, SourceRequest
from brewslm.rows.targets import Target

_KEPT_TEXT_BYTES = 64 << 10
DERIVED_COLUMN = "derived_from"
REVIEW_COLUMN = "review_status"


@dataclass(frozen=True, slots=True)
class Grouping:
    """The columns that place and tag a row; names are columns or mapped fields."""

    group_by: tuple[str, ...] = ()
    stratify_by: str | None = None
    tags: tuple[str, ...] = ()


class _GuardedRow(dict[str, Any]):
    """A row of which some cells cannot be read: only a row that needs one of them is rejected."""

    def __init__(self, row: Mapping[str, Any], faults: Mapping[str, Fault]) -> None:
        super().__init__(row)
        self.faults = faults

    def get(self, column: str, default: Any = None) -> Any:
        """Return a cell. Raises: RejectedRow where it cannot be read."""
        if (fault := self.faults.get(column)) is not None:
            raise RejectedRow(fault.code, column, fault.detail)
        return super().get(column, default)

    def with_fields(self, values: Mapping[str, Any]) -> "_GuardedRow":
        """Return the row with the bound fields on top, whose cells were read already."""
        faults = {name: fault for name, fault in self.faults.items() if name not in values}
        return _GuardedRow({**self, **values}, faults)


@dataclass
class Binding:
    """One source bound to one mapper."""

    source: SourceRequest
    file: str
    mapper: Mapper
    contract: Contract
    cleaning: CleaningSpec
    grouping: Grouping
    confidence: float | None = None
    """Of the proposal, None where the mapper was written."""
    field_map: dict[str, str] = field(default_factory=dict)
    tally: CleaningTally = field(default_factory=CleaningTally)
    rejected: Counter[str] = field(default_factory=Counter)
    pii_places: list[tuple[PiiHit, Position]] = field(default_factory=list)
    remarks: RemarkCounts = field(default_factory=RemarkCounts)

    def __post_init__(self) -> None:
        """Bind fields to columns and load the options.

        Raises: MapperOptionError.
        """
        self.options = load_options(self.mapper, self.source.options)
        self._pairs = bind_columns(self.mapper, self.source.field_mapping)
        extras = {item.name for item in self.mapper.fields if item.is_extra}
        self._extras = extras - self.source.field_mapping.keys()
        self.field_map = {name: column for name, column in self._pairs if name not in self._extras}
        self._key_column = self.source.field_mapping.get(KEY_FIELD)
        self._read_columns = frozenset(self._named_columns())
        self.scoring_mode = (
            self.mapper.scoring_mode
            if self.contract.scoring_mode == "auto"
            else self.contract.scoring_mode
        )
        labels = self.contract.allowed_labels
        self.target = Target(
            self.source.task_profile or self.mapper.task_profile,
            self.scoring_mode,
            None if labels is None else frozenset(labels),
        )

    @property
    def is_gold(self) -> bool:
        """Whether rows of the source are never trained on."""
        return self.source.role in GOLD_ROLES

    def bind_extras(self, columns: Collection[str]) -> None:
        """Add the fields that are bound only where a row has their column."""
        self.field_map |= {
            name: column
            for name, column in self._pairs
            if name in self._extras and column in columns
        }

    def _named_columns(self) -> Iterator[str]:
        """Yield the columns that something reads."""
        yield from (column for _, column in self._pairs)
        yield from (*self.grouping.group_by, *self.grouping.tags, *self.contract.required_fields)
        yield from (DERIVED_COLUMN, REVIEW_COLUMN)
        for name in (self._key_column, self.grouping.stratify_by):
            if name is not None:
                yield name
        if self.mapper.option_columns is not None:
            yield from self.mapper.option_columns(self.options)

    def examples(self, records: Iterator[Record]) -> Iterator[Example | Reject]:
        """Yield what becomes of every record, in order."""
        for record in records:
            outcome = self._outcome(record)
            if isinstance(outcome, Reject):
                self.rejected[outcome.code] += 1
            yield outcome

    def _outcome(self, record: Record) -> Example | Reject:
        position = Position(self.source.name, record.line, self.file, record.byte_offset)
        digest = record.raw_digest or hex_digest(record.raw)
        row = record.value
        if row is None:
            return self._parse_reject(record, position, digest)
        if record.cell_faults:
            row = _GuardedRow(row, record.cell_faults)
        row_key = None
        try:
            if self._key_column is not None:
                key = scalar_text(row.get(self._key_column), KEY_FIELD, RejectCode.WRONG_TYPE)
                row_key = f"{self.source.name}-{key}"
            return self._example(row, position, digest, row_key)
        except RejectedRow as error:
            return Reject(
                position,
                digest,
                row_key,
                error.code,
                error.field_path,
                error.detail,
                row=shown_value(row, self.cleaning.pii),
            )

    def _example(
        self, row: dict[str, Any], position: Position, digest: str, row_key: str | None
    ) -> Example:
        values = {name: row.get(column) for name, column in self._pairs}
        values_view: Mapping[str, Any] = values
        if self.mapper.reads_whole_row:
            if isinstance(row, _GuardedRow):
                values_view = row.with_fields(values)
            else:
                values_view = {**row, **values}
        mapped = self.mapper.map(values_view, self.options, self.target)
        example = Example(
            position,
            digest,
            row_key,
            mapped.task_profile or self.target.task_profile,
            mapped.inputs,
            mapped.reference,
            set(mapped.flags),
            weight=self.source.weight,
            is_gold=self.is_gold,
        )
        for hit in clean(example, self.cleaning, self.tally):
            self.pii_places.append((hit, position))
        check_contract(example, values_view, self.contract)
        self._note(row, mapped.remarks or Remarks(), position)
        self._place(example, row, values)
        if self.source.role == "synthetic" and row.get(REVIEW_COLUMN, "approved") != "approved":
            example.hold = HoldCode.PENDING_REVIEW
        return example

    def _note(self, row: Mapping[str, Any], remarks: Remarks, position: Position) -> None:
        """Count what was accepted in another form and what nothing reads."""
        unread = row.keys() - self._read_columns
        if unread:
            remarks.unread |= {name for name in unread if row[name] not in (None, "", [], {})}
            if isinstance(row, _GuardedRow):
                remarks.unread |= unread & row.faults.keys()
        if remarks.adjustments or remarks.unread:
            self.remarks.add(remarks, position.line)

    def _place(self, example: Example, row: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        grouping = self.grouping
        named = dict.fromkeys(grouping.group_by)
        if named:
            named = {name: row.get(name, values.get(name)) for name in named}
        identify(example, named or None)
        if grouping.stratify_by is not None:
            value = row.get(grouping.stratify_by, values.get(grouping.stratify_by))
            example.stratum = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        for name in grouping.tags:
            value = row.get(name, values.get(name))
            if isinstance(value, (str, int, float)):
                example.tags[name] = value
        derived = row.get(DERIVED_COLUMN)
        if isinstance(derived, str):
            example.derived_from = derived

    def _parse_reject(self, record: Record, position: Position, digest: str) -> Reject:
        fault = record.fault
        if fault is None:
            raise AssertionError("a record has neither value nor fault")
        text = record.raw[:_KEPT_TEXT_BYTES].decode(errors="replace")
        shown = shown_value(text, self.cleaning.pii)
        return Reject(
            position,
            digest,
            None,
            fault.code,
            "",
            fault.detail,
            row=shown,
            lost_rows=record.lost_rows,
        )
