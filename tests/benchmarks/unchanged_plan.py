"""A plan with nothing to do: beside `dvc status` on the same files, and beside much more data."""

from pathlib import Path

from tests.benchmarks.dvc import DvcRepository
from tests.benchmarks.measured import Row, medians, plan_without_changes, seconds
from tests.benchmarks.projects import apply_scripted, scripted, settle

FEW_ROWS = 1000
_WHAT = "plan with nothing to do"


def beside_dvc(project: Path, folder: Path, dvc: Path | None, repeats: int) -> Row:
    """Measure an applied project, and `dvc status` on a repository of the same files."""
    cases = {"plan": lambda: plan_without_changes(project)}
    if dvc is not None and dvc.is_file():
        repository = DvcRepository.make(dvc, project, folder / "dvc")
        cases["dvc"] = repository.status
    times = medians(cases, repeats)
    if "dvc" not in times:
        reason = "no --dvc given" if dvc is None else f"no file {dvc}"
        return Row(_WHAT, seconds(times["plan"]), f"dvc skipped: {reason}", target="≤ 0.30 s")
    ratio = times["plan"] / times["dvc"]
    beside = f"dvc status {seconds(times['dvc'])}"
    return Row(_WHAT, seconds(times["plan"]), beside, ratio, "≤ 0.30 s; < 0.33")


def beside_few_rows(project: Path, rows: int, folder: Path, repeats: int) -> Row:
    """Measure a project of many unchanged rows that was applied, and one of few."""
    few = scripted(folder / "few", FEW_ROWS)
    apply_scripted(few)
    settle()
    times = medians(
        {
            "many": lambda: plan_without_changes(project),
            "few": lambda: plan_without_changes(few.root),
        },
        repeats,
    )
    return Row(
        f"{_WHAT}, {rows:,} rows",
        seconds(times["many"]),
        f"{FEW_ROWS:,} rows {seconds(times['few'])}",
        times["many"] / times["few"],
        "flat: 1.0",
    )
