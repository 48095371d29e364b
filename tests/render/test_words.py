"""Numbers, times, sizes and digests as people read them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from brewslm.characters import is_unseen
from brewslm.render.words import (
    columns,
    count,
    duration,
    number,
    padded,
    plural,
    short_digest,
    size,
    table,
    visible,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "under 1 s"),
        (0.99, "under 1 s"),
        (1, "1 s"),
        (59.4, "59 s"),
        (59.5, "1 min"),
        (60, "1 min"),
        (700, "11 min 40 s"),
        (3599.4, "59 min 59 s"),
        (3599.5, "1 h 0 min"),
        (86_400, "24 h 0 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1,023 bytes"),
        (1024, "1.0 KiB"),
        (100 * 1024, "100.0 KiB"),
        (1 << 20, "1.0 MiB"),
        ((1 << 30) - 1, "1.0 GiB"),
        (1 << 30, "1.0 GiB"),
        (5.5 * (1 << 30), "5.5 GiB"),
    ],
)
def test_sizes(size_bytes: float, text: str) -> None:
    assert size(size_bytes) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (None, "null"),
        (2e-4, "0.0002"),
        (9_999, "9999"),
        (10_000, "10,000"),
        (-12_345, "-12,345"),
        ("text", "text"),
        (1.0, "1"),
    ],
)
def test_plain_values(value: object, text: str) -> None:
    assert number(value) == text


def test_counts_and_nouns() -> None:
    assert count(4932) == "4,932"
    assert [plural(amount, "row") for amount in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]


def test_digests_are_short_and_their_absence_is_said() -> None:
    assert short_digest("sha256:" + "ab" * 32) == "sha256:ababab"
    assert short_digest("ab" * 32) == "ababab"
    assert short_digest(None) == short_digest("") == "(none)"


@example("\u034f")
@given(st.text())
def test_visible_text_prints_and_keeps_what_could_be_seen(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    if text.isprintable() and not any(map(is_unseen, text)):
        assert shown == text


@given(st.floats(0, 1e9))
def test_longer_never_reads_shorter(seconds: float) -> None:
    assert "60 s" not in duration(seconds)
    assert "60 min" not in duration(seconds)


_LABELS = [
    "late",
    "la\u0300te\u0301",
    "\u9045\u5ef6",
    "\u05de\u05d0\u05d5\u05d7\u05e8",
    "e\u0301\u0302te\u0301",
    "\u0e25\u0e48\u0e32\u0e0a\u0e49\u0e32",
]


@pytest.mark.case("RND-09")
@pytest.mark.parametrize("label", _LABELS, ids=ascii)
def test_columns_are_those_of_a_terminal(label: str) -> None:
    assert columns(label) == cell_len(label)
    assert cell_len(padded(label, 20)) == 20


@pytest.mark.case("RND-09")
def test_cells_stand_below_each_other_whatever_the_letters() -> None:
    lines = table([(label, "end", "x") for label in _LABELS])
    assert len({cell_len(line[: line.index("end")]) for line in lines}) == 1


@pytest.mark.case("RND-09")
def test_joiners_and_turned_text_are_shown() -> None:
    assert visible("a\u200db\u202ec") == "a\\u{200D}b\\u{202E}c"
