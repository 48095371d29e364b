"""Refusals are found by one list."""

import pytest

from brewslm.refusals import PHRASES, is_refusal


@pytest.mark.parametrize(
    "text", ["I don’t  KNOW.", "Sorry, I cannot answer that.", "The context does not mention it."]
)
def test_refusals_are_recognised(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize("text", ["", "In hall B", "x" * 200 + " i do not know"])
def test_answers_are_no_refusals(text: str) -> None:
    assert not is_refusal(text)


def test_other_languages_bring_their_phrases() -> None:
    assert is_refusal("Das weiß ich nicht.", ["weiß ich nicht"])


def test_phrases_are_in_match_form_and_sorted() -> None:
    assert list(PHRASES) == sorted(set(PHRASES))
    assert all(is_refusal(phrase) for phrase in PHRASES)
