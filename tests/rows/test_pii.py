"""Personal data and credentials: what a text is spared changes nothing that is found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.rows import pii
from brewslm.rows.pii import find_pii, find_secret

_SECRETS = (
    "AKIA" + "A" * 16, "ASIA" + "7" * 16, "sk-" + "a" * 20, "sk_live_" + "b" * 16,
    "gho_" + "c" * 36, "github_pat_" + "d" * 22, "xoxb-" + "1" * 10, "AIza" + "e" * 35,
    "hf_" + "f" * 30, "glpat-" + "g" * 20, "-----BEGIN RSA PRIVATE KEY",
    "eyJ" + "h" * 8 + ".eyJ" + "i" * 8 + "." + "j" * 8, "://user:word@host",
)  # fmt: skip
_NUMBERS = (
    "4111 1111 1111 1111", "078-05-1120", "+49 170 1234567", "(212) 555-01234", "8.8.8.8", "1.2.3",
    "2024-11-21", "DE89 3704 0044 0532 0130 00", "de89 3704 0044 0532 0130 00", "ana@example.org",
    "1 2 3 4 5 6 7", "999999", "é", "\udc80", "٣٣٣٣٣٣٣٣٣", " ", ".", "-", "a", "7",
)  # fmt: skip


@pytest.mark.parametrize("secret", _SECRETS)
def test_every_form_of_credential_is_found(secret: str) -> None:
    assert find_secret(f"the key is {secret} here")
    assert not find_secret(f"the key is {secret[:-12]} here")


def test_every_mark_of_a_credential_is_looked_for_by_a_character_in_it() -> None:
    sought = [mark for marks in pii._MARKS.values() for mark in marks]
    assert sorted(sought) == sorted(mark for _, marks, _ in pii._SECRETS for mark in marks)
    for secret in _SECRETS:
        characters = [sign for sign, marks in pii._MARKS.items() if secret.startswith(marks)]
        assert characters
        assert set(characters) <= set(secret)


@given(st.lists(st.sampled_from(_SECRETS + tuple("-_IJ: gh")) | st.text(max_size=3)).map("".join))
def test_texts_that_are_spared_the_patterns_hold_no_credential(text: str) -> None:
    kinds = [kind for kind, _, pattern in pii._SECRETS if pattern.search(text)]
    assert find_secret(text) == (kinds[0] if kinds else "")


@given(st.lists(st.sampled_from(_NUMBERS) | st.text(max_size=3)).map("".join))
def test_texts_that_are_spared_the_search_hold_no_number(text: str) -> None:
    if not pii._may_have_number(text):
        assert pii._numbers(text) == []
    assert {span.type for span in find_pii(text)} <= {
        "EMAIL", "IBAN", "IP_ADDRESS", "CREDIT_CARD", "SSN", "PHONE"
    }  # fmt: skip
    if text == text.lower():
        assert pii._IBAN.search(text) is None
