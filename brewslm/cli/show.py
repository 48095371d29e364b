"""`brewslm show`: the project, one resource, a revision, a saved plan, an evaluation's report."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import click
from msgspec import to_builtins

from brewslm.cli.addresses import unknown_address
from brewslm.cli.paths import NamedPath, as_named, placed
from brewslm.cli.planning import open_state, write_output
from brewslm.cli.provenance import ci_run_of
from brewslm.cli.session import Session
from brewslm.cli.usage import UsageError
from brewslm.diagnostics import exit_code_of
from brewslm.errors import ArtifactError, ExitCode, PlanError
from brewslm.files import is_file
from brewslm.plan.plan import Plan
from brewslm.plan.recorded_run import RecordedRun
from brewslm.plan.saved import check_whole, read_saved, unreadable
from brewslm.render import words
from brewslm.render.markdown import MAX_SIZE, MIN_SIZE, render_markdown
from brewslm.render.overview import render_project, render_record, render_rejects
from brewslm.render.text import TextStyle, render_plan
from brewslm.state.documents import to_document
from brewslm.state.records import ResourceRecord
from brewslm.state.store import StateReader

_EVALUATION = "eval_pack"
_TRAINING = "training_plan"
_OF_RESOURCES = ("--explain", "--files", "--log", "--extract")


@click.command("show")
@click.argument("what", required=False)
@click.option("--json", "is_json", is_flag=True, help="As JSON.")
@click.option(
    "--markdown", "is_markdown", is_flag=True, help="A saved plan or eval_pack as Markdown."
)
@click.option("--report", type=NamedPath(), help="Write eval_pack as report.json.")
@click.option(
    "--html",
    type=NamedPath(),
    help="Write eval_pack or training_plan as a page, by itself without rows.",
)
@click.option("--rows", type=click.IntRange(0), help="Rows with their answers in the page.")
@click.option(
    "--csv",
    type=NamedPath(),
    help="Write the items of eval_pack, with prompts and answers, for a spreadsheet.",
)
@click.option(
    "--max-chars",
    type=click.IntRange(MIN_SIZE),
    default=MAX_SIZE,
    show_default=True,
    help="Size of the Markdown, in bytes or UTF-16 units, whichever is more.",
)
@click.option(
    "--validate",
    "validates",
    is_flag=True,
    help="Check a saved plan that may come from anybody; beside --markdown or --json, show it "
    "only then.",
)
@click.option("--explain", is_flag=True, help="A resource with the fields left at defaults.")
@click.option("--files", "lists_files", is_flag=True, help="The stored files of a resource.")
@click.option("--log", metavar="NAME", help="Print a stored file of a resource, by its name.")
@click.option("--extract", type=NamedPath(), help="Write the stored files into a new folder.")
@click.option("--rejects", "shows_rejects", is_flag=True, help="Rejected rows; local only.")
@click.option("--out", type=NamedPath(), help="Write into a file.")
@click.pass_obj
def command(
    session: Session,
    what: str | None,
    is_json: bool,
    is_markdown: bool,
    report: Path | None,
    html: Path | None,
    rows: int | None,
    csv: Path | None,
    max_chars: int,
    validates: bool,
    explain: bool,
    lists_files: bool,
    log: str | None,
    extract: Path | None,
    shows_rejects: bool,
    out: Path | None,
) -> int:
    """Show the project, or WHAT: an address, a revision number or a saved plan's file."""
    code = ExitCode.DONE
    path = placed(session, Path(what or ""))
    is_plan = what is not None and (what.endswith(".json") or is_file(path))
    flags = {
        "--json": is_json,
        "--markdown": is_markdown,
        "--validate": validates,
        "--rejects": shows_rejects,
        "--explain": explain,
        "--files": lists_files,
        "--log": log is not None,
        "--extract": extract is not None,
    }
    if extract is not None and (out or report or html or csv):
        raise UsageError(
            "--extract writes a folder and nothing else",
            code="usage_error",
            found="--extract with another file to write",
            expected="--extract alone",
            remedy="brewslm show --help",
        )
    _check_flags(what, {flag for flag, is_set in flags.items() if is_set}, is_plan=is_plan)
    if html is not None and what == _TRAINING and not (report or csv or rows is not None):
        with open_state(session) as state:
            _reporting().write_training(session, state, html)
        if not (is_json or out):
            return code
    elif report or html or csv or rows is not None:
        _check_report(what, html, rows)
        _check_apart({"--report": report, "--html": html, "--csv": csv, "--out": out})
        _write_report(session, report, html, csv, rows or 0)
        if not (is_json or is_markdown or out):
            return code
    if what == _EVALUATION and is_markdown:
        with open_state(session) as state:
            text = _reporting().evaluation_markdown(session, state, max_chars)
    elif is_plan:
        plan = read_saved(path)
        if validates:
            check_whole(plan, path)
        if validates and not (is_json or is_markdown):
            code = exit_code_of(plan.finding_values)
            name = words.visible(plan.project.name)
            text = f"{as_named(session, path)} is a plan of {name}, digest {plan.digest}\n"
        elif is_json:
            text = plan.to_bytes().decode()
        else:
            text = _rendered(session, plan, path, max_chars if is_markdown else None)
    elif extract is not None:
        with open_state(session) as state:
            _stored().extract(session, _record(state, what), session.artifacts(), extract)
        return code
    elif lists_files or log is not None:
        with open_state(session) as state:
            record, artifacts = _record(state, what), session.artifacts()
            text = (
                _stored().listed(record, artifacts)
                if log is None
                else _stored().read_stored(record, artifacts, log)
            )
    elif shows_rejects:
        text = render_rejects(_rejects(session))
    else:
        with open_state(session) as state:
            text = _from_state(session, state, what, is_json, explain)
    if out is not None:
        write_output(out, session.redacted(text).encode())
    elif is_json or log is not None:
        session.put_data(text)
    else:
        session.put(text)
    return code


def _check_flags(what: str | None, flags: set[str], *, is_plan: bool) -> None:
    """Refuse flags that would do nothing beside the rest of the command line."""
    is_resource = what is not None and not is_plan and not what.isdecimal()
    meant_for = {
        "--markdown": (is_plan or what == _EVALUATION, f"a saved plan or {_EVALUATION}"),
        "--validate": (is_plan, "a saved plan"),
        **dict.fromkeys(_OF_RESOURCES, (is_resource, "an address such as training_plan")),
        "--rejects": (what is None, "no WHAT: rejected rows are those of the whole project"),
    }
    for flag, (has_meaning, expected) in meant_for.items():
        if flag in flags and not has_meaning:
            raise UsageError(
                f"{flag} says nothing about what is shown",
                code="usage_error",
                found=what or "the whole project",
                expected=expected,
                remedy="brewslm show --help",
            )
    views = sorted(flags & {"--json", "--markdown", "--rejects", *_OF_RESOURCES})
    if len(views) > 1:
        raise UsageError(
            f"{views[0]} and {views[1]} cannot both be answered",
            code="usage_error",
            found=" ".join(views),
            expected="one of them",
            remedy="brewslm show --help",
        )


def _check_apart(files: Mapping[str, Path | None]) -> None:
    """Refuse options that name one file, as the last one written would be all that is left."""
    named: dict[Path, str] = {}
    for option, path in files.items():
        if path is None:
            continue
        place = Path(os.path.realpath(path.parent)) / path.name
        if place in named:
            raise UsageError(
                f"{named[place]} and {option} name one file",
                code="usage_error",
                found=words.visible(path.name),
                expected="a file for each of them",
                remedy=f"name another file behind {option}",
            )
        named[place] = option


def _check_report(what: str | None, html: Path | None, rows: int | None) -> None:
    if rows is not None and html is None:
        raise UsageError(
            "--rows says how many rows a page shows, and no page is asked for",
            code="usage_error",
            found="--rows without --html",
            expected="--html FILE beside it",
            remedy=f"brewslm show {_EVALUATION} --html report.html --rows {rows}",
        )
    if what != _EVALUATION:
        raise UsageError(
            "only an evaluation has a report",
            code="usage_error",
            found=what or "the whole project",
            expected=_EVALUATION,
            remedy=f"brewslm show {_EVALUATION} --html report.html",
        )


def _write_report(
    session: Session, report: Path | None, html: Path | None, csv: Path | None, most_rows: int
) -> None:
    reporting = _reporting()
    with open_state(session) as state:
        reporting.write_files(session, state, reporting.ReportFiles(report, html, csv, most_rows))


def _reporting() -> ModuleType:
    """Import what only reports pay for."""
    return import_module("brewslm.cli.reporting")


def _rendered(session: Session, plan: Plan, path: Path, max_size: int | None) -> str:
    """Return a saved plan as Markdown, or as text without a size.

    Raises: PlanError for a plan whose open parts are not what a plan says there.
    """
    try:
        if max_size is not None:
            return render_markdown(plan, ci_run_of(session.environment), max_size)
        return render_plan(
            plan, TextStyle(session.has_color), saved_as=str(as_named(session, path))
        )
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise unreadable(path, f"values that cannot be shown ({type(error).__name__})") from error


def _stored() -> ModuleType:
    """Import what only stored files pay for."""
    return import_module("brewslm.cli.stored_files")


def _record(state: StateReader, address: str | None) -> ResourceRecord:
    records = state.resources()
    record = records.get(address or "")
    if record is None:
        raise unknown_address(address or "", records)
    return record


def _from_state(
    session: Session, state: StateReader, what: str | None, is_json: bool, explains: bool
) -> str:
    records = state.resources()
    if what is None:
        return _project(session, state, records, is_json)
    if what.isdecimal():
        return _revision(state, int(what))
    record = _record(state, what)
    if is_json:
        return json.dumps(to_document(record), ensure_ascii=False, sort_keys=True) + "\n"
    run = RecordedRun.of(record, session.artifacts()) if record.kind == _TRAINING else None
    return render_record(record, _note(session, record), run, shows_defaults=explains)


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
