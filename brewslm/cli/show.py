"""`brewslm show`: the project, one resource, a revision, or a saved plan."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from msgspec import to_builtins

from brewslm.cli.addresses import unknown_address
from brewslm.cli.planning import open_state, write_output
from brewslm.cli.provenance import ci_run_of
from brewslm.cli.session import Session
from brewslm.diagnostics import exit_code_of
from brewslm.errors import ArtifactError, ExitCode, PlanError
from brewslm.plan.saved import read_saved
from brewslm.render.markdown import render_markdown
from brewslm.render.overview import render_project, render_record, render_rejects
from brewslm.render.text import TextStyle, render_plan
from brewslm.state.documents import to_document
from brewslm.state.records import ResourceRecord
from brewslm.state.store import StateReader


@click.command("show")
@click.argument("what", required=False)
@click.option("--json", "is_json", is_flag=True, help="As JSON.")
@click.option("--markdown", "is_markdown", is_flag=True, help="A saved plan as Markdown.")
@click.option("--validate", "validates", is_flag=True, help="Only check a saved plan.")
@click.option("--rejects", "shows_rejects", is_flag=True, help="Rejected rows; local only.")
@click.option("--out", type=click.Path(path_type=Path), help="Write into a file.")
@click.pass_obj
def command(
    session: Session,
    what: str | None,
    is_json: bool,
    is_markdown: bool,
    validates: bool,
    shows_rejects: bool,
    out: Path | None,
) -> int:
    """Show the project, or WHAT: an address, a revision number or a saved plan's file."""
    code = ExitCode.DONE
    if what is not None and (what.endswith(".json") or Path(what).is_file()):
        text, code = _plan(session, Path(what), is_json, is_markdown, validates)
    elif shows_rejects:
        text = render_rejects(_rejects(session))
    else:
        with open_state(session) as state:
            text = _from_state(session, state, what, is_json)
    if out is not None:
        write_output(out, text.encode())
    elif is_json:
        session.put_data(text)
    else:
        session.put(text)
    return code


def _plan(
    session: Session, path: Path, is_json: bool, is_markdown: bool, validates: bool
) -> tuple[str, ExitCode]:
    plan = read_saved(path)
    code = exit_code_of(plan.finding_values) if validates else ExitCode.DONE
    if validates:
        return f"{path} is a plan of {plan.project.name}, digest {plan.digest}\n", code
    if is_json:
        return plan.to_bytes().decode(), code
    if is_markdown:
        return render_markdown(plan, ci_run_of(session.environment)), code
    style = TextStyle(session.has_color)
    return render_plan(plan, style, saved_as=str(path)), code


def _from_state(session: Session, state: StateReader, what: str | None, is_json: bool) -> str:
    records = state.resources()
    if what is None:
        return _project(session, state, records, is_json)
    if what.isdecimal():
        return _revision(state, int(what))
    record = records.get(what)
    if record is None:
        raise unknown_address(what, records)
    if is_json:
        return json.dumps(to_document(record), ensure_ascii=False, sort_keys=True) + "\n"
    return render_record(record, _note(session, record))


def _project(
    session: Session, state: StateReader, records: Mapping[str, ResourceRecord], is_json: bool
) -> str:
    meta = state.meta()
    if is_json:
        document = {
            "lineage": meta.lineage,
            "serial": meta.serial,
            "resources": {name: to_document(item) for name, item in records.items()},
        }
        return json.dumps(document, ensure_ascii=False, sort_keys=True) + "\n"
    if not meta.lineage:
        return "Nothing was applied here yet. brewslm plan shows what would be done.\n"
    name = str(records["project"].spec["name"]) if "project" in records else session.root.name
    return render_project(name, meta, records, state.deployments(), state.revisions(limit=1))


def _revision(state: StateReader, number: int) -> str:
    for revision in state.revisions():
        if revision.revision == number:
            document: dict[str, Any] = to_builtins(revision)
            return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    raise PlanError(
        f"there is no revision {number}",
        code="unknown_revision",
        remedy="brewslm history lists them",
    )


def _note(session: Session, record: ResourceRecord) -> str:
    """Return the decision note of an evaluation."""
    decision = record.outputs.get("decision")
    if decision is None:
        return ""
    with suppress(ArtifactError):
        return session.artifacts().read_bytes(decision.digest).decode()
    return ""


def _rejects(session: Session) -> list[dict[str, Any]]:
    """Return the rejected rows of the newest prepared data."""
    folders = sorted(
        (session.cache / "prepared").glob("*/rejected.jsonl"), key=lambda p: p.stat().st_mtime_ns
    )
    if not folders:
        return []
    lines = folders[-1].read_bytes().splitlines()
    return [json.loads(line) for line in lines if line.strip()]
