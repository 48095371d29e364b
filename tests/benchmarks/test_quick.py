"""The benchmarks run and measure every case."""

import subprocess
import sys

import pytest

from tests.benchmarks.measured import ROOT


@pytest.mark.slow
def test_quick_run_prints_a_row_for_every_case() -> None:
    command = [sys.executable, "-m", "tests.benchmarks", "--quick", "--repeats", "1"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    table = [line for line in output.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 9
