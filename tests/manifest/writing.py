"""Manifests of the tests: small ones with one section, the place of a finding marked with §."""

from pathlib import Path
from textwrap import dedent, indent

from brewslm.diagnostics import Finding, Severity
from brewslm.manifest.load import check_manifest

HEAD = "api_version: brewslm/v1\nkind: Project\nmetadata: {name: small}\n"
MARK = "§"
BASE = """\
model: {base_model: builtin:nano}
data_sources:
  - name: pairs
    type: raw
    locator: "jsonl:data/pairs.jsonl"
"""
"""A base model and a source below `spec`."""


def write(folder: Path, text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    (folder / "brewslm.yaml").write_bytes(data)


def findings_of(folder: Path, text: str | bytes) -> tuple[Finding, ...]:
    write(folder, text)
    return check_manifest(folder)[1]


def spec(text: str) -> str:
    """Return a manifest with these lines below `spec`."""
    return f"{HEAD}spec:\n{indent(dedent(text).strip(), '  ')}\n"


def project(text: str = "") -> str:
    """Return a manifest with a base model, a source, and these lines below `spec`."""
    return spec(BASE + dedent(text))


def config(text: str, more: str = "") -> str:
    """Return a manifest with these lines in `training_plan.config`, and more below `spec`."""
    recipe = "training_plan:\n  config:\n" + indent(dedent(text).strip(), "    ")
    return project(f"{recipe}\n{dedent(more)}")


def errors(findings: tuple[Finding, ...]) -> list[str]:
    return [item.code for item in findings if item.severity is Severity.ERROR]


def assert_found(folder: Path, code: str, severity: str, marked: str) -> Finding:
    """Check that the text has the finding at its mark, with something to do, and return it."""
    before, mark, _ = marked.partition(MARK)
    assert mark, "no mark in this text"
    place = (before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
    found = findings_of(folder, marked.replace(MARK, ""))
    shown = [(str(item.code), str(item.severity), str(item.place), item.message) for item in found]
    matching = [item for item in found if item.code == code]
    assert matching, shown
    here = [item for item in matching if (item.place.line, item.place.column) == place]
    assert here, (place, shown)
    assert here[0].severity == severity, shown
    assert here[0].place.file == "brewslm.yaml"
    assert here[0].message
    assert here[0].actionable_fix
    return here[0]
