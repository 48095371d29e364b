"""What is already in a laid-out folder is never taken for what was recorded."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from brewslm import durability
from brewslm.durability import Step
from brewslm.errors import ExitCode
from brewslm.fingerprint import digest_folder
from brewslm.plan.placed import short_name
from tests.apply.bench import Bench

Change = Callable[[Path], None]


def _edit(folder: Path) -> None:
    """Change a byte and leave size, times and permissions as they were."""
    path = folder / "content"
    found, data = path.stat(), path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    path.chmod(found.st_mode)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _add(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")


def _link_file(folder: Path) -> None:
    path = folder / "content"
    copy = folder.with_name("copy")
    path.rename(copy)
    path.symlink_to(copy)


def _link_folder(folder: Path) -> None:
    copy = folder.with_name("copy")
    folder.rename(copy)
    folder.symlink_to(copy)


def _replace_by_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("mine")


CHANGES = [_edit, _empty, _add, _link_file, _link_folder, _replace_by_file]


@pytest.fixture
def twice(applied: Bench) -> Bench:
    """Return a project that promoted two candidates; its manifest asks for the first again."""
    applied.edit("2.0e-3", "1.0e-3")
    assert applied.apply().exit_code is ExitCode.DONE
    applied.edit("1.0e-3", "2.0e-3")
    return applied


def _model(bench: Bench, digest: str) -> Path:
    return bench.home / "models" / short_name(digest)


def _first(bench: Bench) -> str:
    return bench.deployments()[-1].digest


def _found(folder: Path) -> list[Path]:
    return list(folder.parent.glob(f".{folder.name}.*.found"))


@pytest.mark.parametrize("change", CHANGES)
def test_revert_promotes_recorded_bytes_whatever_is_in_the_folder(
    twice: Bench, change: Change
) -> None:
    first = _first(twice)
    change(_model(twice, first))
    assert twice.apply().exit_code is ExitCode.DONE
    assert twice.jobs == []
    assert twice.promoted() == short_name(first)
    assert digest_folder(_model(twice, first)) == first
    assert len(_found(_model(twice, first))) == 1, "what was found is kept"
    assert twice.built().plan.drift == ()


@pytest.mark.parametrize("change", [_add, _replace_by_file])
def test_export_changed_after_the_plan_is_written_again_before_the_promotion(
    twice: Bench, change: Change
) -> None:
    built = twice.built()
    folder = twice.home / "exports" / "adapter"
    change(folder)
    assert twice.apply(built).exit_code is ExitCode.DONE
    assert digest_folder(folder) == twice.records()["export.adapter"].outputs["files"].digest
    assert len(_found(folder)) == 1
    assert twice.built().plan.drift == ()


def test_export_that_has_no_action_is_whole_before_the_promotion(applied: Bench) -> None:
    applied.edit("threshold: 0.8", "threshold: 0.9")
    built = applied.built()
    assert [item.address for item in built.plan.actions if item.is_work] == [
        "eval_pack",
        "deployment",
    ]
    folder = applied.home / "exports" / "adapter"
    _add(folder)
    assert applied.apply(built).exit_code is ExitCode.DONE
    assert digest_folder(folder) == applied.records()["export.adapter"].outputs["files"].digest
    assert len(_found(folder)) == 1


def test_folder_edited_right_before_the_link_moves_is_not_promoted(
    twice: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, before = _first(twice), twice.promoted()
    folder = _model(twice, first)

    def edit_after_the_row(step: Step, _what: str, is_taken: bool) -> None:
        if step is Step.COMMIT and is_taken and len(twice.deployments()) == 3:
            monkeypatch.setattr(durability, "watcher", None)
            _edit(folder)

    monkeypatch.setattr(durability, "watcher", edit_after_the_row)
    outcome = twice.apply()
    assert outcome.exit_code is ExitCode.ERROR
    assert [error.code for error in outcome.errors] == ["deployment_target_invalid"]
    assert twice.promoted() in (before, short_name(first))
    assert digest_folder((twice.home / "promoted" / "champion").resolve()) in [
        item.digest for item in twice.deployments()
    ]
    assert twice.apply().exit_code is ExitCode.DONE
    assert twice.promoted() == short_name(first)
    assert digest_folder(folder) == first


def test_link_is_not_repaired_to_a_folder_that_holds_something_else(applied: Bench) -> None:
    digest = _first(applied)
    (applied.home / "promoted" / "champion").unlink()
    _empty(_model(applied, digest))
    assert applied.apply().exit_code is ExitCode.DONE
    assert applied.promoted() == short_name(digest)
    assert digest_folder(_model(applied, digest)) == digest


def test_promoted_folder_stays_while_it_cannot_be_laid_out_again(applied: Bench) -> None:
    """What is served is not set aside for bytes that the store does not have any more."""
    digest = _first(applied)
    folder = _model(applied, digest)
    served = (folder / "content").read_bytes()
    _add(folder)
    (kept,) = (
        path
        for path in (applied.home / "store" / "objects").glob("*/*")
        if path.read_bytes() == served
    )
    kept.chmod(0o600)
    kept.write_bytes(bytes([served[0] ^ 1]) + served[1:])
    assert applied.apply().exit_code is ExitCode.ERROR
    assert (applied.home / "promoted" / "champion" / "content").read_bytes() == served
    assert applied.apply().exit_code is ExitCode.DONE
    assert digest_folder((applied.home / "promoted" / "champion").resolve()) == digest
    assert applied.built().plan.drift == ()


def _unlink(bench: Bench, folder: Path) -> None:
    (bench.home / "promoted" / "champion").unlink()
    _add(folder)


@pytest.mark.parametrize(
    ("spoil", "is_left"),
    [
        (lambda _, folder: _add(folder), True),
        (_unlink, False),
        (lambda _, folder: shutil.rmtree(folder), False),
    ],
    ids=["named", "unnamed", "missing"],
)
def test_promoted_folder_that_the_link_names_is_left_to_the_next_plan(
    applied: Bench, spoil: Callable[[Bench, Path], None], is_left: bool
) -> None:
    digest = _first(applied)
    applied.edit("sorts complaints", "sorts all complaints")
    built = applied.built()
    spoil(applied, _model(applied, digest))
    assert applied.apply(built).exit_code is ExitCode.DONE
    assert (digest_folder(_model(applied, digest)) != digest) is is_left
    assert applied.promoted() == short_name(digest)
    assert bool(applied.built().plan.drift) is is_left
