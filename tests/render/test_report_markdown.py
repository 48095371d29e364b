"""An evaluation as a comment: verdict first, bounded, and inert whatever the names are."""

import pytest

from brewslm.render.markdown import weight
from brewslm.render.report_markdown import render_report_markdown
from brewslm.tasks.report import Report
from tests.render.evaluations import HOSTILE as HOSTILE_PAGES
from tests.render.evaluations import renamed
from tests.render.test_markdown import HOSTILE, assert_sound, outside_of_code


def columns(line: str) -> int:
    """Return how many cells a line of a table has; escaped bars are no borders."""
    return line.replace("\\|", "").count("|") - 1


def test_verdict_comes_first(report: Report) -> None:
    text = render_report_markdown(report)
    head = "**PASS · 1 of 1 required gate passed on gold_test, 30 rows**"
    assert text.splitlines()[0] == head
    assert report.models.candidate in text.splitlines()[-1]
    assert "| `PASS` | `right` | `accuracy (as label) 1.0000 ≥ 0.8` | `30/30` |" in text
    assert_sound(text)


@pytest.mark.case("RND-01")
@pytest.mark.parametrize("name", [*HOSTILE, *HOSTILE_PAGES[:-1]], ids=ascii)
def test_hostile_names_are_inert(name: str, report: Report) -> None:
    text = render_report_markdown(renamed(report, name))
    assert_sound(text)
    assert text.splitlines()[0].startswith("**PASS")
    width = 0
    for line in text.splitlines():
        if not line.startswith("|"):
            width = 0
        elif width:
            assert columns(line) == width, line
        else:
            width = columns(line)


def test_it_is_cut_at_rows_and_counted(report: Report) -> None:
    many = tuple(
        report.metrics[0].model_copy(update={"metric_id": f"metric_{number}"})
        for number in range(2_000)
    )
    text = render_report_markdown(report.model_copy(update={"metrics": many}), 6_000)
    assert weight(text) <= 6_000
    assert "\nand 1,9" in text
    assert text.splitlines()[-1] == render_report_markdown(report).splitlines()[-1]
    assert "`" not in outside_of_code(text)


def test_tables_without_room_are_counted(report: Report) -> None:
    many = tuple(
        report.gates[0].model_copy(update={"gate_id": f"gate_{number}"}) for number in range(500)
    )
    text = render_report_markdown(report.model_copy(update={"gates": many}), 6_000)
    assert weight(text) <= 6_000
    titles = [line for line in text.splitlines() if line.startswith("### ")]
    whole = render_report_markdown(report)
    all_titles = [line for line in whole.splitlines() if line.startswith("### ")]
    assert titles[-1] == "### Gates"
    left = len(all_titles) - len(titles)
    assert text.splitlines()[-3:-1] == [f"{left} tables left out for want of room", ""]
    assert "left out" not in whole
