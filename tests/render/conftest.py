"""A report of a whole evaluation."""

from contextlib import closing
from pathlib import Path

import pytest

from brewslm.plan.recorded_evaluation import RecordedEvaluation
from brewslm.tasks.report import Report
from tests.apply.bench import Bench


@pytest.fixture
def report(promoted: Path) -> Report:
    """Return the report of a project whose candidate was promoted."""
    bench = Bench(promoted)
    with closing(bench.store().read()) as reader:
        return RecordedEvaluation.of(reader, bench.artifacts()).report()
