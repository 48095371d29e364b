"""An index of digests never leaves a row out, and one that confuses them changes no result."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewslm.rows.dataset import CleaningSpec, LeakCheckSpec
from brewslm.rows.digest_index import DigestIndex
from brewslm.rows.prepare import prepare
from tests.rows.composing import compose, requested, rows_of, source, write_rows

ROWS = st.lists(st.lists(st.integers(-9, 9) | st.integers(), max_size=8), max_size=20)


@settings(deadline=None)
@given(ROWS)
def test_rows_of_a_digest_are_those_that_were_given_it(rows: list[list[int]]) -> None:
    index = DigestIndex(len(rows))
    for row, digests in enumerate(rows):
        index.add(digests, row)
    index.seal()
    assert len(index) == sum(map(len, rows))
    for digest in {item for own in rows for item in own}:
        expected = [row for row, own in enumerate(rows) if digest in own]
        assert set(expected) <= set(index.rows_of([digest]))
        assert list(index.rows_of([digest])) == sorted(index.rows_of([digest]))


def test_frequent_digests_are_those_of_many_rows() -> None:
    index = DigestIndex(5)
    for row in range(5):
        index.add([7, 100 + row, 100 + row, 100 + row], row)
    index.add([-1], 0)
    index.seal()
    assert list(index.frequent(2)) == [(index.cut(7), {0, 1, 2, 3, 4})]
    assert list(index.frequent(5)) == []
    assert list(index.rows_of([-1])) == [0]
    assert list(index.rows_of([8])) == []


def test_confused_digests_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(200)
    for number, row in enumerate(rows):
        row["text"] += " please look at the machine" * (number % 3) + f" and call {number // 20}"
    write_rows(tmp_path / "tickets.jsonl", rows[:160])
    gold = [{**row, "text": f"now {row['text']}"} for row in rows[120:]]
    write_rows(tmp_path / "gold.jsonl", gold)
    settings = CleaningSpec(dedupe="near"), LeakCheckSpec(ngram=4, near=0.6, action="warn")
    found = []
    for bits in (64, 19):
        monkeypatch.setattr("brewslm.rows.digest_index._ENTRY_BITS", bits)
        request = requested(
            source(), source("gold", "gold_test"), cleaning=settings[0], leak_check=settings[1]
        )
        done = prepare(request, tmp_path, tmp_path / f"out{bits}", compose)
        found.append(done.files)
    assert found[0] == found[1]
    counts = done.manifest["leaks"]["counts"]
    assert counts["leak_ngram"] > 0
    assert (tmp_path / "out19" / "leak_report.jsonl").read_bytes().count(b'"boilerplate"') > 0
