"""A new name is no new data: sources and adapters are recognised by what they hold."""

from pathlib import Path

import pytest

from brewslm.errors import ExitCode
from brewslm.plan.action import Action
from tests.apply.bench import Bench

ADAPTERS = """\
  adapters:
    - {name: old, base_adapter_id: label_to_classification}
  dataset:"""


@pytest.fixture
def mapped(tmp_path: Path) -> Bench:
    """Return an applied project with two pool sources, of which one names its adapter."""
    bench = Bench.make(tmp_path / "mapped")
    bench.write_rows("more", range(200, 230))
    bench.edit(
        "    - {name: rows, type: raw, file_path: data/rows.jsonl}",
        "    - {name: rows, type: raw, file_path: data/rows.jsonl, adapter: old}\n"
        "    - {name: more, type: raw, file_path: data/more.jsonl}",
    )
    bench.edit("  dataset:", ADAPTERS)
    assert bench.apply().exit_code is ExitCode.DONE
    return bench


def _work(bench: Bench) -> dict[str, Action]:
    return {item.address: item for item in bench.built().plan.actions if item.is_work}


def _rename_source(bench: Bench) -> None:
    bench.edit("name: rows,", "name: a_new_name,")


def _rename_adapter(bench: Bench) -> None:
    bench.edit("adapter: old", "adapter: new")
    bench.edit("{name: old,", "{name: new,")


@pytest.mark.case("PLN-11")
def test_renamed_source_changes_its_record_and_nothing_else(mapped: Bench) -> None:
    before = mapped.records()
    _rename_source(mapped)
    (action,) = _work(mapped).values()
    assert (action.address, action.reason) == ("data_source.a_new_name", "metadata_changed")
    assert action.moved_from == "data_source.rows"
    assert [cause.path for cause in action.causes] == ["name"]
    built = mapped.built()
    assert built.prepared_folder is None, "no row is read again"
    assert mapped.apply(built).exit_code is ExitCode.DONE
    assert mapped.jobs == []
    after = mapped.records()
    assert set(after) == set(before) - {"data_source.rows"} | {"data_source.a_new_name"}
    assert after["data_source.a_new_name"].former == ("data_source.rows",)
    assert after["dataset"].outputs == before["dataset"].outputs
    assert not mapped.built().plan.has_changes


def test_renamed_adapter_follows_into_the_sources_that_name_it(mapped: Bench) -> None:
    _rename_adapter(mapped)
    (action,) = _work(mapped).values()
    assert (action.address, action.moved_from) == ("adapter.new", "adapter.old")
    mapped.apply()
    assert mapped.jobs == []
    assert mapped.records()["data_source.rows"].spec["adapter"] == "new"
    assert not mapped.built().plan.has_changes


def test_both_at_once_with_a_moved_file_train_nothing(mapped: Bench) -> None:
    _rename_source(mapped)
    _rename_adapter(mapped)
    (mapped.root / "data" / "rows.jsonl").rename(mapped.root / "data" / "moved.jsonl")
    mapped.edit("data/rows.jsonl", "data/moved.jsonl")
    assert set(_work(mapped)) == {"data_source.a_new_name", "adapter.new"}
    assert mapped.apply().exit_code is ExitCode.DONE
    assert mapped.jobs == []
    assert not mapped.built().plan.has_changes


def test_moved_file_is_not_read_into_rows_again(mapped: Bench) -> None:
    (mapped.root / "data" / "rows.jsonl").rename(mapped.root / "data" / "moved.jsonl")
    mapped.edit("data/rows.jsonl", "data/moved.jsonl")
    built = mapped.built()
    assert built.prepared_folder is None
    assert list(_work(mapped)) == ["data_source.rows"]
    mapped.apply(built)
    assert not mapped.built().plan.has_changes


def test_there_and_back_keeps_the_chain_of_names(mapped: Bench) -> None:
    _rename_source(mapped)
    mapped.apply()
    mapped.edit("name: a_new_name,", "name: rows,")
    mapped.apply()
    former = mapped.records()["data_source.rows"].former
    assert former == ("data_source.a_new_name", "data_source.rows")
    assert not mapped.built().plan.has_changes


def test_rename_is_no_delete_even_in_a_protected_project(mapped: Bench) -> None:
    mapped.edit("  model:", "  workflow: {protect: true}\n  model:")
    mapped.apply()
    _rename_source(mapped)
    plan = mapped.built().plan
    assert plan.is_applyable
    assert plan.summary["delete"] == 0


@pytest.mark.case("PLN-11")
def test_other_rows_under_a_new_name_are_no_rename(mapped: Bench) -> None:
    _rename_source(mapped)
    mapped.write_rows("rows", range(61))
    work = _work(mapped)
    assert work["data_source.a_new_name"].moved_from == ""
    assert work["data_source.rows"].reason == "removed_from_manifest"


def test_two_sources_with_equal_rows_are_not_guessed_at(mapped: Bench) -> None:
    mapped.edit(
        "    - {name: more,",
        "    - {name: twin, type: raw, file_path: data/rows.jsonl}\n    - {name: more,",
    )
    _rename_source(mapped)
    assert all(not item.moved_from for item in _work(mapped).values())


def test_source_that_the_evaluation_names_is_read_again(mapped: Bench) -> None:
    mapped.edit("  eval_pack:\n", "  eval_pack:\n    datasets: [gold]\n")
    mapped.apply()
    mapped.edit("datasets: [gold]", "datasets: [held]")
    mapped.edit("name: gold,", "name: held,")
    assert _work(mapped)["data_source.held"].moved_from == ""
