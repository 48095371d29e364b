"""Every source: rows with positions, faults with codes, and nothing outside the project."""

import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from brewslm.rows.record import Record
from brewslm.rows.source import SOURCES, Feed, SourceError, open_source

TEXT_SCHEMES = ("csv", "json", "jsonl", "tsv")


def read(root: Path, locator: str, limit: int | None = None) -> tuple[list[Record], Feed]:
    feed = open_source(locator, root, limit)
    return list(feed.records), feed


def outcomes(records: list[Record]) -> list[Any]:
    return [record.fault.code.value if record.fault else record.value for record in records]


@pytest.mark.parametrize("scheme", TEXT_SCHEMES)
def test_samples_are_two_rows_with_positions(tmp_path: Path, scheme: str) -> None:
    sample = SOURCES.load(scheme).sample
    (tmp_path / f"a.{scheme}").write_bytes(sample)
    records, feed = read(tmp_path, f"a.{scheme}")
    assert [record.value["text"] for record in records if record.value] == ["one", "two"]
    for record in records:
        offset = record.byte_offset or 0
        assert sample[offset : offset + len(record.raw)] == record.raw
        assert sample[:offset].count(b"\n") + 1 == record.line
    assert (feed.rows_read, feed.size_bytes) == (2, len(sample))


@pytest.mark.parametrize("scheme", SOURCES.names())
def test_paths_outside_the_project_are_refused(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "secret").write_text("canary")
    project = tmp_path / "project"
    project.mkdir()
    (project / "link").symlink_to(tmp_path / "secret")
    for path in ("../secret", str(tmp_path / "secret"), "link"):
        with pytest.raises(SourceError) as caught:
            read(project, f"{scheme}:{path}")
        assert caught.value.code == "PATH_OUTSIDE_PROJECT"
        assert "canary" not in str(caught.value)
    with pytest.raises(SourceError) as caught:
        read(project, f"{scheme}:absent")
    assert caught.value.code == "SOURCE_NOT_FOUND"


@pytest.mark.parametrize(
    ("locator", "code"),
    [("a.xlsx", "VALUE_UNAVAILABLE"), ("kaggle:dataset:x/y", "VALUE_UNAVAILABLE")],
)
def test_what_cannot_be_read_here_says_so(tmp_path: Path, locator: str, code: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(locator, tmp_path)
    assert caught.value.code == code


@pytest.mark.case("ROW-04")
@pytest.mark.parametrize("scheme", TEXT_SCHEMES)
@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff"])
def test_other_encodings_are_one_finding(tmp_path: Path, scheme: str, mark: bytes) -> None:
    (tmp_path / "a").write_bytes(mark + b"a\0b\0")
    with pytest.raises(SourceError) as caught:
        read(tmp_path, f"{scheme}:a")
    assert caught.value.code == "ENCODING_UNSUPPORTED"


@pytest.mark.parametrize("scheme", TEXT_SCHEMES)
@given(data=st.binary(max_size=80) | st.text('{}[]",\n\t\ra1:', max_size=60).map(str.encode))
def test_any_bytes_end_in_rows_or_codes(
    tmp_path_factory: pytest.TempPathFactory, scheme: str, data: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / f"any.{scheme}").write_bytes(data)
    try:
        records, feed = read(folder, f"any.{scheme}")
    except SourceError:
        return
    assert feed.rows_read == len(records)
    assert all((record.value is None) != (record.fault is None) for record in records)
    assert read(folder, f"any.{scheme}")[0] == records


def test_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    rows = [{"a": "x\u2028y\u0085z"}, {"a": "2"}]
    data = b"\xef\xbb\xbf" + b"\r\n".join(
        [json.dumps(rows[0], ensure_ascii=False).encode(), b" \t", b'{"a": "2"}']
    )
    (tmp_path / "a.ndjson").write_bytes(data)
    records, feed = read(tmp_path, "a.ndjson")
    assert outcomes(records) == rows
    assert [record.line for record in records] == [1, 3]
    assert records[0].byte_offset == 3
    assert (feed.tally.blank_lines, feed.tally.byte_order_marks) == (1, 1)


def test_byte_order_mark_inside_is_a_parse_error(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n\xef\xbb\xbf{"a": 2}\n')
    assert outcomes(read(tmp_path, "a.jsonl")[0]) == [{"a": 1}, "parse_error"]


@pytest.mark.parametrize("end", [b'{"a": "cut', b'{"a": "\xe2\x82', b'{"a": 1'])
def test_a_torn_last_line_has_its_own_code(tmp_path: Path, end: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n' + end)
    assert outcomes(read(tmp_path, "a.jsonl")[0]) == [{"a": 1}, "truncated_last_line"]
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n' + end + b"\n")
    assert outcomes(read(tmp_path, "a.jsonl")[0])[1] in ("parse_error", "invalid_unicode")


def test_a_line_over_one_mebibyte_is_skipped_and_the_next_one_read(tmp_path: Path) -> None:
    long = b'{"a": "' + b"x" * (3 << 20) + b'"}'
    (tmp_path / "a.jsonl").write_bytes(long + b'\n{"a": 2}\n' + long)
    records, feed = read(tmp_path, "a.jsonl")
    assert outcomes(records) == ["row_too_large", {"a": 2}, "row_too_large"]
    assert [record.line for record in records] == [1, 2, 3]
    assert records[1].byte_offset == len(long) + 1
    assert records[0].raw_digest == records[2].raw_digest
    assert feed.size_bytes == 2 * len(long) + 10


def test_limit_stops_reading_rows_and_digests_the_whole_file(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n{"a": 2}\n')
    _, whole = read(tmp_path, "a.jsonl")
    records, feed = read(tmp_path, "a.jsonl", limit=1)
    assert (len(records), feed.digest) == (1, whole.digest)


@pytest.mark.case("ROW-04")
def test_cells_may_hold_delimiters_quotes_and_line_ends(tmp_path: Path) -> None:
    data = b'a,b\r\n"x, ""y""","1\r\n2"\r\n,\r\nplain,3'
    (tmp_path / "a.csv").write_bytes(data)
    records, _ = read(tmp_path, "a.csv")
    assert outcomes(records) == [
        {"a": 'x, "y"', "b": "1\r\n2"},
        {"a": "", "b": ""},
        {"a": "plain", "b": "3"},
    ]
    assert [record.line for record in records] == [2, 4, 5]


@pytest.mark.case("ROW-04")
def test_malformed_cells_have_codes_and_lines(tmp_path: Path) -> None:
    data = b'a,b\n1,2,3\nx"y,2\n"x"y,2\n\xff,2\n\0,2\nok,2\n"cut,2'
    (tmp_path / "a.csv").write_bytes(data)
    records, _ = read(tmp_path, "a.csv")
    assert outcomes(records) == [
        "column_count_mismatch",
        "parse_error",
        "parse_error",
        "invalid_unicode",
        "control_character",
        {"a": "ok", "b": "2"},
        "truncated_last_line",
    ]
    assert [record.line for record in records] == [2, 3, 4, 5, 6, 7, 8]


@pytest.mark.case("ROW-04")
@pytest.mark.parametrize("header", [b"a,a", b"a,,b", b'a,"b'])
def test_headers_name_every_column_once(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(header + b"\n1,2\n")
    with pytest.raises(SourceError) as caught:
        read(tmp_path, "a.csv")
    assert (caught.value.code, caught.value.line) == ("DUPLICATE_COLUMN", 1)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"data": [{"a": 1}]}', [{"a": 1}]),
        (b"[]", []),
        (b' [ {"a": 1}, 2, {"a": 1, "a": 2} ] ', [{"a": 1}, "not_an_object", "duplicate_key"]),
        (b'{"a": 1}', ["not_an_object"]),
        (b'[{"a": 1}', ["truncated_last_line"]),
        (b'[{"a": 1}, {"a": "]', [{"a": 1}, "truncated_last_line"]),
        (b'[{"a": 1}] x', [{"a": 1}, "parse_error"]),
        (b'[{"a": 1},]', [{"a": 1}, "parse_error"]),
    ],
)
def test_arrays_of_objects(tmp_path: Path, data: bytes, expected: list[Any]) -> None:
    (tmp_path / "a.json").write_bytes(data)
    assert outcomes(read(tmp_path, "a.json")[0]) == expected


def test_parquet_keeps_types_and_refuses_bytes(tmp_path: Path) -> None:
    table = pyarrow.table(
        {
            "n": pyarrow.array([2**60, None], pyarrow.int64()),
            "x": [0.5, 1.5],
            "ok": [True, False],
            "list": [["a"], []],
            "at": pyarrow.array([0, 1], pyarrow.timestamp("s")),
            "blob": pyarrow.array([None, b"x"], pyarrow.binary()),
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    records, feed = read(tmp_path, "a.parquet")
    assert outcomes(records) == [
        {"n": 2**60, "x": 0.5, "ok": True, "list": ["a"], "at": "1970-01-01T00:00:00"},
        "unsupported_value_type",
    ]
    assert [(record.line, record.byte_offset) for record in records] == [(1, None), (2, None)]
    assert feed.size_bytes == (tmp_path / "a.parquet").stat().st_size


def test_parquet_numbers_are_finite(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"x": [float("nan")]}), tmp_path / "a.parquet")
    assert outcomes(read(tmp_path, "a.parquet")[0]) == ["number_not_finite"]
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no parquet")
    with pytest.raises(SourceError) as caught:
        read(tmp_path, "b.parquet")
    assert caught.value.code == "UNREADABLE"
