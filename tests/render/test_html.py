"""A page of an evaluation: verdict first, and inert whatever rows, labels and names say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.render import words
from brewslm.render.html import MOST_TEXT, render_html
from brewslm.render.markup import element, lines, style
from brewslm.tasks.report import Report
from tests.render.evaluations import HOSTILE, item, renamed
from tests.render.reading import Reading, assert_inert


def test_verdict_comes_first_and_the_numbers_stand_in_tables(report: Report) -> None:
    page = assert_inert(render_html(report))
    assert page.of("title") == ["parcels: evaluation, PASS"]
    body = page.shown.split("PASS", 2)[2]
    assert "1 of 1 required gate passed on gold_test, 30 rows" in body.splitlines()[1]
    assert page.of("h2")[:2] == ["To know first", "Gates"]
    assert "accuracy (as label) 1.0000 ≥ 0.8" in page.of("bdi")
    assert "right" in page.of("bdi")


def test_tables_can_be_read_aloud(report: Report) -> None:
    page = assert_inert(render_html(report, [item("a")], 1))
    assert page.tags.count("caption") == page.tags.count("table") == 5
    scopes = [value for tag, name, value in page.attributes if (tag, name) == ("th", "scope")]
    assert len(scopes) == page.tags.count("th")
    assert set(scopes) == {"col", "row"}
    assert ("html", "lang", "en") in page.attributes
    assert page.tags.count("h1") == 1
    pictures = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "role")]
    assert pictures == ["img"]
    assert "Value, interval and threshold" in page.of("span")
    assert ("span", "class", "unseen") in page.attributes


def test_names_break_after_underscores_alone(report: Report) -> None:
    gate = report.gates[0].model_copy(update={"gate_id": "min_schema_<b>_rate_"})
    html = render_html(report.model_copy(update={"gates": (gate,)}))
    assert "<bdi>min_<wbr/>schema_<wbr/>&lt;b&gt;_<wbr/>rate_<wbr/></bdi>" in html
    assert "min_schema_<b>_rate_" in assert_inert(html).of("bdi"), "and are read as they are"


def test_a_difference_is_told_with_its_p(report: Report) -> None:
    found = next(item for item in report.comparison[0].metrics if item.p is not None)
    shown = f"{found.delta:+.4f}"
    page = assert_inert(render_html(report))
    assert f" p {found.p:.2g}" in page.of("span")
    assert any(text.startswith(shown) for text in page.of("td"))


def test_equal_reports_give_equal_bytes(report: Report) -> None:
    again = Report.model_validate_json(report.model_dump_json())
    assert render_html(again) == render_html(report)


def test_rows_stand_in_it_only_when_they_are_asked_for(report: Report) -> None:
    items = [item("canary one", row_id="a"), item("canary two", row_id="b")]
    assert "canary" not in render_html(report, items)
    page = render_html(report, items, 1)
    assert "canary one" in page
    assert "canary two" not in page
    assert "1 of 2 rows" in page


def test_rows_that_the_candidate_lost_come_first(report: Report) -> None:
    right = {"reason_code": "", "score": 1.0}
    items = [
        item("a", role="candidate", **right),
        item("b", role="baseline"),
        item("b", role="candidate"),
        item("c", role="baseline", **right),
        item("c", role="candidate"),
    ]
    page = assert_inert(render_html(report, items, 9))
    assert [text.split()[1][0] for text in page.of("h3")] == ["c", "b", "a"]


@pytest.mark.case("RND-06")
@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_rows_and_names_are_text(text: str, report: Report) -> None:
    hostile = renamed(report, text)
    page = assert_inert(render_html(hostile, [item(text)], 1))
    shown = words.visible(text)
    assert page.of("title") == [f"{shown}: evaluation, PASS"]
    assert shown in page.of("bdi")
    told = "\n" + "\n".join(map(words.visible, text.split("\n")))
    assert page.of("pre") == [told, told, told], "prompt, reference, output"


@pytest.mark.case("RND-06")
def test_a_cell_of_a_megabyte_is_cut_and_counted(report: Report) -> None:
    huge = "<b>" * 349_526
    page = assert_inert(render_html(report, [item("x", output=huge)], 1))
    assert page.of("pre")[-1] == "\n" + huge[:MOST_TEXT]
    assert f"of {len(huge):,} characters" in page.shown
    assert "1,048,578" in page.shown


def test_classes_without_end_are_counted(report: Report) -> None:
    many = tuple(
        report.per_class[0].model_copy(update={"name": f"class {number}"})
        for number in range(1_000)
    )
    page = assert_inert(render_html(report.model_copy(update={"per_class": many})))
    assert "200 of 1,000, all are in report.json" in page.shown


@given(st.text())
def test_any_text_is_shown_and_never_read(text: str) -> None:
    page = Reading(element("p", text, class_=text) + element("pre", lines(text)))
    assert page.tags == ["p", "pre"]
    assert page.attributes == [("p", "class", words.visible(text))]
    assert "".join(page.of("p")) == words.visible(text)
    shown = "".join(page.of("pre")).removeprefix("\n")
    assert shown.split("\n") == [words.visible(line) for line in text.split("\n")]
    assert (page.oddities, page.unclosed) == ([], [])


@pytest.mark.parametrize(
    ("verdict", "look"),
    [("PASS", "good"), ("FAIL", "bad"), ("ERROR", "bad"), ("INCONCLUSIVE", "open")],
)
def test_a_verdict_is_a_word_and_a_colour(verdict: str, look: str, report: Report) -> None:
    gate = report.gates[0].model_copy(update={"verdict": verdict})
    page = assert_inert(
        render_html(report.model_copy(update={"verdict": verdict, "gates": (gate,)}))
    )
    assert page.of("strong")[0] == verdict
    assert ("p", "class", f"verdict {look}") in page.attributes
    assert ("span", "class", look) in page.attributes


def test_an_evaluation_without_gates_and_others_has_no_empty_tables(report: Report) -> None:
    bare = report.model_copy(update={"gates": (), "comparison": (), "per_class": (), "pack": None})
    page = assert_inert(render_html(bare))
    assert "no required gate; 30 rows of gold_test" in page.shown
    assert "Gates" not in page.of("h2")
    assert page.tags.count("table") == 2, "metrics and slices"


def test_only_shares_have_a_picture(report: Report) -> None:
    loss = report.gates[0].model_copy(update={"actual": 3.8, "interval": (3.5, 4.1)})
    page = assert_inert(render_html(report.model_copy(update={"gates": (loss,)})))
    assert "svg" not in page.tags


def test_style_that_could_end_is_refused() -> None:
    with pytest.raises(ValueError, match="markup"):
        style("</style>")
