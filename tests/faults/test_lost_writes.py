"""Power is lost at any moment of a promotion: whatever was not synced may be gone or reordered, and
the link never names anything but what was promoted.
"""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from brewslm.errors import ExitCode
from brewslm.plan.selection import Selection
from tests.apply.bench import Bench
from tests.faults.disk import Disk, images
from tests.faults.invariants import violations


@pytest.fixture
def awaiting(folder: Path, request: pytest.FixtureRequest) -> Bench:
    """Return a project whose next candidate passed its gates and is not promoted yet."""
    bench = Bench.make(folder / request.node.name / "project")
    assert bench.apply().exit_code is ExitCode.DONE
    bench.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    built = bench.built(selection=Selection(excludes=("deployment",)))
    assert bench.apply(built).exit_code is ExitCode.DONE
    shutil.rmtree(bench.home / "cache")
    return bench


def _end_lease(bench: Bench) -> None:
    """End the lease that a run held when power was lost; its process is the one of this test."""
    with closing(bench.store().read()) as state:
        held = state.lease()
    if held is not None:
        bench.store().force_unlock(held.lease_id)


@pytest.mark.case("CRA-01")
def test_lost_writes_leave_the_link_on_what_was_promoted(
    awaiting: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(awaiting.root)
    moments: list[str] = []
    wrong: list[str] = []

    def lose_power(moment: str) -> None:
        moments.append(moment)
        if moment.startswith("after"):
            return
        for name, (has_reached, is_empty) in images(len(moments)).items():
            image = awaiting.root.with_name("image")
            disk.write_image(image, has_reached, is_empty)
            wrong.extend(f"{moment}, {name}: {found}" for found in violations(image))
            shutil.rmtree(image)

    with disk.watching(monkeypatch, lose_power):
        assert awaiting.apply().exit_code is ExitCode.DONE
    assert len(moments) > 20
    assert wrong == []


@pytest.mark.slow
@pytest.mark.case("CRA-01")
def test_an_apply_after_lost_writes_promotes_what_passed(
    awaiting: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(awaiting.root)
    kept: list[Path] = []

    def keep(moment: str) -> None:
        if moment.startswith("after"):
            return
        for has_reached, is_empty in images(len(kept)).values():
            kept.append(awaiting.root.with_name(f"image.{len(kept)}"))
            disk.write_image(kept[-1], has_reached, is_empty)

    with disk.watching(monkeypatch, keep):
        assert awaiting.apply().exit_code is ExitCode.DONE
    wanted = awaiting.promoted()
    for image in kept:
        found = Bench(image)
        _end_lease(found)
        assert found.apply().exit_code is ExitCode.DONE
        assert (found.promoted(), violations(image)) == (wanted, [])
        assert not found.built().plan.has_changes
