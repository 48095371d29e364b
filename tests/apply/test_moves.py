"""Moves and pointers that a kill cut in two are finished by the next apply."""

from contextlib import closing
from pathlib import Path

import pytest

from brewslm.errors import ExitCode
from brewslm.plan.moves import renamed
from brewslm.plan.selection import Selection
from tests.apply.bench import Bench


class KilledError(Exception):
    """The process is gone."""


def test_move_that_is_recorded_without_its_update_is_finished(
    applied: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied.edit("name: rows,", "name: parcels,")

    def die(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr("brewslm.apply.executor.carry_out", die)
        with pytest.raises(KilledError):
            applied.apply()
    records = applied.records()
    assert "data_source.parcels" in records, "the move itself is durable"
    assert "data_source.rows" not in records
    assert applied.apply().exit_code is ExitCode.DONE
    assert applied.jobs == []
    assert applied.records()["data_source.parcels"].spec["name"] == "parcels"
    assert not applied.built().plan.has_changes


def test_rename_leaves_every_other_fingerprint_alone(applied: Bench) -> None:
    with closing(applied.store().read()) as state:
        before = state.resources()
    after = renamed(before, {"data_source.rows": "data_source.parcels"})
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"data_source.parcels", "dataset"}
    assert renamed(before, {}) == before


def test_row_that_moved_without_its_link_is_followed(applied: Bench) -> None:
    link = applied.home / "promoted" / "champion"
    wanted = link.readlink()
    link.unlink()
    link.symlink_to(Path("..") / "models" / "0000000000000000")
    assert applied.apply().exit_code is ExitCode.DONE
    assert link.readlink() == wanted


def test_link_is_left_alone_where_only_something_else_is_applied(applied: Bench) -> None:
    link = applied.home / "promoted" / "champion"
    wanted, elsewhere = link.readlink(), Path("..") / "models" / "0000000000000000"
    link.unlink()
    link.symlink_to(elsewhere)
    applied.edit("sorts complaints", "sorts them")
    outcome = applied.apply(applied.built(selection=Selection(targets=("project",))))
    assert (outcome.applied, link.readlink()) == (["project"], elsewhere)
    applied.apply()
    assert link.readlink() == wanted


def test_revision_that_a_kill_prevented_is_recorded_by_the_next_apply(
    applied: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KilledError

    applied.edit("sorts complaints", "sorts them")
    with monkeypatch.context() as patched:
        patched.setattr("brewslm.apply.executor.revision_of", die)
        with pytest.raises(KilledError):
            applied.apply()
    assert not applied.built().plan.has_changes
    outcome = applied.apply()
    assert (outcome.applied, outcome.revision) == ([], 2)
    with closing(applied.store().read()) as state:
        (newest,) = state.revisions(limit=1)
        assert [action["address"] for action in newest.actions] == ["project"]
    assert applied.apply().revision is None
