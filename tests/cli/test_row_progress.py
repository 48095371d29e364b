"""Progress of rows: on a terminal one line that goes away, else a line now and then."""

from io import StringIO

import pytest

from brewslm.cli.row_progress import ReportedRows
from tests.cli.conftest import Run


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (StringIO(), "comparing rows: 3,000 of 9,000 rows\n"),
        (
            Terminal(),
            "\rcomparing rows: 3,000 of 9,000 rows\rcomparing rows: 4,000 of 9,000 rows",
        ),
    ],
)
def test_nothing_is_reported_at_first_and_little_later(stream: StringIO, expected: str) -> None:
    times = iter((0.0, 1.0, 1.9, 2.0, 2.1, 4.0))
    reported = ReportedRows(stream, lambda: next(times))
    for done in (1000, 2000, 3000, 3500, 4000):
        reported.report("comparing rows", done, 9000)
    assert stream.getvalue() == expected
    reported.clear()
    is_rewritten = isinstance(stream, Terminal)
    assert stream.getvalue().endswith(" \r" if is_rewritten else "\n")


@pytest.mark.usefixtures("applied")
def test_a_quick_plan_reports_nothing(run: Run) -> None:
    assert run("plan", "--refresh", "full").err == ""
