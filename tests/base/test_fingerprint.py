"""Canonical JSON and fingerprints."""

import json
import random
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from brewslm.fingerprint import canonical_json, digest_bytes, fingerprint

_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"))
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(_VALUES)
def test_canonical_bytes_are_those_of_rfc_8785(value: Any) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), _VALUES), st.randoms())
def test_key_order_does_not_count(value: dict[str, Any], source: random.Random) -> None:
    items = list(value.items())
    source.shuffle(items)
    assert fingerprint(dict(items)) == fingerprint(value)


def test_numbers_have_one_form() -> None:
    assert canonical_json([1.0, -0.0, 1e16, 0.1]) == b"[1,0,10000000000000000,0.1]"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, {"a": "\ud800"}])
def test_values_without_canonical_form_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="no canonical JSON"):
        canonical_json(value)


def test_digest_names_its_algorithm() -> None:
    assert digest_bytes(b"") == (
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    assert json.loads(canonical_json({"é": "ü"})) == {"é": "ü"}
