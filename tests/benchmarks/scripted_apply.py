"""Applies a project with a scripted trainer: everything real but the model."""

import sys
from pathlib import Path

from tests.apply.bench import Bench

if __name__ == "__main__":
    sys.exit(Bench(Path(sys.argv[1])).apply().exit_code)
