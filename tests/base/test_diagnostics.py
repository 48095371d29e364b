"""Findings: order, exit codes, JSON."""

from hypothesis import given
from hypothesis import strategies as st

from brewslm.diagnostics import (
    PREFLIGHT_CODES,
    Finding,
    FindingCode,
    Place,
    Severity,
    exit_code_of,
    sorted_findings,
)
from brewslm.errors import ExitCode

_FINDINGS = st.builds(
    Finding,
    code=st.sampled_from([str(code) for code in FindingCode]),
    severity=st.sampled_from(Severity),
    message=st.text(max_size=10),
    actionable_fix=st.text(max_size=10),
    field=st.text(max_size=5),
    place=st.builds(Place, st.text(max_size=5), st.integers(0, 9), st.integers(0, 9)),
    suggestions=st.tuples(st.text(max_size=5)),
)


@given(_FINDINGS)
def test_json_reads_back(finding: Finding) -> None:
    assert Finding.from_json(finding.to_json()) == finding


@given(st.lists(_FINDINGS), st.randoms())
def test_report_order_does_not_depend_on_discovery_order(findings: list[Finding], source) -> None:  # type: ignore[no-untyped-def]  # hypothesis random
    shuffled = list(findings)
    source.shuffle(shuffled)
    ranks = [finding.severity.rank for finding in sorted_findings(shuffled)]
    assert ranks == sorted(ranks)
    assert [item.message for item in sorted_findings(shuffled) if item.place.line] == [
        item.message for item in sorted_findings(findings) if item.place.line
    ]


def test_exit_code_comes_from_errors_alone() -> None:
    warning = Finding("LEAK_FOUND", Severity.WARNING, "", "")
    error = Finding("WRONG_TYPE", Severity.ERROR, "", "")
    refusal = Finding("LEAK_FOUND", Severity.ERROR, "", "")
    assert exit_code_of([warning]) is ExitCode.DONE
    assert exit_code_of([warning, error]) is ExitCode.ERROR
    assert exit_code_of([error, refusal]) is ExitCode.REFUSED


def test_codes_are_their_own_names() -> None:
    assert all(code.name == code.value for code in FindingCode)
    assert set(FindingCode) >= PREFLIGHT_CODES


def test_place_leaves_out_what_is_unknown() -> None:
    assert str(Place("brewslm.yaml", 3, 7)) == "brewslm.yaml:3:7"
    assert str(Place("brewslm.yaml")) == "brewslm.yaml"
    assert str(Place()) == ""
