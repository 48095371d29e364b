"""Reading a source once: locator, bytes digested on the way, records with positions.

A source never reads outside the project folder, and bytes that change under its hands are an error.
"""

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import Any, BinaryIO, TypeVar

from msgspec import Struct

from brewslm.diagnostics import Finding, FindingCode, Place, Severity
from brewslm.errors import BrewError
from brewslm.files import LFS_POINTER, MAX_LFS_POINTER_BYTES, PathError, open_inside
from brewslm.registry import Registry, UnknownNameError
from brewslm.rows.record import MAX_RECORD_BYTES, Record
from brewslm.rows.rejects import RejectCode

_BUFFER_BYTES = 1 << 20
_CHUNK_BYTES = 2 << 20
MAX_FILE_BYTES = 8 << 30
UTF8_MARK = b"\xef\xbb\xbf"
_MARK_BYTES = 6
_UTF_16 = ("UTF-16 or UTF-32 text", "iconv -f UTF-16 -t UTF-8 {path} > {target}")
_NOT_TEXT = (
    *((mark, *_UTF_16) for mark in (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")),
    (b"\x1f\x8b", "data compressed by gzip", "gzip -dc < {path} > {target}"),
    (b"\x28\xb5\x2f\xfd", "data compressed by zstd", "zstd -dc < {path} > {target}"),
    (b"\xfd7zXZ", "data compressed by xz", "xz -dc < {path} > {target}"),
    (b"BZh", "data compressed by bzip2", "bzip2 -dc < {path} > {target}"),
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook", "unzip it, or save the sheet as CSV"),
    (b"PAR1", "Parquet", "write locator: parquet:{path}"),
)
"""First bytes of files that hold no UTF-8 text, what they hold, and what to do."""
_LOCAL_FILE = "save the rows in a file of the project, and write its path"
_PACKED_SUFFIXES = (".gz", ".zst", ".xz", ".bz2")
T = TypeVar("T")


class SourceError(BrewError):
    """A source cannot be read as a whole; `code` is a finding code."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        remedy: str,
        found: str = "",
        expected: str = "",
        line: int = 0,
    ) -> None:
        """line: where in the file, 0 for the file itself."""
        super().__init__(message, code=code, remedy=remedy, found=found, expected=expected)
        self.line = line


class NotByChunksError(Exception):
    """A file has to be read in order: it holds an array, or lines that only are skipped singly."""


@dataclass(slots=True)
class Tally:
    """What was seen while a source was read."""

    blank_lines: int = 0
    byte_order_marks: int = 0
    columns: dict[str, None] = field(default_factory=dict)
    """Column names in order of first appearance."""
    faults: dict[str, int] = field(default_factory=dict)
    """Records that are no rows, by code; counted where a whole file is read in order."""
    suspects: list[tuple[int, int]] = field(default_factory=list)
    """First line and number of lines of quoted cells that may hold rows."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Columns of which some cell could not be read, with the code of the first."""
    garbled_rows: int = 0
    """Rows with a cell that is not UTF-8, as in a file of another encoding."""

    def see(self, record: Record) -> None:
        """Note the columns of a record."""
        if record.value is not None and not record.value.keys() <= self.columns.keys():
            self.columns.update(dict.fromkeys(record.value))
        if record.cell_faults is not None:
            codes = {name: fault.code for name, fault in record.cell_faults.items()}
            self.unreadable = codes | self.unreadable
            self.garbled_rows += RejectCode.INVALID_UNICODE in codes.values()


class Chunk(Struct, array_like=True):
    """Whole lines of a file, and what lies before them."""

    data: bytes
    lines_before: int
    bytes_before: int


Read = Callable[[BinaryIO, Tally], Iterator[Record]]
ReadChunk = Callable[[Chunk, Tally], Iterator[Record]]


class Unpinned(Struct, frozen=True):
    """Why a locator does not say which bytes are meant, and what to do."""

    code: FindingCode
    message: str
    remedy: str
    severity: Severity


def _pinned(_rest: str, _sha256: str | None) -> None:
    return None


@dataclass(frozen=True)
class Remote:
    """Where the files of a scheme are that lie outside the project."""

    server: str
    """As `https://host`; empty where the locator itself is the URL."""
    find_unpinned: Callable[[str, str | None], Unpinned | None] = _pinned
    """Takes what follows the scheme and the digest that the manifest gives."""


@dataclass(frozen=True)
class Source:
    """A scheme: where its files are, and how their bytes become records.

    `read` consumes a buffered binary stream in file order and counts into the tally; None where
    files of the scheme are not fetched.
    """

    scheme: str
    read: Read | None = None
    extensions: tuple[str, ...] = ()
    """Of the files that are read like this when a path comes without a scheme, in lower case."""
    remote: Remote | None = None
    """None for files of the project."""
    is_seekable: bool = False
    """Whether it needs random access; the bytes are digested beforehand then."""
    max_bytes: int = MAX_FILE_BYTES
    """Size of the largest file that is read at all."""
    too_large_remedy: str = "split it into several sources"
    read_chunk: ReadChunk | None = None
    """Reads some lines of a file by themselves; None where that cannot be done."""
    must_read_whole: Callable[[bytes], bool] | None = None
    """Whether a file that begins like this cannot be read by chunks all the same."""
    read_delimited: Callable[[bytes], Read] | None = None
    """Returns what reads cells that another byte separates; None where there are no cells."""
    sample: bytes = b""
    """A small file of two rows, read by the conformance tests."""


SOURCES: Registry[Source] = Registry("brewslm.rows.sources", "SOURCE", "data source scheme")


@cache
def schemes_by_extension() -> Mapping[str, str]:
    """Return the scheme of every file extension that is known, as `.csv`."""
    sources = SOURCES.all().values()
    return {extension: source.scheme for source in sources for extension in source.extensions}


def find_source(scheme: str) -> Source | None:
    """Return the source of a scheme, None for an unknown one."""
    return SOURCES.load(scheme) if scheme in SOURCES.names() else None


def is_local(scheme: str) -> bool:
    """Return whether files of a scheme lie in the project; an unknown scheme has none."""
    source = find_source(scheme)
    return source is not None and source.remote is None


def local_schemes() -> tuple[str, ...]:
    """Return the schemes of files in the project, sorted."""
    return tuple(filter(is_local, SOURCES.names()))


def scheme_of_path(path: str) -> str:
    """Return the scheme of a path by its extension; empty when there is none."""
    return schemes_by_extension().get(PurePosixPath(path).suffix.lower(), "")


@dataclass(frozen=True, slots=True)
class Locator:
    """Scheme and path of a local source."""

    scheme: str
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.path}"


@dataclass(slots=True)
class Feed:
    """A source being read; digest, size and tally are complete once `records` is exhausted."""

    locator: Locator
    records: Iterator[Record]
    tally: Tally
    digest: str = ""
    size_bytes: int = 0
    rows_read: int = 0
    link_roots: tuple[Path, ...] = ()
    """Folders outside the project that links may lead into."""


def parse_locator(text: str) -> Locator:
    """Return scheme and path; a bare path and `file:` take the scheme of the extension.

    Raises: SourceError.
    """
    scheme, colon, path = text.partition(":")
    if not colon or "/" in scheme:
        scheme, path = "file", text
    if scheme == "file":
        scheme = scheme_of_path(path)
        if not scheme:
            suffix = PurePosixPath(path).suffix.lower()
            raise SourceError(
                f'no rows can be read from "{path}"',
                code=FindingCode.VALUE_UNAVAILABLE,
                found=f'extension "{suffix}"' if suffix else "no extension",
                expected="one of " + ", ".join(schemes_by_extension()),
                remedy="export the rows as JSON lines or CSV",
            )
    return Locator(schemes_by_extension().get(f".{scheme}", scheme), path)


def open_source(
    locator_text: str,
    root: Path,
    limit: int | None = None,
    delimiter: str | None = None,
    link_roots: tuple[Path, ...] = (),
) -> Feed:
    """Return a feed of the records of a source; nothing is read yet.

    delimiter: between the cells of a row, None for the scheme's own.
    Raises: SourceError here or while the records are consumed.
    """
    locator = parse_locator(locator_text)
    try:
        source = SOURCES.load(locator.scheme)
    except UnknownNameError as error:
        raise SourceError(
            error.message, code=FindingCode.VALUE_UNAVAILABLE, found=error.found,
            remedy=_LOCAL_FILE,
        ) from error  # fmt: skip
    read = source.read
    if read is None:
        raise SourceError(
            f'rows of "{locator}" are not fetched',
            code=FindingCode.VALUE_UNAVAILABLE,
            remedy=_LOCAL_FILE,
        )
    if delimiter is not None and source.read_delimited is not None:
        read = source.read_delimited(delimiter.encode())
    feed = Feed(locator, iter(()), Tally(), link_roots=link_roots)
    feed.records = _records(source, read, feed, root, limit)
    return feed


def finding_of(error: BrewError, locator: str, address: str) -> Finding:
    """Return the finding that says why a source could not be read."""
    file = locator.partition(":")[2] or locator
    return Finding(
        code=error.code,
        severity=Severity.ERROR,
        message=error.message,
        actionable_fix=error.remedy,
        address=address,
        place=Place(file, getattr(error, "line", 0)),
        found=error.found,
        expected=error.expected,
    )


def open_chunks(feed: Feed, root: Path) -> Iterator[Chunk]:
    """Yield the lines of a feed's file, some MiB at a time; digest and size are complete then.

    Raises: SourceError, NotByChunksError.
    """
    source = SOURCES.load(feed.locator.scheme)
    return _through(source, feed, root, partial(_chunks, source))


def size_of(feed: Feed, root: Path) -> int:
    """Return the size of a feed's file in bytes, 0 where it cannot be opened."""
    try:
        with open_inside(root, feed.locator.path, link_roots=feed.link_roots) as stream:
            return os.fstat(stream.fileno()).st_size
    except PathError:
        return 0


class _DigestingRaw(io.RawIOBase):
    """Raw bytes of a file that pass through SHA-256."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self.sha256.update(data)
        self.size_bytes += len(data)
        return len(data)


def _records(
    source: Source, read: Read, feed: Feed, root: Path, limit: int | None
) -> Iterator[Record]:
    return _through(
        source, feed, root, lambda stream: _limited(read(stream, feed.tally), feed, limit)
    )


def _through(
    source: Source, feed: Feed, root: Path, read: Callable[[BinaryIO], Iterator[T]]
) -> Iterator[T]:
    """Yield what `read` makes of a file's bytes, which are digested and must not change."""
    try:
        stream = open_inside(root, feed.locator.path, link_roots=feed.link_roots)
    except PathError as error:
        raise SourceError(
            error.message,
            code=error.code,
            remedy=error.remedy,
            found=error.found,
            expected=error.expected,
        ) from error
    with stream:
        before = os.fstat(stream.fileno())
        if before.st_size > source.max_bytes:
            raise SourceError(
                f'"{feed.locator.path}" is too large',
                code=FindingCode.FILE_TOO_LARGE,
                found=f"{before.st_size} bytes",
                expected=f"at most {source.max_bytes} bytes",
                remedy=source.too_large_remedy,
            )
        raw = _DigestingRaw(stream)
        digested = io.BufferedReader(raw, _BUFFER_BYTES)
        _check_fetched(digested.peek(len(LFS_POINTER)), before.st_size, feed.locator.path)
        if source.is_seekable:
            _drain(digested)
            stream.seek(0)
            yield from read(stream)
        else:
            _check_text(digested.peek(_MARK_BYTES)[:_MARK_BYTES], feed.locator.path)
            yield from read(digested)
            _drain(digested)
        after = os.fstat(stream.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or (
        raw.size_bytes != before.st_size
    ):
        raise SourceError(
            f'"{feed.locator.path}" changed while it was read',
            code=FindingCode.INPUT_CHANGED,
            remedy="let the writer finish, then plan again",
        )
    feed.digest = f"sha256:{raw.sha256.hexdigest()}"
    feed.size_bytes = raw.size_bytes


def _limited(records: Iterator[Record], feed: Feed, limit: int | None) -> Iterator[Record]:
    see = feed.tally.see
    for record in records:
        feed.rows_read += 1
        if record.fault is not None:
            code = record.fault.code
            feed.tally.faults[code] = feed.tally.faults.get(code, 0) + 1
        else:
            see(record)
        yield record
        if feed.rows_read == limit:
            return


def _chunks(source: Source, stream: BinaryIO) -> Iterator[Chunk]:
    """Yield chunks that end with a line.

    Raises: NotByChunksError.
    """
    if source.must_read_whole is not None and source.must_read_whole(head_of(stream)):
        raise NotByChunksError
    lines = size_bytes = 0
    while data := stream.read(_CHUNK_BYTES):
        if not data.endswith(b"\n"):
            rest = stream.readline(MAX_RECORD_BYTES + 2)
            if len(rest) > MAX_RECORD_BYTES and not rest.endswith(b"\n"):
                raise NotByChunksError
            data += rest
        yield Chunk(data, lines, size_bytes)
        lines += data.count(b"\n")
        size_bytes += len(data)


def head_of(stream: BinaryIO) -> bytes:
    """Return what a stream begins with, 1 MiB at most; it is still there to be read."""
    return stream.peek(1) if isinstance(stream, io.BufferedReader) else b""


def _drain(stream: BinaryIO) -> None:
    while stream.read(_BUFFER_BYTES):
        pass


def _check_fetched(start: bytes, size_bytes: int, path: str) -> None:
    """Refuse what Git LFS puts in place of a file. Raises: SourceError."""
    if start.startswith(LFS_POINTER) and size_bytes <= MAX_LFS_POINTER_BYTES:
        raise SourceError(
            f'"{path}" is a pointer of Git LFS, and the rows were not fetched',
            code=FindingCode.SOURCE_NOT_FETCHED,
            found="a Git LFS pointer",
            expected="the file that it stands for",
            remedy="git lfs pull",
        )


def _check_text(start: bytes, path: str) -> None:
    """Refuse files that hold no UTF-8 text, by what they begin with. Raises: SourceError."""
    if start[:2].count(0) == 1:
        start = b"\xff\xfe"  # UTF-16 without a mark
    for mark, found, remedy in _NOT_TEXT:
        if start.startswith(mark):
            name = PurePosixPath(path)
            is_packed = name.suffix in _PACKED_SUFFIXES
            target = name.with_suffix("") if is_packed else name.with_stem(f"{name.stem}-utf8")
            raise SourceError(
                f'"{path}" is not UTF-8 text',
                code=FindingCode.ENCODING_UNSUPPORTED,
                found=found,
                expected="UTF-8 text",
                remedy=remedy.format(path=quote(path), target=quote(str(target))),
            )
