"""Files that hold no UTF-8 text are refused for what they are, with a command that works."""

import bz2
import gzip
import lzma
import subprocess
from pathlib import Path

import pytest

from brewslm.rows.source import SourceError, open_source

_ROWS = b'{"text": "one"}\n{"text": "two"}\n'


def _refusal(root: Path, locator: str) -> SourceError:
    with pytest.raises(SourceError) as caught:
        list(open_source(locator, root).records)
    assert caught.value.code == "ENCODING_UNSUPPORTED"
    return caught.value


@pytest.mark.parametrize(
    ("file", "data", "target"),
    [
        ("a.jsonl.gz", gzip.compress(_ROWS, mtime=0), "a.jsonl"),
        ("a.jsonl", gzip.compress(_ROWS, mtime=0), "a-utf8.jsonl"),
        ("my rows.jsonl.xz", lzma.compress(_ROWS), "my rows.jsonl"),
        ("a.jsonl.bz2", bz2.compress(_ROWS), "a.jsonl"),
        ("a.jsonl", _ROWS.decode().encode("utf-16"), "a-utf8.jsonl"),
        ("a.jsonl", _ROWS.decode().encode("utf-16-le"), "a-utf8.jsonl"),
    ],
)
def test_the_printed_command_writes_a_file_that_is_read(
    tmp_path: Path, file: str, data: bytes, target: str
) -> None:
    (tmp_path / file).write_bytes(data)
    command = _refusal(tmp_path, f"jsonl:{file}").remedy
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    records = list(open_source(f"jsonl:{target}", tmp_path).records)
    assert [record.value for record in records] == [{"text": "one"}, {"text": "two"}]


@pytest.mark.parametrize(
    ("start", "found"),
    [(b"PK\x03\x04", "Excel workbook"), (b"PAR1", "Parquet"), (b"\x28\xb5\x2f\xfd", "zstd")],
)
@pytest.mark.parametrize("scheme", ["csv", "tsv", "json", "jsonl"])
def test_other_formats_are_named(tmp_path: Path, start: bytes, found: str, scheme: str) -> None:
    (tmp_path / "rows").write_bytes(start + bytes(range(60)))
    assert found in _refusal(tmp_path, f"{scheme}:rows").found
