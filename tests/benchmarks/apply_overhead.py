"""What apply costs beside the worker's own seconds."""

from pathlib import Path

from brewslm.cli.session import Session
from tests.benchmarks.measured import Row, Run, seconds

_RUN_S = 600.0
"""The run that the target speaks of."""


def measure(root: Path, applied: Run) -> Row:
    """Compare the wall of a first apply with what the worker recorded of its own work."""
    work_s = recorded_work_s(root)
    overhead_s = applied.wall_s - work_s
    return Row(
        "apply beside its worker, start of processes and imports included",
        f"{seconds(overhead_s)} of {seconds(applied.wall_s)}",
        f"{seconds(_RUN_S)} of work",
        overhead_s / _RUN_S,
        "< 0.05",
    )


def recorded_work_s(root: Path) -> float:
    """Return the seconds that doors were open, by the journal."""
    reader = Session(root).store().read()
    try:
        journal = reader.operations()
    finally:
        reader.close()
    return sum(float((item.actual or {}).get("work_s") or 0.0) for item in journal)
