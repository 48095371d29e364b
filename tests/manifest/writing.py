"""Manifests of the tests: whole samples, small ones with one section, and their findings."""

import re
from pathlib import Path
from textwrap import dedent, indent

from brewslm.diagnostics import Finding, Severity
from brewslm.manifest.load import check_manifest

HEAD = "api_version: brewslm/v1\nkind: Project\nmetadata: {name: small}\n"


def write(folder: Path, text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else dedent(text).encode()
    (folder / "brewslm.yaml").write_bytes(data)


def findings_of(folder: Path, text: str | bytes) -> tuple[Finding, ...]:
    write(folder, text)
    return check_manifest(folder)[1]


def spec(text: str) -> str:
    """Return a manifest whose `spec` begins on line 5 with the given text, two blanks in."""
    return f"{HEAD}spec:\n{indent(dedent(text).strip(), '  ')}\n"


def config(text: str) -> str:
    """Return a manifest whose training config begins on line 12, six blanks in."""
    return spec(BASE + "training_plan:\n  config:\n" + indent(dedent(text).strip(), "    "))


BASE = """\
model: {base_model: builtin:nano}
data_sources:
  - name: pairs
    type: raw
    locator: "jsonl:data/pairs.jsonl"
"""
"""A base model and a source, five lines of `spec`."""


def errors(findings: tuple[Finding, ...]) -> list[str]:
    return [item.code for item in findings if item.severity is Severity.ERROR]


def without_positions(findings: tuple[Finding, ...]) -> set[tuple[str, str]]:
    return {(str(item.code), re.sub(r"\[\d+\]", "[]", item.field)) for item in findings}
