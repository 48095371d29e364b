"""Answers in words: hand-made cases and an independent reading of the SQuAD rules."""

import importlib
import random
import re
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.tasks.normalisers import label, last_number, number, squad, squad_unicode
from brewslm.tasks.profiles.qa import extract, score
from brewslm.tasks.task import DEFAULT_OPTIONS, ScoringOptions
from brewslm.tasks.text_answers import shape, text_match

SQUAD = ScoringOptions(normaliser="squad")


def qa_counts(
    output: str, *answers: str, options: ScoringOptions = DEFAULT_OPTIONS
) -> dict[str, float]:
    return score({}, {"answers": list(answers)}, output, {}, options).counts


@pytest.mark.parametrize(
    ("output", "answers", "exact", "f1"),
    [
        ("The Danube!", ("danube",), 1, 1),
        ("cat cat", ("cat",), 0, 2 / 3),
        ("a", ("the",), 1, 1),
        ("", ("x",), 0, 0),
        ("x", ("the",), 0, 0),
        ("1,000", ("1000",), 1, 1),
        ("3.0", ("3",), 0, 0),
        ("blue sky", ("red", "sky blue"), 0, 1),
        ("caf\u00e9", ("cafe\u0301",), 0, 0),
    ],
)
def test_match_by_the_squad_rules(
    output: str, answers: tuple[str, ...], exact: float, f1: float
) -> None:
    counts = qa_counts(output, *answers, options=SQUAD)
    assert counts["exact"] == exact
    assert counts["f1"] == pytest.approx(f1)


def test_duplicate_answers_change_nothing() -> None:
    assert qa_counts("sky", "sky blue") == qa_counts("sky", "sky blue", "sky blue")


@given(st.text("abthe .,-", max_size=20), st.lists(st.text("abthe .,", max_size=12), min_size=1))
def test_match_equals_an_independent_reading(output: str, answers: list[str]) -> None:
    def tokens(text: str) -> list[str]:
        kept = "".join(c for c in text.lower() if c not in string.punctuation)
        return re.sub(r"\b(a|an|the)\b", " ", kept).split()

    def f1(gold: str) -> float:
        left, right = tokens(output), tokens(gold)
        common = sum((Counter(left) & Counter(right)).values())
        if not left or not right:
            return float(left == right)
        return 2 * common / (len(left) + len(right))

    match = text_match(output, answers, "squad")
    assert match.f1 == pytest.approx(max(map(f1, answers)), abs=1e-12)
    assert match.exact == float(any(tokens(output) == tokens(gold) for gold in answers))


@pytest.mark.parametrize(
    ("output", "answer", "is_marked"),
    [
        ("I add.\nFinal answer: 42.", "42", True),
        ("Answer - Paris\nThe answer is Rome!", "Rome", True),
        ("Answers vary", "Answers vary", False),
        ("Paris", "Paris", False),
    ],
)
def test_announced_answers(output: str, answer: str, is_marked: bool) -> None:
    assert extract(output) == (answer, is_marked)


@pytest.mark.parametrize(
    ("output", "right"), [("it is 1 200", 1), ("12, then 7", 0), ("none", 0), ("$1,200.00", 1)]
)
def test_arithmetic_reads_the_last_number(output: str, right: float) -> None:
    counts = qa_counts(output, "1200")
    assert (counts["number_gold"], counts["number_right"]) == (1, right)
    assert "number_gold" not in qa_counts(output, "twelve")


def test_numbers_keep_percent_as_a_unit() -> None:
    assert number("12%") != number("12")
    assert number("1,23") is None
    assert last_number("v2 has 3 parts") == number("3")


def test_normalisers() -> None:
    assert squad("The  U.S.A., an \u00c9cole") == "usa \u00e9cole"
    assert squad_unicode("\u6771\u4eac\u30bfwer!") == "\u6771 \u4eac \u30bf wer"
    assert label(' "Very__Bad"!. ') == "very bad"


def test_shape_sees_lead_lines_list_and_fence() -> None:
    assert shape("- a\n- b") == ("prose", True, True, False)
    assert shape('{"a": 1}') == ("json", False, False, False)
    assert shape("I'm sorry, no.")[0] == "refusal"
    assert shape("```py\nx\n```") == ("code", True, False, True)


@pytest.mark.slow
def test_match_equals_torchmetrics() -> None:
    squad_of = importlib.import_module("torchmetrics.functional.text").squad
    generator = random.Random(3)  # noqa: S311  seeded cases
    words = ["the", "cat", "a", "sat.", "Mat", "on", "-", "1,000"]
    for _ in range(200):
        texts = [" ".join(generator.choices(words, k=generator.randint(0, 6))) for _ in range(3)]
        output, *answers = texts
        wanted = squad_of(
            {"prediction_text": output, "id": "0"},
            {"answers": {"answer_start": [0, 0], "text": answers}, "id": "0"},
        )
        match = text_match(output, answers, "squad")
        assert match.exact == pytest.approx(float(wanted["exact_match"]) / 100, abs=1e-5)
        assert match.f1 == pytest.approx(float(wanted["f1"]) / 100, abs=1e-5)
