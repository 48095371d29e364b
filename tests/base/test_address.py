"""Addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.address import Address


@given(
    kind=st.from_regex(r"[a-z][a-z_]{0,10}", fullmatch=True),
    name=st.text(st.characters(codec="utf-8"), max_size=30),
)
def test_text_form_reads_back(kind: str, name: str) -> None:
    assert Address.parse(str(Address(kind, name))) == Address(kind, name)


def test_odd_names_are_quoted() -> None:
    assert str(Address("data_source", "Q3 mail")) == 'data_source["Q3 mail"]'
    assert str(Address("data_source", "q3.mail-x")) == "data_source.q3.mail-x"


@pytest.mark.parametrize(
    "text", ["", "Data.x", "data_source.", "a[1]", "a[unquoted]", 'a[""]', "a b"]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        Address.parse(text)
