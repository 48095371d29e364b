"""Similar texts: every pair at the threshold is found, and no other."""

import random
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from brewslm.rows.matching import shingles
from brewslm.rows.near import SimilarTexts, components


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


TEMPLATED = st.lists(
    st.builds(
        "{} order {} from {} please".format,
        st.sampled_from(["what became of", "cancel", "show me the invoice of"]),
        st.integers(0, 99),
        st.sampled_from(["the north desk in the old harbour", "Oslo", "a shop"]),
    ),
    min_size=1,
    max_size=30,
)
_LONG = "the quick brown fox jumps over a lazy dog while cats watch birds"
CHAIN = [_LONG[at : at + 40] for at in range(0, 24, 4)]
"""Each is similar to the next one, and to no other."""
TEXTS = st.lists(st.text("abc ", min_size=1, max_size=60), min_size=1, max_size=12) | TEMPLATED


@settings(max_examples=60, deadline=None)
@given(TEXTS, TEXTS, st.sampled_from([0.5, 0.7, 0.85, 1.0]), st.integers(0, 12))
def test_first_similar_text_of_a_range_is_the_first_that_comparing_finds(
    texts: list[str], asked: list[str], threshold: float, start: int
) -> None:
    similar = SimilarTexts(texts, threshold)
    for text in asked:
        for stop in (len(texts), len(texts) // 2):
            expected = next(
                (
                    (index, jaccard(text, texts[index]))
                    for index in range(start, stop)
                    if jaccard(text, texts[index]) >= threshold - 1e-9
                ),
                None,
            )
            assert similar.first_similar(text, start, stop) == expected


@settings(max_examples=60, deadline=None)
@example(CHAIN, 0.7)
@given(TEXTS, st.sampled_from([0.5, 0.7, 0.85, 1.0]))
def test_components_are_those_of_the_graph_of_all_similar_pairs(
    texts: list[str], threshold: float
) -> None:
    firsts = list(range(len(texts)))
    for _ in texts:
        for one, other in product(range(len(texts)), repeat=2):
            if jaccard(texts[one], texts[other]) >= threshold - 1e-9:
                firsts[one] = min(firsts[one], firsts[other])
    assert components(texts, threshold) == firsts


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


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.85])
def test_texts_that_differ_in_their_rarest_words_are_found(threshold: float) -> None:
    """What they share all others have too, so that the rare parts that come first tell nothing."""
    frame = " ".join(f"frame{number}" for number in range(30))
    texts = [f"{frame} {' '.join(f'own{at}x{word}' for word in range(at))}" for at in range(30)]
    similar = SimilarTexts(texts, threshold)
    for own in range(30):
        text = f"{frame} {' '.join(f'other{word}' for word in range(own))}"
        expected = {at for at in range(30) if jaccard(text, texts[at]) >= threshold}
        assert {index for index, _ in similar.similar_to(text)} == expected
