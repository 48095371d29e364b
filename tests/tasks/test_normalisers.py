"""Normal forms keep what an answer means: signs, points, marks of code; and no more than that."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewslm.tasks.gate_checks import gate_problems
from brewslm.tasks.normalisers import (
    NORMALISERS,
    label,
    last_number,
    number,
    scalar_key,
    words,
)
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


FORMS: dict[str, list[tuple[str, str]]] = {
    "none": [(" A b ", " A b ")],
    "trim": [(" A b \n", "A b"), (" cafe\u0301", "cafe\u0301")],
    "nfc_trim": [(" cafe\u0301 ", "caf\u00e9"), ("A  b", "A  b")],
    "code": [("  a  \n b\t\n\n", "  a\n b"), ("\n\na\n\nb", "a\n\nb")],
    "squad": [
        ("The  Old-Pump, a hall!", "oldpump hall"),
        ("\u00c9t\u00e9 \u2013 an", "\u00e9t\u00e9 \u2013"),
    ],
    "squad_unicode": [
        ("\uff34he \ufb01ne Stra\u00dfe: $5", "fine strasse 5"),
        ("a \u6771\u4eac \u2013 x", "\u6771 \u4eac x"),
    ],
    "label": [
        *[("\u22121", "-1"), ("Very_Bad", "very bad"), ("very-bad", "very bad"), ("A-", "a-")],
        *[
            ("cafe\u0301", "caf\u00e9"),
            ("Stra\u00dfe", "strasse"),
            ("x*", "x*"),
            ("*late", "*late"),
        ],
        *[
            ("- late", "late"),
            ("## 2. late", "2. late"),
            ("> * late", "* late"),
            ("!late", "!late"),
        ],
        *[("(late", "late"), ("late)", "late"), ("(a) b", "(a) b"), ("b (a)", "b (a)")],
        *[("f(x)", "f(x)"), ("<5>", "5"), ("<5", "<5"), ("5?", "5"), ("~~late~~", "late")],
        *[('**("Late")**.', "late"), ("'[_late_]!'", "late"), ("**", "**"), ("1-2", "1-2")],
    ],
    "words": [
        *[("1,000 pumps", "1000 pumps"), ("1,00 pumps", "1,00 pumps"), ("\u22125", "-5")],
        *[("**foo bar** x", "foo bar x"), ('say "5"', "say 5"), ("say 5'", "say 5'")],
        *[("Rome \u2013 Paris", "rome paris"), ("10 - 20", "10 - 20"), ("x - y", "x - y")],
        *[
            ("the Danube", "danube"),
            ("the", "the"),
            ("vitamin A", "vitamin a"),
            ("see the", "see the"),
            ("A trip", "trip"),
        ],
        *[("plan a trip", "plan a trip"), ("see an owl", "see owl"), ("...", "..."), ("?", "?")],
        *[("U.S.A. x", "usa x"), (".NET", ".net"), ("...wait", "wait"), ("(5)", "5")],
        *[("(f(x))", "(f(x))"), ("f(x)", "f(x)"), ("(x b)", "x b"), ("it\u2019s", "its")],
        *[
            ("Stra\u00dfe", "strasse"),
            ("cafe\u0301", "caf\u00e9"),
            ("\u6771\u4eac", "\u6771 \u4eac"),
        ],
    ],
}


def test_each_form_is_what_its_description_says() -> None:
    assert FORMS.keys() == NORMALISERS.keys()
    found = {name: [(text, NORMALISERS[name](text)) for text, _ in FORMS[name]] for name in FORMS}
    assert found == FORMS


@pytest.mark.parametrize(
    ("text", "whole", "last"),
    [
        ("\u22125 %", "-5%", "-5%"),
        ("$1,000.50", "1000.50", "1000.50"),
        (".5", "0.5", "0.5"),
        ("+7", "7", "7"),
        *[(text, None, None) for text in ("", "+", "%", "$")],
        ("5 kg", None, "5"),
        ("from 3 to 4%", None, "4%"),
        ("x = - 5", None, "-5"),
        ("\u2212 5", None, "-5"),
        ("10 - 5", None, "5"),
    ],
)
def test_number_has_its_sign_fraction_and_unit(
    text: str, whole: str | None, last: str | None
) -> None:
    found = [value and f"{value[0]}{value[1]}" for value in (number(text), last_number(text))]
    assert found == [whole, last]


def test_scalars_are_equal_as_json_has_them() -> None:
    groups: list[list[object]] = [
        [1, 1.0, 1e0],
        [True],
        [False],
        [0, 0.0, -0.0],
        [None],
        ["1"],
        ["\u00e9", "e\u0301 "],
    ]
    keys = [{scalar_key(value) for value in group} for group in groups]
    assert [len(own) for own in keys] == [1] * len(groups)
    assert len(set.union(*keys)) == len(groups)


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
        (["positive"], "Regrettably, this is not something I'm able to judge. positive"),
        (["positive"], "It is positive\nI'm sorry, but I can't help with that."),
        (["0", "1"], "A:0"),
        (["a", "b"], "it is x:a"),
        (["late", "lost"], "late\nlost"),
    ],
)
def test_what_is_not_quite_a_label_is_none(labels: list[str], output: str) -> None:
    contract = {"allowed_labels": labels}
    assert extract(output, contract, DEFAULT_OPTIONS)[0] == UNPARSEABLE


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry to hear that your parcel is late.",
        "Sorry for the delay!",
        "I can do that.",
        "Unfortunately the road is closed, go by Linz.",
        "It is not possible to park here.",
        "We could not find your parcel; call Anna.",
        "I am not the driver; call Anna.",
        "No information was lost.",
        "It waits in Linz. I don't know until when.",
    ],
)
def test_regret_is_no_refusal(text: str) -> None:
    assert not is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "Unfortunately, this is not something I'm able to assist with.",
        "That's not something I can answer.",
        "I\u2019ll have to decline.",
        "I'd rather not say.",
        "I don't have access to that.",
        "I have no idea.",
        "There is not enough information to answer.",
        "It's impossible to say.",
        "Unable to determine.",
        "Dear user, I cannot answer.",
        "I apologise for the inconvenience, but I can't do that.",
        "Regrettably, we cannot help with that.",
        "The question can't be answered.",
        "My guidelines do not allow me to answer.",
        "I'm just an AI and can't answer.",
        "I was unable to find an answer.",
    ],
)
def test_each_way_to_decline_is_a_refusal_whatever_follows(text: str) -> None:
    assert is_refusal(text)
    assert is_refusal(f"{text}\npositive")


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
