import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from brewslm.characters import is_unseen, unseen_in
from brewslm.render.words import visible

BLANKS = "\u00a0\u034f\u115f\u1160\u17b4\u180b\u180f\u2003\u2800\u3000\u3164\ufe0f\uffa0\U000e0101"
SEEN = "aZ09 é한日ñ\u0301‑…✓🚚"


def test_blank_letters_and_variation_selectors_are_unseen() -> None:
    assert [hex(ord(char)) for char in BLANKS if not is_unseen(char)] == []
    assert unseen_in(SEEN) == []


@given(st.text())
def test_printed_text_has_no_character_that_cannot_be_seen(text: str) -> None:
    shown = visible(text)
    assert unseen_in(shown) == []
    assert all(char.isprintable() for char in shown)
    if not unseen_in(text) and text.isprintable():
        assert shown == text


def test_every_ignorable_category_is_unseen() -> None:
    every = map(chr, range(0x110000))
    hidden = [char for char in every if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")]
    assert all(map(is_unseen, hidden))
