"""Similar texts: every pair at the threshold is found, and no other."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewslm.rows.matching import shingles
from brewslm.rows.near import SimilarTexts


def jaccard(first: str, second: str) -> float:
    one, two = shingles(first), shingles(second)
    return len(one & two) / len(one | two)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text("abc ", min_size=1, max_size=60), min_size=1, max_size=12),
    st.sampled_from([0.5, 0.7, 0.85, 1.0]),
)
def test_index_finds_what_comparing_all_pairs_finds(texts: list[str], threshold: float) -> None:
    similar = SimilarTexts(texts, threshold)
    for text in texts:
        expected = [
            (index, jaccard(text, other))
            for index, other in enumerate(texts)
            if jaccard(text, other) >= threshold - 1e-9
        ]
        assert similar.similar_to(text) == expected


@pytest.mark.parametrize("threshold", [0.7, 0.85])
def test_planted_edits_of_long_texts_are_found(threshold: float) -> None:
    chance = random.Random(7)  # noqa: S311  planted texts, not secrets
    words = [f"word{number}" for number in range(400)]
    texts = [" ".join(chance.choices(words, k=80)) for _ in range(40)]
    planted = []
    for text in texts:
        parts = text.split()
        for place in chance.sample(range(80), 9):
            parts[place] = chance.choice(words)
        planted.append(" ".join(parts))
    similar = SimilarTexts(texts, threshold)
    found = {
        (index, at) for at, text in enumerate(planted) for index, _ in similar.similar_to(text)
    }
    expected = {
        (index, at)
        for at, text in enumerate(planted)
        for index, other in enumerate(texts)
        if jaccard(text, other) >= threshold
    }
    assert found == expected
    assert expected or threshold > 0.8
