"""Text from outside in Markdown: one code span, whatever it holds."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.render.markdown import code_span

HOSTILE = [
    "</details><script>alert(1)</script>",
    "![x](http://tracker/x.png)",
    "[x](javascript:alert(1))",
    "@org/team #1",
    "<!-- brewslm-plan 00 -->",
    "a | b",
    "`" * 50,
    "``` \n```",
    "::set-output name=a::b",
    "\r::stop-commands::x",
    "",
    "`",
    " ",
]


def inner(span: str) -> str:
    """What a Markdown reader takes for the content: between runs of equal length."""
    ticks = re.match("`+", span)
    assert ticks is not None
    assert span.endswith(ticks[0])
    content = span[len(ticks[0]) : -len(ticks[0])]
    assert ticks[0] not in re.findall("`+", content)
    return content


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
def test_hostile_text_is_one_span_on_one_line(text: str) -> None:
    span = code_span(text)
    assert span.isprintable()
    assert span.startswith("`")
    assert text.replace("\n", "\\u{A}").replace("\r", "\\u{D}") in inner(span)


@given(st.text(st.sampled_from("`|ab \n\u202e"), max_size=30))
def test_nothing_ends_the_span_early(text: str) -> None:
    span = code_span(text)
    assert inner(span) != ""


def test_long_text_is_cut_and_its_length_told() -> None:
    span = code_span("x" * 1_000_000)
    assert len(span) < 1000
    assert "(1000000 characters, sha256:" in span
