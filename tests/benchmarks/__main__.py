"""Measures what brewslm promises about speed, and prints a table; run it on an idle machine.

python -m tests.benchmarks --dvc /path/to/dvc
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.benchmarks import apply_overhead, decisions, preparation, resources, unchanged_plan
from tests.benchmarks.measured import Row, run
from tests.benchmarks.projects import apply, apply_scripted, example, scripted, settle

_PACKAGES = ("msgspec", "orjson", "pydantic", "tokenizers", "torch", "transformers", "trl")
_QUICK_ROWS, _QUICK_PAIRS = 2000, 50


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--dvc", type=Path, help="the dvc program to compare with")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the big cases")
    parser.add_argument("--repeats", type=int, default=7, help="of each short case")
    parser.add_argument("--quick", action="store_true", help="small sizes, no real training")
    options = parser.parse_args()
    _say(*facts(options.dvc))
    _say("", "| what | measured | beside | ratio | target |", "|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="brewslm-benchmarks-") as folder:
        for row in rows(Path(folder), options):
            _say(line(row))
    return 0


def rows(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Yield the rows of the table as they are measured."""
    yield from _short_rows(folder, options)
    pairs = _QUICK_PAIRS if options.quick else resources.largest_pairs()
    yield from resources.measure(folder / "resources", pairs, 1 if options.quick else 3)
    many = _QUICK_ROWS if options.quick else options.rows
    yield from preparation.measure(folder / "many", many)
    yield unchanged_plan.beside_few_rows(folder / "many", many, folder, options.repeats)


def _short_rows(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Yield what is measured on one small project, an example unless it has to be quick."""
    repeats = options.repeats
    if options.quick:
        bench = scripted(folder / "project")
        apply_scripted(bench)
        settle()
        yield unchanged_plan.beside_dvc(bench.root, folder, options.dvc, repeats)
        yield decisions.regating(bench.root, "metric_id: accuracy, threshold: ", 0.8, repeats)
        yield decisions.reuse(
            bench.root, "rate: 2.0e-3", "rate: 3.0e-3", lambda: apply_scripted(bench), repeats
        )
        return
    root = example(folder / "project")
    yield apply_overhead.measure(root, apply(root))
    yield unchanged_plan.beside_dvc(root, folder, options.dvc, repeats)
    yield decisions.regating(root, "metric_id: field_f1, threshold: ", 0.65, repeats)
    yield decisions.reuse(root, "rate: 5.0e-3", "rate: 4.0e-3", lambda: apply(root), repeats)


def facts(dvc: Path | None) -> list[str]:
    """Return what machine and which versions the numbers are of."""
    packages = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    found = [
        f"{len(os.sched_getaffinity(0))} cores, {platform.machine()}, {platform.system()}"
        f" {platform.release()}; load before the run {load}",
        f"Python {platform.python_version()}, brewslm {_version('brewslm')}; {packages}",
    ]
    if dvc is not None and dvc.is_file():
        found.append(f"dvc {run((str(dvc), '--version'), Path.cwd()).output.strip()}")
    return found


def line(row: Row) -> str:
    """Return a row as Markdown."""
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    return f"| {row.what} | {row.measured} | {row.beside} | {ratio} | {row.target} |"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "from the tree"


def _say(*lines: str) -> None:
    for text in lines:
        sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
