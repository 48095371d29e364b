"""A delimiter after the last cell, and objects that are written over several lines."""

import json
from pathlib import Path

import pytest

from brewslm.rows.rejects import RejectCode
from brewslm.rows.source import SourceError, open_chunks, open_source


@pytest.mark.parametrize("end", [",", ",,,", ", ,"])
@pytest.mark.parametrize("eol", ["\n", "\r\n"])
def test_empty_columns_at_the_end_are_left_out(tmp_path: Path, end: str, eol: str) -> None:
    lines = ["text,label", '"one, two",a', '"three\nfour",b', ",c"]
    (tmp_path / "a.csv").write_bytes("".join(f"{line}{end}{eol}" for line in lines).encode())
    feed = open_source("a.csv", tmp_path)
    assert [record.value for record in feed.records] == [
        {"text": "one, two", "label": "a"},
        {"text": "three\nfour", "label": "b"},
        {"text": "", "label": "c"},
    ]
    assert list(feed.tally.columns) == ["text", "label"]


def test_text_in_a_column_without_a_name_rejects_the_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label,\none,a,\nhello, world,a\ntwo,b,,\n")
    records = list(open_source("a.csv", tmp_path).records)
    assert [record.value for record in records] == [{"text": "one", "label": "a"}, None, None]
    faults = [record.fault.code for record in records if record.fault]
    assert faults == [RejectCode.COLUMN_COUNT_MISMATCH] * 2


def test_an_index_column_and_an_end_of_semicolons(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(";text;label;\n0;one;a;\n1;two, 1,5;b;\n")
    records = list(open_source("a.csv", tmp_path).records)
    assert [record.value for record in records] == [
        {"text": "one", "label": "a"},
        {"text": "two, 1,5", "label": "b"},
    ]


@pytest.mark.parametrize("header", [",", ",,", " , ", "text,,label", "text,text,"])
def test_names_are_still_needed(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.csv").write_text(f"{header}\n1,2,\n")
    with pytest.raises(SourceError) as caught:
        list(open_source("a.csv", tmp_path).records)
    assert caught.value.code == "DUPLICATE_COLUMN"


@pytest.mark.parametrize("rows", [[{"text": "one"}, {"text": "two"}], [{"data": [{"a": 1}]}], [{}]])
def test_objects_over_several_lines_are_named(tmp_path: Path, rows: list[object]) -> None:
    text = "\n".join(json.dumps(row, indent=2) for row in rows).replace("{}", "{\n}")
    (tmp_path / "a.jsonl").write_text(text + "\n")
    for read in (
        lambda: list(open_source("a.jsonl", tmp_path).records),
        lambda: list(open_chunks(open_source("a.jsonl", tmp_path), tmp_path)),
    ):
        with pytest.raises(SourceError) as caught:
            read()
        assert (caught.value.code, caught.value.line) == ("SOURCE_STRUCTURE", 1)
        assert "jq -c" in caught.value.remedy
