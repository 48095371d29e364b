"""Normal forms keep what an answer means: signs, points, marks of code; and no more than that."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewslm.tasks.gate_checks import gate_problems
from brewslm.tasks.normalisers import label, last_number, number, words
from brewslm.tasks.profiles.classification import UNPARSEABLE, extract
from brewslm.tasks.profiles.qa import score
from brewslm.tasks.task import DEFAULT_OPTIONS
from brewslm.tasks.text_answers import is_refusal

_NUMBERS = st.from_regex(r"[-+]?(0|[1-9][0-9]{0,3})(\.[0-9]{1,2})?%?", fullmatch=True)
_TERMS = st.from_regex(
    r"[-<>=~.$]{0,2}[A-Za-z0-9]{1,2}([-+#.:/*^][a-z0-9+#]{0,2})?", fullmatch=True
)


def _is_right(output: str, *answers: str) -> bool:
    counts = score({}, {"answers": list(answers)}, output, {}, DEFAULT_OPTIONS).counts
    return counts["exact"] == 1.0


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        *[("-5", "5"), ("\u22125", "5"), ("5", "-5"), (".5", "5"), ("1.5", "15"), ("1,5", "15")],
        *[("C++", "C"), ("C#", "C"), ("A-", "A"), ("A+", "A"), ("vitamin A", "vitamin")],
        *[("5%", "5"), ("$5", "5"), ("<5", "5"), ("\u22655", "5"), ("~5", "5"), ("5'", "5")],
        *[("1/2", "12"), ("10:30", "1030"), ("1-2", "12"), ("x^2", "x2"), ("x\u00b2", "x2")],
        *[("f(x)", "fx"), ("foo()", "foo"), ("--help", "help"), ("!x", "x"), (".NET", "net")],
        *[("node.js", "nodejs"), ("a_b", "ab"), ("*.py", "py"), ("2 * 3", "2 3"), ("5 - 3", "5 3")],
        *[("", "A"), ("the", "A"), ("", "..."), ("no", "no way")],
    ],
)
def test_other_answers_stay_other_answers(output: str, answer: str) -> None:
    assert not _is_right(output, answer)
    assert not _is_right(answer, output)


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        *[("The Danube!", "danube"), ("1,000", "1000"), ("\u22125", "-5"), ("(5)", "5")],
        *[("**foo bar**", "foo bar"), ('"foo bar".', "foo bar"), ("`x`", "x"), ("U.S.A.", "USA")],
        *[("it\u2019s here", "its here"), ("Paris \u2013 France", "Paris France"), ("5.", "5")],
        *[("caf\u00e9", "cafe\u0301"), ("\u6771\u4eac", "\u6771 \u4eac")],
    ],
)
def test_spelling_that_means_nothing_does_not_count(output: str, answer: str) -> None:
    assert _is_right(output, answer)


@settings(max_examples=40)
@given(_NUMBERS, _NUMBERS)
def test_numbers_are_equal_only_as_numbers(left: str, right: str) -> None:
    if words(left) == words(right):
        assert number(left) == number(right)


@settings(max_examples=40)
@given(_NUMBERS)
def test_last_number_is_the_number_that_stands_there(text: str) -> None:
    assert last_number(f"so it is {text}.") == last_number(text) == number(text)


@pytest.mark.parametrize(
    "text", ["1.5.2", "1,5", "1/2", "10:30", "<5", "\u22645", "v2", "3^2", "5k", "1e3"]
)
def test_part_of_another_number_is_no_number(text: str) -> None:
    assert last_number(text) is None


LABEL_SETS = [
    ("-1", "0", "1"),
    ("A", "A-", "A+", "B"),
    ("<5", "5", ">5"),
    ("C", "C++", "C#"),
    ("1", "1.0", "1.5"),
    (":)", ":("),
    ("a b", "a_b", "a-b"),
    ("Yes", "yes"),
]


@pytest.mark.parametrize("labels", LABEL_SETS)
def test_exact_label_wins_over_every_form(labels: tuple[str, ...]) -> None:
    contract = {"allowed_labels": list(labels)}
    for wanted in labels:
        for output in (wanted, f"{wanted}\n", f"Label: {wanted}", f'{{"label": "{wanted}"}}'):
            assert extract(output, contract, DEFAULT_OPTIONS) == (wanted, "", True)


@settings(max_examples=60)
@given(st.lists(_TERMS, min_size=2, max_size=4, unique=True), st.data())
def test_output_means_no_label_but_its_own(terms: list[str], data: st.DataObject) -> None:
    *labels, stranger = terms
    contract = {"allowed_labels": labels}
    for wanted in labels:
        assert extract(wanted, contract, DEFAULT_OPTIONS)[0] == wanted
    if label(stranger) not in map(label, labels) and stranger.casefold() not in labels:
        inner = data.draw(st.sampled_from(["{}", "surely {}", "{} presumably"]))
        found = extract(inner.format(stranger), contract, DEFAULT_OPTIONS)[0]
        assert found == UNPARSEABLE or label(found) in label(stranger).split()


@pytest.mark.parametrize(
    ("labels", "output"),
    [
        (["1", "0"], "-1"),
        (["1", "0"], "it is -1"),
        (["1", "0"], "\u22121"),
        (["1", "2"], "1.5"),
        (["1", "2"], "between 1-2"),
        (["5"], "<5"),
        (["5"], "it is >=5"),
        (["C"], "I would use C++"),
        (["A", "B"], "A-"),
        (["A", "B"], "the grade is A+"),
        (["good"], "non-good"),
        (["positive"], "\u0440\u043esitive"),
        (["positive"], '{"label": "positive", "label": "positive"}'),
        (["positive"], "I'm sorry, I can't help with that. positive"),
        (["positive"], "Unfortunately, I am not able to say.\nIt is positive"),
        (["positive"], "As a language model I do not judge. positive"),
        (["positive"], "I'm afraid that I must decline: positive"),
        (["late", "lost"], "late\nlost"),
    ],
)
def test_what_is_not_quite_a_label_is_none(labels: list[str], output: str) -> None:
    contract = {"allowed_labels": labels}
    assert extract(output, contract, DEFAULT_OPTIONS)[0] == UNPARSEABLE


@pytest.mark.parametrize(
    "text",
    ["I'm sorry to hear that your parcel is late.", "Sorry for the delay!", "I can do that."],
)
def test_regret_is_no_refusal(text: str) -> None:
    assert not is_refusal(text)


@pytest.mark.parametrize(
    ("labels", "shown"),
    [(["a b", "a_b", "c"], ['"a b" and "a_b"']), (["-1", "0", "1"], []), (["A", "A-"], [])],
)
def test_labels_whose_forms_meet_are_found_before_anything_runs(
    labels: list[str], shown: list[str]
) -> None:
    found = gate_problems([], "classification", {"allowed_labels": labels})
    assert [item.code for item in found] == ["LABELS_ALIKE"] * len(shown)
    assert all(text in item.message for text, item in zip(shown, found, strict=True))
