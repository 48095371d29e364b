"""Strict JSON: one code an input, the value of the standard library otherwise."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.strict_json import StrictJsonError, parse_strict

REFUSED = [
    (b'{"a": 1, "a": 1}', "duplicate_key"),
    (b'{"a": {"b": 1, "b": 2}}', "duplicate_key"),
    (b'{"a": 1, "\\u0061": ":"}', "duplicate_key"),
    (b'{"a": NaN}', "number_not_finite"),
    (b'{"a": -Infinity}', "number_not_finite"),
    (b'{"a": 1e400}', "number_out_of_range"),
    (b'{"a": -1e400}', "number_out_of_range"),
    (b'{"a": 1e-400}', "number_out_of_range"),
    (b'{"a": 9223372036854775808}', "number_out_of_range"),
    (b'{"a": -9223372036854775809}', "number_out_of_range"),
    (b'{"a": ' + b"9" * 5000 + b"}", "number_out_of_range"),
    (b'{"a": "\\ud800"}', "invalid_unicode"),
    (b'{"a": "\\ud800\\u0041"}', "invalid_unicode"),
    (b'{"\\udc00": 1}', "invalid_unicode"),
    (b'{"a": "\xff"}', "invalid_unicode"),
    (b'{"a": "\xc0\x80"}', "invalid_unicode"),
    (b'{"a": "\xed\xa0\x80"}', "invalid_unicode"),
    (b'{"a": "\xe2\x82', "invalid_unicode"),
    (b'\xef\xbb\xbf{"a": 1}', "parse_error"),
    (b'{"a": 1,}', "parse_error"),
    (b'{"a": 1} // x', "parse_error"),
    (b"{'a': 1}", "parse_error"),
    (b"{a: 1}", "parse_error"),
    (b'{"a": 01}', "parse_error"),
    (b'{"a": +1}', "parse_error"),
    (b'{"a": 1} {"b": 2}', "parse_error"),
    (b'{"a": "x\ty"}', "parse_error"),
    (b"", "parse_error"),
    (b"[1, 2]", "not_an_object"),
    (b'"text"', "not_an_object"),
    (b"3", "not_an_object"),
    (b'{"a": ' + b"[" * 32 + b"]" * 32 + b"}", "nesting_too_deep"),
    (b'{"a": ' + b"[" * 2000 + b"]" * 2000 + b"}", "nesting_too_deep"),
    (b'{"a": ' + b"[" * 2000, "nesting_too_deep"),
    (b'{"a": "\\u0000"}', "control_character"),
    (b'{"\\u0000": 1}', "control_character"),
]


@pytest.mark.case("ROW-02")
@pytest.mark.parametrize(("raw", "code"), REFUSED)
def test_each_fault_has_its_code(raw: bytes, code: str) -> None:
    with pytest.raises(StrictJsonError) as caught:
        parse_strict(raw, require_object=True)
    assert caught.value.code == code
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b' {"a": "\\ud83d\\ude00"} ', {"a": "\U0001f600"}),
        (b'{"a": 9223372036854775807}', {"a": 2**63 - 1}),
        (b'{"a": 0.0, "b": -0.0, "c": 0e9}', {"a": 0.0, "b": -0.0, "c": 0.0}),
        ('{"a": "\u2028\u0085\r"}'.replace("\r", "\\r").encode(), {"a": "\u2028\u0085\r"}),
        (b'{"a:b": "c:d \\" : x"}', {"a:b": 'c:d " : x'}),
        (b'{"a": "\\\\u0000"}', {"a": "\\u0000"}),
        (b'{"a": ' + b"[" * 31 + b"]" * 31 + b"}", None),
    ],
)
def test_what_fits_exactly_is_kept(raw: bytes, value: object) -> None:
    parsed = parse_strict(raw, require_object=True)
    assert parsed == (value if value is not None else json.loads(raw))


def test_any_top_level_is_allowed_on_request() -> None:
    assert parse_strict("[1, null]", require_object=False) == [1, None]


def test_lone_surrogate_in_text_is_invalid_unicode() -> None:
    with pytest.raises(StrictJsonError) as caught:
        parse_strict('"\ud800"', require_object=False)
    assert caught.value.code == "invalid_unicode"


@pytest.mark.case("ROW-02")
@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\ a1e-.u0\n', max_size=40))
def test_any_bytes_give_the_standard_value_or_a_code(text: bytes | str) -> None:
    raw = text.encode() if isinstance(text, str) else text
    try:
        value = parse_strict(raw, require_object=False)
    except StrictJsonError:
        return
    assert value == json.loads(raw)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False,
    allow_infinity=False) | st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(st.characters(exclude_characters="\0", codec="utf-8")), inner,
                      max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(_JSON)
def test_well_formed_values_survive(value: object) -> None:
    assert parse_strict(json.dumps(value), require_object=False) == value


def test_documents_of_documents_may_be_deeper() -> None:
    text = b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}"
    assert parse_strict(text, require_object=True, max_depth=64)
    with pytest.raises(StrictJsonError, match="nesting_too_deep"):
        parse_strict(text, require_object=True)
