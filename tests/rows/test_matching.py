"""The matching form: what plain ASCII text is spared gives what any text goes through."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from brewslm.rows.matching import matching_text

_PIECES = st.sampled_from(
    (" ", "  ", "\t", "\n", "\x1c", "\x7f", "A", "b", "É", "ﬁ", "\u200b", "\u00a0")
)


@given(st.lists(_PIECES | st.text(max_size=4)).map("".join))
def test_short_ways_give_the_matching_form(text: str) -> None:
    folded = unicodedata.normalize("NFKC", text).casefold()
    visible = [
        character
        for character in folded
        if character in "\t\n" or unicodedata.category(character) not in ("Cf", "Cc")
    ]
    assert matching_text(text) == " ".join("".join(visible).split())
