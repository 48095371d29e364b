"""Every source: rows with positions, faults with codes, and nothing outside the project."""

import csv
import io
import json
from pathlib import Path
from typing import Any, Literal

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from brewslm.rows.record import Fault, Record
from brewslm.rows.rejects import RejectCode
from brewslm.rows.source import SOURCES, Feed, SourceError, local_schemes, open_source
from brewslm.strict_json import StrictJsonError, parse_strict

TEXT_SCHEMES = ("csv", "json", "jsonl", "tsv")


def read(root: Path, locator: str, limit: int | None = None) -> tuple[list[Record], Feed]:
    feed = open_source(locator, root, limit)
    return list(feed.records), feed


def outcomes(records: list[Record]) -> list[Any]:
    """Return rows and codes; a cell that cannot be read is its code in a list."""
    return [
        record.fault.code.value
        if record.fault
        else {
            **(record.value or {}),
            **{name: [fault.code.value] for name, fault in (record.cell_faults or {}).items()},
        }
        for record in records
    ]


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


@pytest.mark.parametrize("scheme", local_schemes())
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
        {"a": 'x"y', "b": "2"},
        "parse_error",
        {"a": ["invalid_unicode"], "b": "2"},
        {"a": ["control_character"], "b": "2"},
        {"a": "ok", "b": "2"},
        "truncated_last_line",
    ]
    assert [record.line for record in records] == [2, 3, 4, 5, 6, 7, 8]


_CELL = st.text(st.sampled_from("ab \",;\r\n\t'é1"), max_size=8)


@given(rows=st.lists(st.tuples(_CELL, _CELL), max_size=8), quoting=st.sampled_from([0, 1]))
def test_what_the_standard_library_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], quoting: Literal[0, 1]
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=quoting, lineterminator="\n" if quoting else "\r\n")
    writer.writerows([("a", "b"), *rows])
    path = tmp_path_factory.getbasetemp() / "back.csv"
    path.write_bytes(out.getvalue().encode())
    records, _ = read(path.parent, path.name)
    assert outcomes(records) == [{"a": a, "b": b} for a, b in rows]


_ROW = st.sampled_from(
    [b"plain,a", b'"x, y",b', b'z,"quoted ""word"""', b",", b'"",""', b'",x",c', b'13" screen,d',
     b'multi,"one\ntwo\nthree"']
)  # fmt: skip
_TORN = st.sampled_from([b'"torn,a', b'a,"torn', b'"torn ""once"",a', b'"closed" early,a'])


@pytest.mark.case("ROW-04")
@given(rows=st.lists(st.tuples(st.lists(_ROW, max_size=30), _TORN), min_size=1, max_size=3))
def test_an_unclosed_quote_costs_its_own_line(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[list[bytes], bytes]]
) -> None:
    """Rows with one line each are all read, whatever else is quoted."""
    lines = [b"text,label"]
    whole: list[int] = []
    torn: list[int] = []
    for good, bad in rows:
        for line in (line for line in good if b"\n" not in line and line[:2] != b'",'):
            whole.append(len(lines) + 1)
            lines.append(line)
        lines += [b"between,x", bad]
        torn.append(len(lines))
    lines.append(b"last,x")
    path = tmp_path_factory.getbasetemp() / "torn.csv"
    path.write_bytes(b"\n".join(lines) + b"\n")
    records, _ = read(path.parent, path.name)
    found = {record.line: record.fault for record in records}
    assert [line for line in torn if found[line] is None] == []
    # a quote inside a cell that follows a torn one may be its end, so that line is given up too
    lost = [line for line in whole if found[line] is not None]
    assert all(b'13"' in lines[line - 1] for line in lost)
    assert len(records) == len(lines) - 1


@pytest.mark.case("ROW-04")
def test_one_unclosed_quote_in_a_long_file_is_one_reject(tmp_path: Path) -> None:
    lines = [b"text,label", *(b"the pump of line %d is late,late" % at for at in range(40_000))]
    lines[100] = b'"the pump is late,late'
    lines[39_000] = b'",a cell that begins with a comma",late'
    (tmp_path / "a.csv").write_bytes(b"\n".join(lines))
    records, _ = read(tmp_path, "a.csv")
    faults = [record for record in records if record.fault]
    assert [record.line for record in faults] == [101]
    assert "would cover" in (faults[0].fault or Fault(RejectCode.PARSE_ERROR)).detail
    assert len(records) == 40_000


def test_rows_between_two_faults_are_noted(tmp_path: Path) -> None:
    rows = [b"row %d,a" % at for at in range(20)]
    lines = [b"text,label", b'"torn,a', *rows, b'closed",a', b"last,b"]
    (tmp_path / "a.csv").write_bytes(b"\n".join(lines))
    records, feed = read(tmp_path, "a.csv")
    assert ([record.line for record in records], feed.tally.suspects) == ([2, 24], [(2, 22)])


def test_a_table_in_a_cell_is_text(tmp_path: Path) -> None:
    table = "".join(f"{at},{at * at}\n" for at in range(20))
    rows = [
        (text, label)
        for whole in (table, table.strip(), f"Read this:\n{table}", f"{table}What is the sum?")
        for text, label in ((whole, "a"), ("b", whole))
    ]
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([("text", "label"), *rows])
    (tmp_path / "a.csv").write_text(out.getvalue())
    records, feed = read(tmp_path, "a.csv")
    assert outcomes(records) == [{"text": text, "label": label} for text, label in rows]
    assert len(feed.tally.suspects) == 1  # the one that begins with a table and ends with words


@pytest.mark.parametrize(
    ("name", "data", "expected", "lost"),
    [
        ("a.csv", b"a,b\n1,2\r3,4\r\n5,6", [["1", "2"], ["3", "4"], ["5", "6"]], 0),
        ("a.csv", b"a,b\n1,2\r3,4\r5\n6,7", [["6", "7"]], 3),
        ("a.jsonl", b'{"a": 1}\r{"a": 2}\r\n{"a": 3}', [[1], [2], [3]], 0),
        ("a.jsonl", b'{"a": 1}\r{"a": 2\r{"a": 3}\n{"a": 4}', [[4]], 2),
        ("a.jsonl", b'{"a": 1}{"a": 2} {"a": 3}\n{"a": 4}', [[4]], 3),
    ],
)
def test_lines_that_run_together_are_read_or_counted(
    tmp_path: Path, name: str, data: bytes, expected: list[Any], lost: int
) -> None:
    (tmp_path / name).write_bytes(data)
    records, _ = read(tmp_path, name)
    assert [list(record.value.values()) for record in records if record.value] == expected
    assert sum(record.lost_rows for record in records if record.fault) == lost
    for record in records:
        offset = record.byte_offset or 0
        assert data[offset : offset + len(record.raw)] == record.raw


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b',text,label\n0,one,a\n1,two,b\n', [("one", "a"), ("two", "b")]),
        (b'text,label\n13" one,a\n"13"" two",b\n', [('13" one', "a"), ('13" two', "b")]),
        (b'text;label\n"one; two, three";a\nx, y;b\n', [("one; two, three", "a"), ("x, y", "b")]),
        (b'text|label\none, two|a\n', [("one, two", "a")]),
        (b'text\tlabel\none, two\ta\n', [("one, two", "a")]),
        (b'sep=;\r\ntext;label\r\none;a\r\n', [("one", "a")]),
        (b'text,label\rone,a\r"two, three",b\r', [("one", "a"), ("two, three", "b")]),
        (b'text , label\none,a\n', [("one", "a")]),
        (b'text,label\r\none,a\ntwo,b\r\n\r\n', [("one", "a"), ("two", "b")]),
    ],
)  # fmt: skip
def test_csv_as_people_have_it(
    tmp_path: Path, data: bytes, expected: list[tuple[str, str]]
) -> None:
    (tmp_path / "a.csv").write_bytes(data)
    records, feed = read(tmp_path, "a.csv")
    assert outcomes(records) == [{"text": text, "label": label} for text, label in expected]
    assert list(feed.tally.columns) == ["text", "label"]
    for record in records:
        offset = record.byte_offset or 0
        assert data[offset : offset + len(record.raw)] == record.raw


def test_a_written_delimiter_wins(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text;more,label\nx;y,a\n")
    feed = open_source("a.csv", tmp_path, delimiter=";")
    assert outcomes(list(feed.records)) == [{"text": "x", "more,label": "y,a"}]
    assert outcomes(read(tmp_path, "a.csv")[0]) == [{"text;more": "x;y", "label": "a"}]


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
        (
            b' [ {"a": 1}, 2, {"a": 1, "a": 2} ] ',
            [{"a": 1}, "not_an_object", {"a": ["duplicate_key"]}],
        ),
        (b'{"version": "1", "data": [{"a": 1}], "n": {"data": [2]}}', [{"a": 1}]),
        (b'{"a": 1}\n\n{"a": 2, "b": [', [{"a": 1}, "truncated_last_line"]),
        (b'[{"a": 1}', ["truncated_last_line"]),
        (b'[{"a": 1}, {"a": "]', [{"a": 1}, "truncated_last_line"]),
        (b'[{"a": 1},]', [{"a": 1}, "parse_error"]),
    ],
)
def test_arrays_of_objects(tmp_path: Path, data: bytes, expected: list[Any]) -> None:
    (tmp_path / "a.json").write_bytes(data)
    assert outcomes(read(tmp_path, "a.json")[0]) == expected


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b'[{"a": 1}] x', 1),
        (b'[{"a": 1}]\n[{"a": 2}]', 2),
        (b'{"data": [{"a": 1}]}\n\n["x"]', 3),
        (b'{"data": [{"a": 1}],\n"data": [{"a": 2}]}', 2),
        (b'{"data": [{"a": 1}]', 1),
        (b'{"rows": [{"a": 1}]}', 1),
        (b'{"a": 1}', 1),
        (b'{\n"a": 1}\n{\n"a": 2}', 1),
        (b'"text"', 1),
    ],
)
def test_a_file_that_is_not_one_array_is_an_error_with_its_place(
    tmp_path: Path, data: bytes, line: int
) -> None:
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(SourceError) as caught:
        read(tmp_path, "a.json")
    assert (caught.value.code, caught.value.line) == ("SOURCE_STRUCTURE", line)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", b'{"a": 1}\r\n{"a": [2]}\n\n'),
        ("a.jsonl", b'[{"a": 1}, {"a": [2]}]\n'),
        ("a.jsonl", b'\xef\xbb\xbf[\n  {\n"a": 1},\n  {"a": [2]}\n]\n'),
        ("a.ndjson", b'[{"a": 1},\n{"a": [2]}]'),
    ],
)
def test_lines_and_arrays_are_read_under_the_other_name_too(
    tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    assert outcomes(read(tmp_path, name)[0]) == [{"a": 1}, {"a": [2]}]


def test_lines_that_each_hold_a_list_stay_lines(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'[{"a": 1}]\n[{"a": 2}]\n')
    assert outcomes(read(tmp_path, "a.jsonl")[0]) == ["not_an_object", "not_an_object"]


@pytest.mark.parametrize("fault", [b'{"a": "row 020}', b'{"a": "row 020"', b'{"a": ["row 020"}'])
def test_a_broken_element_counts_what_is_lost(tmp_path: Path, fault: bytes) -> None:
    rows = [b'{"a": "row %03d"}' % at for at in range(100)]
    rows[20] = fault
    for glue, most in (
        (b",\n", 1 if fault.endswith(b"}") and b"[" not in fault else 80),
        (b",", 80),
    ):
        (tmp_path / "a.json").write_bytes(b"[" + glue.join(rows) + b"]")
        records, _ = read(tmp_path, "a.json")
        lost = sum(record.lost_rows for record in records if record.fault)
        whole = sum(record.fault is None for record in records)
        assert abs(whole + lost - 100) <= 5
        assert lost <= most + 5


_VALUES: st.SearchStrategy[bytes] = st.recursive(
    st.sampled_from(
        [b"1", b'"x"', b"null", b"NaN", b"-Infinity", b"1e400", b"9" * 30, b'"\\ud800"',
         b'"\\u0000"', b'"a, }b: \\" {"', b'"\xff"', b'{"k": 1, "k": 2}']
    ),
    lambda inner: st.lists(inner, max_size=2).map(lambda items: b"[" + b", ".join(items) + b"]"),
    max_leaves=4,
)  # fmt: skip


def _alone(value: bytes) -> tuple[Any, str | None]:
    try:
        return parse_strict(value, require_object=False, max_depth=31), None
    except StrictJsonError as error:
        return None, error.code


@given(values=st.lists(_VALUES, min_size=1, max_size=5))
def test_a_value_that_cannot_be_read_is_a_fault_of_its_key(
    tmp_path_factory: pytest.TempPathFactory, values: list[bytes]
) -> None:
    """Every key is read as if it stood alone."""
    members = [b'"k%d": %b' % (at, value) for at, value in enumerate(values)]
    folder = tmp_path_factory.getbasetemp()
    (folder / "cells.jsonl").write_bytes(b"{" + b", ".join(members) + b"}\n")
    (record,), _ = read(folder, "cells.jsonl")
    assert record.value is not None
    for at, value in enumerate(values):
        fault = (record.cell_faults or {}).get(f"k{at}")
        assert (record.value[f"k{at}"], fault.code if fault else None) == _alone(value)


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
        {"n": 2**60, "x": 0.5, "ok": True, "list": ["a"], "at": "1970-01-01T00:00:00",
         "blob": ["unsupported_value_type"]},
        {"n": None, "x": 1.5, "ok": False, "list": [], "at": "1970-01-01T00:00:01",
         "blob": ["unsupported_value_type"]},
    ]  # fmt: skip
    assert [(record.line, record.byte_offset) for record in records] == [(1, None), (2, None)]
    assert feed.size_bytes == (tmp_path / "a.parquet").stat().st_size


def test_parquet_numbers_are_finite(tmp_path: Path) -> None:
    parquet.write_table(pyarrow.table({"x": [float("nan")]}), tmp_path / "a.parquet")
    assert outcomes(read(tmp_path, "a.parquet")[0]) == [{"x": ["number_not_finite"]}]
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no parquet")
    with pytest.raises(SourceError) as caught:
        read(tmp_path, "b.parquet")
    assert caught.value.code == "UNREADABLE"


def test_parquet_columns_fail_alone(tmp_path: Path) -> None:
    """Whatever cannot be read costs no row but one that needs it."""
    map_type = pyarrow.map_(pyarrow.string(), pyarrow.int64())
    table = pyarrow.table(
        {
            "text": pyarrow.array(["one", "two"], pyarrow.string_view()),
            "nan": [1.0, float("nan")],
            "big": pyarrow.array([1, 2**64 - 1], pyarrow.uint64()),
            "blob": pyarrow.array([b"x", b"y"], pyarrow.binary()),
            "map": pyarrow.array([[("a", 1)], None], map_type),
            "at": pyarrow.array([0, 2**45], pyarrow.timestamp("s")),
            "day": pyarrow.array([0, 2**31 - 1], pyarrow.date32()),
            "for": pyarrow.array([0, 2**62], pyarrow.duration("s")),
            "page": ["short", "x" * (2 << 20)],
            "nested": [[{"x": 1.0}], [{"x": float("inf")}]],
            "zone": pyarrow.array([0, 0], pyarrow.timestamp("us", "No/Where")),
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    first, second = outcomes(read(tmp_path, "a.parquet")[0])
    assert (first["text"], second["text"]) == ("one", "two")
    assert {name for name, value in first.items() if value != [] and type(value) is list} == {
        "blob", "map", "nested", "zone",
    }  # fmt: skip
    assert first["nested"] == [{"x": 1.0}]
    assert {name: value for name, value in second.items() if name != "text"} == {
        "nan": ["number_not_finite"],
        "big": ["number_out_of_range"],
        "blob": ["unsupported_value_type"],
        "map": ["unsupported_value_type"],
        "at": ["number_out_of_range"],
        "day": ["number_out_of_range"],
        "for": ["number_out_of_range"],
        "page": ["row_too_large"],
        "nested": ["number_not_finite"],
        "zone": ["number_out_of_range"],
    }
