"""The files that `show eval_pack` writes: report.json, a page, and the items for a spreadsheet."""

from pathlib import Path

from msgspec import Struct

from brewslm.cli.addresses import unknown_address
from brewslm.cli.paths import as_named
from brewslm.cli.planning import write_output
from brewslm.cli.session import Session
from brewslm.fingerprint import canonical_json
from brewslm.plan.recorded_evaluation import RecordedEvaluation
from brewslm.plan.recorded_run import RecordedRun
from brewslm.render import words
from brewslm.render.csv import render_csv
from brewslm.render.html import render_html
from brewslm.render.report_markdown import render_report_markdown
from brewslm.render.training_page import render_training
from brewslm.state.store import StateReader

_TRAINING = "training_plan"


class ReportFiles(Struct, frozen=True):
    """Where an evaluation is written to; None is not at all."""

    report: Path | None
    html: Path | None
    csv: Path | None
    most_rows: int
    """How many rows the page shows."""


def write_files(session: Session, state: StateReader, wanted: ReportFiles) -> None:
    """Write the files that are wanted, and say which of them hold rows.

    Raises: PlanError, ArtifactError before anything is written; ApplyError.
    """
    evaluation = RecordedEvaluation.of(state, session.artifacts())
    report = evaluation.report()
    has_rows = wanted.csv is not None or wanted.most_rows > 0
    items = evaluation.items() if has_rows else []
    made: list[tuple[Path, bytes, bool]] = []
    if wanted.report is not None:
        document = canonical_json(report.model_dump(mode="json"))
        made.append((wanted.report, document + b"\n", False))
    if wanted.html is not None:
        page = render_html(report, items, wanted.most_rows, _candidate_run(session, evaluation))
        made.append((wanted.html, page.encode(), wanted.most_rows > 0))
    if wanted.csv is not None:
        made.append((wanted.csv, render_csv(items), True))
    for path, data, holds_rows in made:
        write_output(path, session.redacted(data.decode()).encode())
        name = words.visible(str(as_named(session, path)))
        if holds_rows:
            session.warn(
                f"warning: wrote {name}, which holds rows of your data; only you may read it"
            )
        else:
            session.say(f"wrote {name}, which holds no rows")


def write_training(session: Session, state: StateReader, path: Path) -> None:
    """Write the training run as a page.

    Raises: PlanError where nothing was trained, ApplyError.
    """
    records = state.resources()
    record = records.get(_TRAINING)
    if record is None:
        raise unknown_address(_TRAINING, records)
    project = records.get("project")
    name = str(project.spec["name"]) if project is not None else session.root.name
    page = render_training(name, record, RecordedRun.of(record, session.artifacts()))
    write_output(path, page.encode())
    session.say(f"wrote {words.visible(str(as_named(session, path)))}, which holds no rows")


def _candidate_run(session: Session, evaluation: RecordedEvaluation) -> RecordedRun | None:
    """Return the training of the candidate, None where another one was trained since."""
    record = evaluation.records.get(_TRAINING)
    if record is None:
        return None
    trained = record.outputs.get("lora_adapter")
    if trained is None or trained.digest != evaluation.verdict["candidate_digest"]:
        return None
    return RecordedRun.of(record, session.artifacts())


def evaluation_markdown(session: Session, state: StateReader, max_size: int) -> str:
    """Return the evaluation as Markdown.

    Raises: PlanError, ArtifactError.
    """
    report = RecordedEvaluation.of(state, session.artifacts()).report()
    return render_report_markdown(report, max_size)
