"""Chunks of a source into stored examples and rejects, by whichever process has time."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

from msgspec import Struct, field

from brewslm.rows.adjustments import RemarkCounts
from brewslm.rows.binding import Binding, Grouping
from brewslm.rows.clean import CleaningTally, PiiHit
from brewslm.rows.contract import Contract
from brewslm.rows.dataset import CleaningSpec, ContractSpec
from brewslm.rows.mapper import MAPPERS
from brewslm.rows.record import Position, Record, Reject
from brewslm.rows.request import SourceRequest
from brewslm.rows.source import SOURCES, Chunk, Feed, ReadChunk, Tally
from brewslm.rows.stored import StoredExample, content_bytes, place_at, stored

_CHUNK_ROWS = 2048


class MappedChunk(Struct, array_like=True):
    """What became of the rows of a chunk, and what was counted on the way."""

    examples: list[StoredExample]
    contents: bytes
    """Of the examples, which lie at their places in it."""
    rejects: list[Reject]
    pii_places: list[tuple[PiiHit, Position]]
    changed: dict[str, int]
    pii: dict[str, int]
    left_values: int
    rows_read: int = 0
    tally: Tally | None = None
    remarks: RemarkCounts = field(default_factory=RemarkCounts)


@dataclass(frozen=True, slots=True)
class RowMapping:
    """How the rows of a source are read, mapped and cleaned; opened by each worker."""

    source: SourceRequest
    scheme: str
    file: str
    mapper_id: str
    contract: ContractSpec
    cleaning: CleaningSpec
    grouping: Grouping
    confidence: float | None = None
    argument: type[Chunk] = Chunk
    result: type[MappedChunk] = MappedChunk

    def bind(self) -> Binding:
        """Return the binding of source and mapper.

        Raises: MapperOptionError, SchemaError.
        """
        return Binding(
            self.source,
            self.file,
            MAPPERS.load(self.mapper_id),
            Contract.of(self.contract, self.source.contract),
            self.cleaning,
            self.grouping,
            self.confidence,
        )

    def open(self) -> Callable[[Chunk], MappedChunk]:
        """Return the function that maps one chunk of lines."""
        read_chunk = SOURCES.load(self.scheme).read_chunk
        if read_chunk is None:
            raise TypeError(f"{self.scheme} is not read by chunks")
        return partial(_map_chunk, self.bind(), read_chunk)


def map_records(mapping: RowMapping, records: Iterable[Record]) -> Iterator[MappedChunk]:
    """Yield what becomes of records, some at a time."""
    binding = mapping.bind()
    stream = iter(records)
    while batch := list(islice(stream, _CHUNK_ROWS)):
        yield _mapped(binding, batch)


def absorb(binding: Binding, feed: Feed, chunk: MappedChunk) -> None:
    """Add the counts of a chunk to those of its source."""
    binding.rejected.update(reject.code for reject in chunk.rejects)
    binding.pii_places += chunk.pii_places
    binding.tally.changed.update(chunk.changed)
    binding.tally.pii.update(chunk.pii)
    binding.tally.left_values += chunk.left_values
    binding.remarks.update(chunk.remarks)
    if chunk.tally is not None:
        feed.rows_read += chunk.rows_read
        feed.tally.blank_lines += chunk.tally.blank_lines
        feed.tally.byte_order_marks += chunk.tally.byte_order_marks
        feed.tally.columns.update(chunk.tally.columns)


def _map_chunk(binding: Binding, read_chunk: ReadChunk, chunk: Chunk) -> MappedChunk:
    tally = Tally()
    records = list(read_chunk(chunk, tally))
    for record in records:
        tally.see(record)
    mapped = _mapped(binding, records)
    mapped.rows_read, mapped.tally = len(records), tally
    return mapped


def _mapped(binding: Binding, records: Iterable[Record]) -> MappedChunk:
    binding.tally, binding.pii_places = CleaningTally(), []
    binding.remarks = RemarkCounts()
    examples: list[StoredExample] = []
    contents: list[bytes] = []
    rejects: list[Reject] = []
    start = 0
    for outcome in binding.examples(iter(records)):
        if isinstance(outcome, Reject):
            rejects.append(outcome)
            continue
        content = content_bytes(outcome)
        examples.append(stored(outcome, place_at(start, len(content))))
        contents.append(content)
        start += len(content)
    tally = binding.tally
    return MappedChunk(
        examples,
        b"".join(contents),
        rejects,
        binding.pii_places,
        dict(tally.changed),
        dict(tally.pii),
        tally.left_values,
        remarks=binding.remarks,
    )
