"""Changed data: how many rows a second are prepared, and with how much memory."""

from pathlib import Path

from tests.benchmarks.measured import Row, brewslm, mebibytes, seconds
from tests.benchmarks.projects import apply_scripted, scripted, settle

_TARGET_ROWS_A_S = 1_000_000 / 60
_FIXED_BYTES, _BYTES_A_ROW = 512 * 10**6, 200


def measure(root: Path, rows: int) -> list[Row]:
    """Make a project of so many rows, plan it and apply it; it is applied afterwards."""
    bench = scripted(root, rows)
    planned = brewslm(root, "plan")
    settle()
    applied = apply_scripted(bench)
    settle()
    rows_a_s = rows / planned.wall_s
    limit = _FIXED_BYTES + _BYTES_A_ROW * rows
    return [
        Row(
            f"plan of {rows:,} changed rows of 0.6 KB, token lengths included",
            f"{seconds(planned.wall_s)}, {rows_a_s:,.0f} rows/s",
            f"target {_TARGET_ROWS_A_S:,.0f} rows/s",
            rows_a_s / _TARGET_ROWS_A_S,
            "1 M rows ≤ 60 s",
        ),
        Row(
            "its memory at most",
            mebibytes(planned.peak_bytes),
            f"limit {mebibytes(limit)}",
            planned.peak_bytes / limit,
            "512 MB + 200 B a row",
        ),
        Row(
            "apply after it, with a trainer that takes no time",
            seconds(applied.wall_s),
            f"plan {seconds(planned.wall_s)}",
            applied.wall_s / planned.wall_s,
        ),
    ]
