"""Differences between prepared folders go by content."""

from pathlib import Path

from brewslm.rows.diff import diff_prepared
from tests.rows.composing import prepared, rows_of, source, write_rows


def test_rows_are_added_removed_and_changed(tmp_path: Path) -> None:
    rows = rows_of(40)
    sources = (source(), source("gold", "gold_test"))
    write_rows(tmp_path / "tickets.jsonl", rows)
    write_rows(tmp_path / "gold.jsonl", rows_of(5, 900))
    prepared(tmp_path, *sources, out="before")
    changed = [{**rows[0], "label": "blocker"}, *rows[2:], *rows_of(3, 500)]
    write_rows(tmp_path / "tickets.jsonl", changed[::-1])
    write_rows(tmp_path / "gold.jsonl", rows_of(4, 901))
    prepared(tmp_path, *sources, out="after")
    diff = diff_prepared(tmp_path / "before", tmp_path / "after")
    training = diff.training
    assert (training.added, training.removed, training.changed) == (3, 1, 1)
    assert training.positions["removed"] == ["tickets:2"]
    assert training.positions["changed"] == ["tickets:42"]
    assert (diff.gold.added, diff.gold.removed) == (0, 1)
    assert len(diff.removed_gold_row_ids) == 1
    assert sum(diff.splits.values()) == 1
    assert diff.moved == 0


def test_reordering_changes_nothing(tmp_path: Path) -> None:
    rows = rows_of(30)
    write_rows(tmp_path / "tickets.jsonl", rows)
    prepared(tmp_path, source(), out="before")
    write_rows(tmp_path / "tickets.jsonl", rows[::-1])
    prepared(tmp_path, source(), out="after")
    diff = diff_prepared(tmp_path / "before", tmp_path / "after")
    assert (diff.training.added, diff.training.removed, diff.training.changed) == (0, 0, 0)


def test_everything_is_added_where_nothing_was_prepared(tmp_path: Path) -> None:
    write_rows(tmp_path / "tickets.jsonl", rows_of(30))
    prepared(tmp_path, source())
    assert diff_prepared(None, tmp_path / "out").training.added == 30
