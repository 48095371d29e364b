"""What an accepted example leaves in memory, and the file that holds the rest of it.

Placing, mixing and counting need digests and a few facts of every row; inputs, reference and tags
are read back where a row is compared or written. So memory grows by some hundred bytes a row,
however long the texts are.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from sys import intern
from types import TracebackType
from typing import Any

from msgspec import Struct, msgpack

from brewslm.files import open_scratch
from brewslm.rows.record import Example, Flag, Position, Split
from brewslm.rows.rejects import HoldCode
from brewslm.tasks.task import Reference, form_of

_SIZE_BITS = 32
_SIZE_MASK = (1 << _SIZE_BITS) - 1


class Origin(Struct, array_like=True):
    """The bytes that a row was made of; the beginning of its content."""

    raw_digest: str
    byte_offset: int | None


class Content(Origin, array_like=True):
    """The part of an example that lies in a file."""

    inputs: dict[str, Any]
    reference: dict[str, Any]
    tags: dict[str, Any]


_ENCODER = msgpack.Encoder()
_DECODER = msgpack.Decoder(Content)
_ORIGIN_DECODER = msgpack.Decoder(Origin)


class StoredExample(Struct, array_like=True, gc=False):
    """An example whose content lies in a ContentStore; as nothing in it leads back to it, there is
    nothing for the garbage collector to do.
    """

    source: str
    file: str
    line: int
    at: int
    """Where its content lies, as the store counts."""
    row_digest: bytes
    input_digest: bytes
    task_profile: str
    input_names: tuple[str, ...]
    row_key: str | None
    declared_group: str | None
    """None where no columns declare groups; equal inputs are a group then."""
    stratum: str
    label: str | None
    """Of a classification, else None."""
    has_target: bool
    derived_from: str | None
    flags: tuple[Flag, ...]
    """Sorted."""
    is_gold: bool
    weight: int | float
    hold: HoldCode | None
    split: Split | None = None

    @property
    def row_id(self) -> str:
        """The digest of profile, inputs and reference, in hex."""
        return self.row_digest.hex()

    @property
    def group_key(self) -> str:
        """What rows that must not part have in common."""
        if self.declared_group is None:
            return f"i:{self.input_digest.hex()}"
        return self.declared_group

    @property
    def position(self) -> Position:
        """Source, line and file."""
        return Position(self.source, self.line, self.file)


def batches(examples: Sequence[StoredExample], rows: int) -> Iterator[Sequence[StoredExample]]:
    """Yield ordered examples so many at a time, and a few more where equal rows would part."""
    start = 0
    while start < len(examples):
        end = start + rows
        while end < len(examples) and examples[end].row_digest == examples[end - 1].row_digest:
            end += 1
        yield examples[start:end]
        start = end


def stored(example: Example, at: int) -> StoredExample:
    """Return what stays in memory of an example whose content lies at `at`."""
    is_classified = form_of(example.task_profile).reference is Reference.LABEL
    has_declared_group = not example.group_key.startswith("i:")
    return StoredExample(
        source=example.position.source,
        file=example.position.file,
        line=example.position.line,
        at=at,
        row_digest=bytes.fromhex(example.row_id),
        input_digest=bytes.fromhex(example.input_key),
        task_profile=example.task_profile,
        input_names=tuple(example.inputs),
        row_key=example.row_key,
        declared_group=example.group_key if has_declared_group else None,
        stratum=example.stratum,
        label=example.reference["label"] if is_classified else None,
        has_target=example.reference.get("text") != "" or "tool_calls" in example.reference,
        derived_from=example.derived_from,
        flags=tuple(sorted(example.flags)),
        is_gold=example.is_gold,
        weight=example.weight,
        hold=example.hold,
    )


def content_bytes(example: Example) -> bytes:
    """Return the content of an example as a store keeps it."""
    return _ENCODER.encode(
        Content(
            example.raw_digest,
            example.position.byte_offset,
            example.inputs,
            example.reference,
            example.tags,
        )
    )


def content_of(data: bytes) -> Content:
    """Return the content that `content_bytes` wrote."""
    return _DECODER.decode(data)


def place_at(start: int, size_bytes: int) -> int:
    """Return one number for a place in a store."""
    return start << _SIZE_BITS | size_bytes


class ContentStore:
    """A nameless file of contents; nothing is left of it when it is closed."""

    def __init__(self, folder: Path) -> None:
        """Open the file on the disk of `folder`."""
        self._stream = open_scratch(folder)
        self._size_bytes = 0
        self._is_flushed = True
        self._shared: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def __enter__(self) -> "ContentStore":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    def take(self, examples: Iterable[StoredExample], contents: bytes) -> None:
        """Append contents, and let the examples say where in the store theirs lie.

        The examples come with places inside `contents`; texts that many of them have are shared.
        """
        start = self._size_bytes << _SIZE_BITS
        for example in examples:
            example.at += start
            example.source = intern(example.source)
            example.file = intern(example.file)
            example.task_profile = intern(example.task_profile)
            example.stratum = intern(example.stratum)
            if example.label is not None:
                example.label = intern(example.label)
            if example.declared_group is not None:
                example.declared_group = intern(example.declared_group)
            example.input_names = self._shared.setdefault(example.input_names, example.input_names)
            example.flags = self._shared.setdefault(example.flags, example.flags)
        self._stream.write(contents)
        self._size_bytes += len(contents)
        self._is_flushed = False

    def read(self, at: int) -> bytes:
        """Return the bytes of the content that lies at a place."""
        if not self._is_flushed:
            self._stream.flush()
            self._is_flushed = True
        return os.pread(self._stream.fileno(), at & _SIZE_MASK, at >> _SIZE_BITS)

    def content(self, example: StoredExample) -> Content:
        """Return an example's content."""
        return _DECODER.decode(self.read(example.at))

    def origin(self, example: StoredExample) -> Origin:
        """Return the beginning of an example's content."""
        return _ORIGIN_DECODER.decode(self.read(example.at))

    def content_at(self, at: int) -> Content:
        """Return the content that lies at a place."""
        return _DECODER.decode(self.read(at))
