"""Errors and findings as text: four parts in order, hostile text as escapes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewslm.diagnostics import Finding, Place, Severity
from brewslm.errors import BrewError, StateLockedError
from brewslm.render.errors import render_error, render_finding, render_findings

CONTROL = "\x1b[2J\x1b]52;c;eA==\x07\r\n\u2028\u202e\u200b\x9b\x00"


def finding(**changes: object) -> Finding:
    values: dict[str, object] = {
        "code": "UNKNOWN_METRIC",
        "severity": Severity.ERROR,
        "message": 'gate "floor" asks for an unknown metric',
        "actionable_fix": "write metric_id: macro_f1",
        "place": Place("brewslm.yaml", 58, 15),
        "found": '"macro_f"',
        "expected": '"macro_f1"',
    }
    return Finding(**{**values, **changes})  # type: ignore[arg-type]  # values of a finding


def test_error_has_four_parts_in_order() -> None:
    error = StateLockedError(
        "another run holds the lease",
        code="state_locked",
        found="apply 7c1e42d0 by mira",
        expected="a free lease",
        remedy="brewslm force-unlock 7c1e42d0",
    )
    assert render_error(error) == (
        "error[state_locked]: another run holds the lease\n"
        "  found:    apply 7c1e42d0 by mira\n"
        "  expected: a free lease\n"
        "  do:       brewslm force-unlock 7c1e42d0\n"
    )


def test_unknown_parts_are_left_out_and_the_remedy_never() -> None:
    text = render_error(BrewError("broken", code="broken", remedy="mend it"))
    assert text == "error[broken]: broken\n  do:       mend it\n"


def test_finding_begins_with_its_place() -> None:
    assert render_finding(finding()).splitlines() == [
        'brewslm.yaml:58:15: error[UNKNOWN_METRIC]: gate "floor" asks for an unknown metric',
        '  found:    "macro_f"',
        '  expected: "macro_f1"',
        "  do:       write metric_id: macro_f1",
    ]


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({"place": Place("brewslm.yaml")}, "brewslm.yaml: error["),
        ({"place": Place("data/rows.jsonl", 3)}, "data/rows.jsonl:3: error["),
        ({"place": Place(), "address": "export.gguf"}, "export.gguf: error["),
        ({"place": Place()}, "error["),
        ({"place": Place(), "severity": Severity.INFO}, "info["),
    ],
)
def test_finding_without_a_position_names_what_it_has(
    changes: dict[str, object], start: str
) -> None:
    assert render_finding(finding(**changes)).startswith(start)


def test_findings_are_sorted_and_counted() -> None:
    items = [
        finding(severity=Severity.INFO),
        finding(place=Place("brewslm.yaml", 60, 1)),
        finding(severity=Severity.WARNING),
        finding(),
    ]
    text = render_findings(items)
    heads = [line for line in text.splitlines() if line.startswith("brewslm.yaml")]
    assert [line.partition("[")[0] for line in heads] == [
        "brewslm.yaml:58:15: error",
        "brewslm.yaml:60:1: error",
        "brewslm.yaml:58:15: warning",
        "brewslm.yaml:58:15: info",
    ]
    assert text.endswith("\n2 errors, 1 warning, 1 info\n")
    assert render_findings(reversed(items)) == text
    assert render_findings([]) == "No findings.\n"


@pytest.mark.case("RND-02", "RND-03")
def test_hostile_text_stays_on_its_line_as_escapes() -> None:
    hostile = CONTROL + "::set-output name=x::y"
    texts = [
        render_finding(
            finding(
                message=hostile,
                found=hostile,
                expected=hostile,
                actionable_fix=hostile,
                place=Place(hostile, 1, 1),
                field=hostile,
            )
        ),
        render_error(
            BrewError(hostile, code="broken", found=hostile, expected=hostile, remedy=hostile)
        ),
    ]
    for text in texts:
        lines = text.rstrip("\n").split("\n")
        assert [line.split()[0] for line in lines[1:]] == ["found:", "expected:", "do:"]
        assert all(line.isprintable() for line in lines)
        assert not any(line.startswith("::") for line in lines)
        assert "\\u{1B}[2J" in text


@given(st.text())
def test_any_text_is_rendered_on_lines_that_can_be_printed(text: str) -> None:
    rendered = render_finding(finding(message=text, found=text, field=text))
    assert all(line.isprintable() for line in rendered.split("\n"))
    assert rendered.encode()
