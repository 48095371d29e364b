"""The door that turns stored predictions into scores and metrics; no model is loaded."""

from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson

from brewslm.contracts import Job, Reporter, Result
from brewslm.engine.estimates import METRICS_FORMAT, STATISTICS_VERSION, Scoring, set_report
from brewslm.errors import WorkerError
from brewslm.files import write_atomic
from brewslm.fingerprint import digest_file
from brewslm.rows.index import first_occurrences
from brewslm.rows.record import Split
from brewslm.tasks.metrics import metrics_read_with, produced_metrics, reported_metrics
from brewslm.tasks.scoring import (
    Item,
    machine_status,
    other_references,
    scored_item,
    slices_of,
)
from brewslm.tasks.task import TASKS, ScoringOptions

_BASELINE = "baseline"
_SORTED = orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE


def run(job: Job, report: Reporter) -> Result:
    """Write scores of each role and set, and metrics.json; equal inputs give equal bytes.

    Raises: WorkerError with eval_evidence_mismatch when predictions and rows differ.
    """
    folder = Path(job.folder)
    prepared = Path(job.inputs["prepared"])
    options = job.options
    names = sorted(options["sets"])
    files: dict[str, str] = {}
    outputs: dict[str, str] = {}
    sets: dict[str, Any] = {}
    loaded = {name: _load_rows(prepared, name, options["sets"], files) for name in names}
    profile, contract = options["profile"], options["contract"]
    task = TASKS.load(profile)
    seen = tuple(
        dict.fromkeys(
            name
            for name_ in names
            for row in loaded[name_]
            for name in task.names(row["reference"])
        )
    )
    reading = ScoringOptions(**options.get("options", {}))
    produced = reported_metrics(
        produced_metrics(profile, contract, tuple(sorted(seen))), options.get("reported", ())
    )
    scoring = Scoring(task, contract, reading, metrics_read_with(produced, profile, reading))
    for done, name in enumerate(names):
        rows = loaded[name]
        predictions = _load_predictions(job, name, rows, files)
        items = {role: _items(scoring, rows, predictions, role) for role in predictions}
        tokens = {
            row_id: epochs[0]["prompt_tokens"] for row_id, epochs in _any(predictions).items()
        }
        slices = slices_of(rows, _sources(prepared), tokens)
        sets[name] = set_report(scoring, rows, predictions, items, slices, files[f"rows.{name}"])
        for role, scored in items.items():
            output = f"scores.{role}.{name}"
            lines = (
                orjson.dumps(item.to_json([f"{c}={v}" for c, v in slices[item.row_id].items()]))
                for item in scored
            )
            write_atomic(folder / f"{output}.jsonl", b"".join(line + b"\n" for line in lines))
            outputs[output] = f"{output}.jsonl"
            files[output] = digest_file(folder / f"{output}.jsonl")
        report.progress("sets", done + 1, len(names))
    document = {
        "format_version": METRICS_FORMAT,
        "statistics_version": STATISTICS_VERSION,
        "profile": profile,
        "profile_version": task.version,
        "files": files,
        "lock": {metric.metric_id: metric.lock for metric in scoring.metrics.values()},
        "declarations": {
            metric.metric_id: {
                "kind": str(metric.kind),
                "higher_is_better": metric.higher_is_better,
                "synonyms": list(metric.synonyms),
                "normaliser": metric.normaliser,
                "needs": list(metric.needs),
            }
            for metric in scoring.metrics.values()
        },
        "sets": sets,
    }
    write_atomic(folder / "metrics.json", orjson.dumps(document, option=_SORTED))
    outputs["metrics"] = "metrics.json"
    return Result(outputs=outputs, values={"sets": {name: len(loaded[name]) for name in names}})


def _items(
    scoring: Scoring,
    rows: list[dict[str, Any]],
    predictions: Mapping[str, Mapping[str, list[dict[str, Any]]]],
    role: str,
) -> list[Item]:
    """Return the items of a role ordered by row_id, then epoch."""
    baseline = predictions.get(_BASELINE, {})
    return [
        scored_item(
            scoring.task,
            row,
            prediction,
            _usable(baseline.get(row["row_id"], [])),
            scoring.contract,
            scoring.options,
            other_references(rows, at),
        )
        for at, row in enumerate(rows)
        for prediction in predictions[role][row["row_id"]]
    ]


def _usable(epochs: list[dict[str, Any]]) -> dict[str, Any] | None:
    return epochs[0] if epochs and not machine_status(epochs[0]) else None


def _load_rows(
    prepared: Path, name: str, sets: Mapping[str, list[str] | None], files: dict[str, str]
) -> list[dict[str, Any]]:
    """Return the rows of a prepared set, those of the chosen sources only, ordered by row_id."""
    path = prepared / Split(name).file
    files[f"rows.{name}"] = digest_file(path)
    rows = _read_lines(path)
    chosen = sets[name]
    if chosen is not None:
        sources = _sources(prepared)
        rows = [row for row in rows if sources.get(row["row_id"]) in chosen]
    return sorted(rows, key=lambda row: str(row["row_id"]))


def _load_predictions(
    job: Job, name: str, rows: list[dict[str, Any]], files: dict[str, str]
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return role to row_id to predictions by epoch; every row has to be there."""
    loaded: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for role in job.options["roles"]:
        key = f"predictions.{role}.{name}"
        path = Path(job.inputs[key])
        files[key] = digest_file(path)
        by_row: dict[str, list[dict[str, Any]]] = {}
        for line in _read_lines(path):
            by_row.setdefault(line["row_id"], []).append(line)
        if not by_row.keys() >= {row["row_id"] for row in rows}:
            raise WorkerError(
                f"predictions of {role} on {name} are not those of its rows",
                code="eval_evidence_mismatch",
                found=f"{len(by_row)} rows with predictions",
                expected=f"{len(rows)} rows of the prepared set, the same ones",
                remedy="run brewslm apply, which generates the missing predictions",
            )
        for epochs in by_row.values():
            epochs.sort(key=lambda line: int(line.get("epoch", 0)))
        loaded[role] = {row["row_id"]: by_row[row["row_id"]] for row in rows}
    return loaded


def _any(
    predictions: Mapping[str, Mapping[str, list[dict[str, Any]]]],
) -> Mapping[str, list[dict[str, Any]]]:
    return predictions[min(predictions)] if predictions else {}


def _sources(prepared: Path) -> dict[str, str]:
    """Return row_id to the source of its first occurrence."""
    return first_occurrences(_read_lines(prepared / "index.jsonl"), itemgetter("source"))


def _read_lines(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as stream:
        return [orjson.loads(line) for line in stream if line.strip()]
