"""`brewslm validate`: every finding of the manifest, and nothing else is read."""

import json

import click

from brewslm.cli.session import Session
from brewslm.diagnostics import Severity, exit_code_of
from brewslm.errors import ExitCode
from brewslm.manifest.load import check_manifest
from brewslm.render.errors import render_findings


@click.command("validate")
@click.option("--json", "is_json", is_flag=True, help="Findings as one JSON document.")
@click.option("--warnings-as-errors", is_flag=True, help="Exit 1 on warnings too.")
@click.pass_obj
def command(session: Session, is_json: bool, warnings_as_errors: bool) -> int:
    """Check brewslm.yaml and report every finding at once."""
    _, findings = check_manifest(session.root, session.manifest)
    if is_json:
        document = {"findings": [finding.to_json() for finding in findings]}
        session.put_data(json.dumps(document, ensure_ascii=False, sort_keys=True) + "\n")
    else:
        session.put(render_findings(findings))
    code = exit_code_of(findings)
    has_warning = any(finding.severity is Severity.WARNING for finding in findings)
    if code is ExitCode.DONE and warnings_as_errors and has_warning:
        return ExitCode.ERROR
    return code
