"""Parquet columns as fields; types are kept, timestamps and decimals become exact text."""

from collections.abc import Iterator
from typing import BinaryIO

from brewslm.diagnostics import FindingCode
from brewslm.rows.record import Record
from brewslm.rows.source import Source, SourceError, Tally


def _read(stream: BinaryIO, tally: Tally) -> Iterator[Record]:
    try:
        from brewslm.rows._parquet import read_parquet  # noqa: PLC0415  start-up time of pyarrow
    except ImportError as error:
        raise SourceError(
            f"reading Parquet needs the package {error.name}",
            code=FindingCode.MISSING_EXTRA,
            remedy='pip install "brewslm[train]"',
        ) from error
    return read_parquet(stream, tally)


SOURCE = Source("parquet", _read, (".parquet",), is_seekable=True)
