"""Errors and findings as text: what and where, found, expected, do."""

from collections.abc import Iterable

from brewslm.diagnostics import Finding, Severity, sorted_findings
from brewslm.errors import BrewError, ManifestError
from brewslm.render.words import visible

_LABEL = 9


def render_error(error: BrewError) -> str:
    """Return an error in four parts; a manifest error lists all its findings."""
    findings = getattr(error, "findings", ())
    if isinstance(error, ManifestError) and findings:
        return render_findings(findings)
    lines = [f"error[{error.code}]: {visible(error.message)}"]
    lines += _parts(error.found, error.expected, error.remedy)
    return "\n".join(lines) + "\n"


def framed(document: str) -> str:
    """Return a document that no file could take between two lines that mark it."""
    return f"----- BEGIN BREWSLM STATE -----\n{document}----- END BREWSLM STATE -----\n"


def render_findings(findings: Iterable[Finding]) -> str:
    """Return findings in their order of report, one block each, and a count at the end."""
    ordered = sorted_findings(findings)
    if not ordered:
        return "No findings.\n"
    blocks = [render_finding(finding) for finding in ordered]
    return "\n".join(blocks) + "\n" + _counted(ordered) + "\n"


def render_finding(finding: Finding) -> str:
    """Return one finding: `file:line:column: severity[CODE]: message`, then its parts indented."""
    place = str(finding.place) or finding.address
    head = f"{visible(place)}: " if place else ""
    field = f" {visible(finding.field)}:" if finding.field else ""
    first = f"{head}{finding.severity}[{finding.code}]:{field} {visible(finding.message)}"
    return "\n".join([first, *_parts(finding.found, finding.expected, finding.actionable_fix)])


def _parts(found: str, expected: str, remedy: str) -> list[str]:
    labelled = (("found:", found), ("expected:", expected), ("do:", remedy))
    return [f"  {label:<{_LABEL}} {visible(text)}" for label, text in labelled if text]


def _counted(findings: Iterable[Finding]) -> str:
    items = list(findings)
    counts = [
        (sum(item.severity is severity for item in items), str(severity)) for severity in Severity
    ]
    return ", ".join(
        f"{amount} {name}{'' if amount == 1 else 's'}" for amount, name in counts if amount
    )
