"""Marks that a blank separates from a label or number still belong to it."""

import pytest

from brewslm.tasks.normalisers import last_number
from brewslm.tasks.profiles.classification import UNPARSEABLE, extract
from brewslm.tasks.task import DEFAULT_OPTIONS


@pytest.mark.parametrize(
    ("labels", "output", "label"),
    [
        (("<5", "5", ">5"), "< 5", "<5"),
        (("<5", "5", ">5"), "> 5", ">5"),
        (("<5", "5", ">5"), "It is < 5.", "<5"),
        (("<5", "5", ">5"), "&lt;5", UNPARSEABLE),
        (("< 5", "5", "> 5"), ">5", "> 5"),
        (("5", "10"), "> 5", UNPARSEABLE),
        (("-1", "0", "1"), "- 1", "-1"),
        (("-1", "0", "1"), "\u2212 1", "-1"),
        (("-1", "0", "1"), "Rating: - 1", "-1"),
        (("-1", "0", "1"), "Well:\n- 1", "-1"),
        (("0", "1"), "- 1", "1"),
        (("A", "A-"), "A -", UNPARSEABLE),
        (("A", "A-"), "Grade: A -", UNPARSEABLE),
        (("A", "A-"), "A - clear and complete", "A"),
        (("C", "C++"), "C + +", UNPARSEABLE),
        (("C", "C#", "C++"), "C #", UNPARSEABLE),
        (("3", "3+"), "3 +", UNPARSEABLE),
        (("$5", "5"), "$ 5", "$5"),
    ],
)
def test_a_mark_after_a_blank_is_part_of_the_label(
    labels: tuple[str, ...], output: str, label: str
) -> None:
    contract = {"allowed_labels": list(labels)}
    assert extract(output, contract, DEFAULT_OPTIONS)[0] == label


@pytest.mark.parametrize("text", ["5-3", "5+3", "2024-01-02"])
def test_a_formula_or_date_has_no_last_number(text: str) -> None:
    assert last_number(text) is None
