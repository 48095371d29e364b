"""`brewslm fmt`: the manifest in canonical order and indentation, with every comment it had."""

import difflib

import click

from brewslm.cli.planning import write_output
from brewslm.cli.session import Session
from brewslm.diagnostics import exit_code_of
from brewslm.errors import ExitCode
from brewslm.manifest.layout import formatted
from brewslm.manifest.load import read_manifest
from brewslm.manifest.yaml_file import read_yaml
from brewslm.render import words
from brewslm.render.errors import render_findings


@click.command("fmt")
@click.option("--check", "is_check", is_flag=True, help="Write nothing; exit 1 if it would change.")
@click.option("--diff", "is_diff", is_flag=True, help="Write nothing; show what would change.")
@click.pass_obj
def command(session: Session, is_check: bool, is_diff: bool) -> int:
    """Put brewslm.yaml into its canonical layout; comments, quotes and anchors stay as they are."""
    before = read_manifest(session.root, session.manifest)
    findings = read_yaml(before, session.manifest).findings
    if findings:
        session.put(render_findings(findings))
        return exit_code_of(findings)
    after = formatted(before, session.manifest)
    if is_diff:
        session.put(_diff(session.manifest, before.decode(), after.decode()))
    if before == after:
        session.say(f"{words.visible(session.manifest)} is in canonical layout.")
        return ExitCode.DONE
    if is_check:
        session.say(f"{words.visible(session.manifest)} would change. brewslm fmt writes it.")
        return ExitCode.ERROR
    if not is_diff:
        path = (session.root / session.manifest).resolve()
        write_output(path, after, mode=path.stat().st_mode & 0o777)
        session.say(f"{words.visible(session.manifest)} is rewritten.")
    return ExitCode.DONE


def _diff(name: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(before.split("\n"), after.split("\n"), name, name, lineterm="")
    return "".join(f"{words.visible(line)}\n" for line in lines)
