"""Limits of the workflow against what a plan is expected to take."""

from pathlib import Path

import pytest

from brewslm.diagnostics import exit_code_of
from brewslm.errors import ExitCode
from brewslm.plan.device import Device
from brewslm.stages.deployment import MOST_PARAMETERS
from tests.apply.bench import Bench


def limited(root: Path, limits: str) -> Bench:
    bench = Bench.make(root / "project")
    bench.edit("spec:\n", f"spec:\n  workflow: {{budget_settings: {{{limits}}}}}\n")
    return bench


@pytest.mark.parametrize("has_cuda", [True, False])
def test_an_estimate_above_a_limit_is_refused(has_cuda: bool, tmp_path: Path) -> None:
    bench = limited(tmp_path, "max_minutes: 0.01, max_gpu_hours: 0.0001")
    plan = bench.built(device=Device(has_cuda=has_cuda)).plan
    found = [item for item in plan.finding_values if item.code == "BUDGET_EXCEEDED"]
    names = [item.field.rpartition(".")[2] for item in found]
    assert names == (["max_minutes", "max_gpu_hours"] if has_cuda else ["max_minutes"])
    assert all(item.place.line == 5 for item in found)
    assert (plan.is_applyable, exit_code_of(plan.finding_values)) == (False, ExitCode.REFUSED)


@pytest.mark.parametrize("name", ["max_minutes", "max_gpu_hours"])
@pytest.mark.parametrize("rows", [20, 30, 40])
def test_the_limit_that_is_named_as_remedy_holds(name: str, rows: int, tmp_path: Path) -> None:
    bench = limited(tmp_path, f"{name}: 0.00001")
    bench.write_rows("rows", range(rows))
    device = Device(has_cuda=True)
    findings = bench.built(device=device).plan.finding_values
    (found,) = (item for item in findings if item.code == "BUDGET_EXCEEDED")
    said, _, _ = found.actionable_fix.removeprefix("write ").partition(", or ")
    bench.edit(f"{name}: 0.00001", said)
    assert bench.built(device=device).plan.is_applyable


def test_an_estimate_within_the_limits_is_not(tmp_path: Path) -> None:
    bench = limited(tmp_path, "max_minutes: 600, max_gpu_hours: 10")
    assert bench.built(device=Device(has_cuda=True)).plan.is_applyable
    assert bench.apply().exit_code is ExitCode.DONE
    bench.edit("max_minutes: 600", "max_minutes: 0.01")
    assert bench.built().plan.is_applyable  # what is done costs nothing


def test_a_base_larger_than_its_target_allows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MOST_PARAMETERS, "cpu_local", 1_000)
    plan = Bench.make(tmp_path / "project").built().plan
    (found,) = (item for item in plan.finding_values if item.severity == "error")
    assert (found.code, found.expected) == ("TARGET_SIZE_LIMIT", "at most 1,000")
