"""The rows that decide, held against those of the last evaluation: by content, never by place.

Which rows came, went or were edited is told by row id, and which are in another slice of a gate by
the slices that they were scored in. What the promoted model scores on the old rows and on the new
ones is computed from its stored answers; no model is loaded.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct

from brewslm.artifacts.store import ArtifactReader
from brewslm.contracts import Output
from brewslm.errors import ArtifactError
from brewslm.fingerprint import digest_value
from brewslm.plan.action import GateChange
from brewslm.plan.evaluation_shape import EvaluationShape
from brewslm.plan.slices import asked_columns, recorded_slices, resliced
from brewslm.rows.index import first_occurrences
from brewslm.rows.record import Split
from brewslm.state.records import ResourceRecord
from brewslm.tasks.arithmetic import summed
from brewslm.tasks.metric import Metric
from brewslm.tasks.metrics import metrics_read_with, produced_metrics, resolve_metric
from brewslm.tasks.scoring import machine_status, other_references, scored_item, slices_of
from brewslm.tasks.task import TASKS, ScoringOptions

GOLD = ("gold_test", "gold_dev")
_ADDRESS = "eval_pack"
_SHOWN_IDS, _SHOWN_DIGITS = 5, 12
_LENGTH = "length"
"""The slice of a row by the length of its prompt among the others, which follows from the rows."""
_LIKELIHOOD = ("nll_sum", "nll_tokens")

Row = Mapping[str, Any]


class RowsChanged(Struct, frozen=True):
    """How the deciding rows differ from those of the last evaluation."""

    change: GateChange
    facts: dict[str, Any]
    """Counts, row ids and scores, as a plan shows them."""


class _Answers(Struct, frozen=True):
    """What a model answered, by the question: digest of the prompt to prediction and row id."""

    whose: str
    by_prompt: Mapping[str, tuple[Row, str]]
    baseline: Mapping[str, Row]


def rows_changed(
    shape: EvaluationShape,
    record: ResourceRecord | None,
    folder: Path | None,
    prepared: Output | None,
    artifacts: ArtifactReader,
    *,
    is_same_data: bool,
) -> RowsChanged | None:
    """Return how the deciding rows changed, None where they did not or nothing was decided yet.

    folder: of the prepared rows where this plan made them; prepared: the same as it is kept;
    is_same_data: whether sources and data specs are those of the record, so that only another
    version of the program can read other rows from them.
    """
    before = str(record.values.get("dataset") or "") if record else ""
    if record is None or not before or _is_untouched(shape, record, before):
        return None
    is_ours = is_same_data and record.spec.get("datasets") == list(shape.datasets)
    is_weaker = before in GOLD and not is_ours
    try:
        lines = _parsed(artifacts.read_bytes(record.outputs[f"scores.candidate.{before}"].digest))
        index = list(_lines("index.jsonl", folder, prepared, artifacts))
        rows = _rows(shape, index, folder, prepared, artifacts)
    except (ArtifactError, OSError, KeyError):
        return _unreadable(shape, record, before, is_weaker=is_weaker)
    old_ids, new_ids = ({str(row["row_id"]) for row in side} for side in (lines, rows))
    sources: dict[str, str] = first_occurrences(index, itemgetter("source"))
    columns = asked_columns(shape.gates)
    moved = resliced(recorded_slices(lines), slices_of(rows, sources, {}), columns - {_LENGTH})
    if new_ids == old_ids and not moved:
        return None
    old_rows = _recorded_rows(record, before, old_ids, artifacts)
    removed, added = sorted(old_ids - new_ids), sorted(new_ids - old_ids)
    edited = _edited(old_rows, rows, removed, added)
    places = first_occurrences(index, itemgetter("split"))
    facts: dict[str, Any] = {
        "rows": f"{len(old_ids)} -> {len(new_ids)}",
        "edited": len(edited) or None,
        "removed": len(removed) - len(edited) or None,
        "added": len(added) - len(edited) or None,
        "moved": sum(row_id in places for row_id in removed) or None,
        "removed ids": _shown(removed),
        "added ids": _shown(added),
        "in another slice": _shown(sorted(moved)),
    }
    scores = _scores(shape, record, before, old_rows, rows, artifacts)
    told = [f"{len(removed)} removed" if removed else "", f"{len(added)} added" if added else ""]
    told += [f"{len(edited)} of them edited" if edited else ""]
    told += [f"{len(moved)} in another slice of a gate" if moved else ""]
    named = [*removed, *added, *sorted(moved)][:_SHOWN_IDS]
    ids = ", ".join(row_id[:_SHOWN_DIGITS] for row_id in named)
    words = ", ".join(filter(None, told))
    change = GateChange(
        kind="eval_rows_changed",
        address=_ADDRESS,
        path=f"rows.{before}",
        before=f"{len(old_ids)} rows{scores.get('before', '')}",
        after=f"{len(new_ids)} rows{scores.get('after', '')}; {words} ({ids})",
        weakened=is_weaker,
    )
    return RowsChanged(
        change,
        facts | {name: text.removeprefix(", where ") for name, text in scores.items() if text},
    )


def _is_untouched(shape: EvaluationShape, record: ResourceRecord, before: str) -> bool:
    """Return whether the very file that decided decides again, whole, and where a gate asks for
    slices from the same sources.
    """
    was = record.facts.get("inputs", {}).get(f"dataset:{before}")
    is_whole = before in shape.sets and shape.sets[before] is None
    is_same_choice = record.spec.get("datasets") == list(shape.datasets)
    scoring = record.spec.get("scoring") or {}
    recorded = (scoring.get("row_sources") or {}).get(before)
    return (
        before == shape.decisive
        and is_whole
        and is_same_choice
        and (recorded == shape.row_sources.get(before) or not asked_columns(shape.gates))
        and was is not None
        and was == shape.rows.get(before)
    )


def _recorded_rows(
    record: ResourceRecord, name: str, ids: set[str], artifacts: ArtifactReader
) -> list[Row]:
    """Return the rows that decided, none where their file is not kept any more."""
    digest = record.facts.get("inputs", {}).get(f"dataset:{name}")
    try:
        rows = _parsed(artifacts.read_bytes(str(digest)))
    except (ArtifactError, OSError, ValueError):
        return []
    return [row for row in rows if row["row_id"] in ids]


def _rows(
    shape: EvaluationShape,
    index: list[Row],
    folder: Path | None,
    prepared: Output | None,
    artifacts: ArtifactReader,
) -> list[Row]:
    if not shape.decisive:
        return []
    rows = _lines(Split(shape.decisive).file, folder, prepared, artifacts)
    chosen = shape.sets.get(shape.decisive)
    if chosen is None:
        return rows
    sources: dict[str, str] = first_occurrences(index, itemgetter("source"))
    return [row for row in rows if sources.get(row["row_id"]) in chosen]


def _edited(
    old: Sequence[Row], new: Sequence[Row], removed: Sequence[str], added: Sequence[str]
) -> set[str]:
    """Return the added rows that ask what a removed row asked."""
    gone = {_prompt_of(row) for row in old if row["row_id"] in set(removed)}
    came = set(added)
    return {str(row["row_id"]) for row in new if row["row_id"] in came and _prompt_of(row) in gone}


def _prompt_of(row: Row) -> str:
    return digest_value(row["messages"][: row["completion_from"]])


def _scores(
    shape: EvaluationShape,
    record: ResourceRecord,
    before: str,
    old: Sequence[Row],
    new: Sequence[Row],
    artifacts: ArtifactReader,
) -> dict[str, str]:
    """Return what the promoted model scores on the old and on the new rows by the metrics of the
    required gates, in words.
    """
    answers = _answers(shape, record, before, old, artifacts)
    if answers is None:
        return {}
    names_of = TASKS.load(shape.profile).names
    named = (name for row in [*old, *new] for name in names_of(row["reference"]))
    names = tuple(dict.fromkeys(named))
    wanted = dict.fromkeys(gate.metric_id for gate in shape.gates if gate.required)
    resolved = (resolve_metric(shape.profile, shape.contract, name, names) for name in wanted)
    metrics = [metric for metric in resolved if metric is not None]
    if not metrics:
        produced = produced_metrics(shape.profile, shape.contract, names)
        metrics = [produced["score_above_chance"]]
    found = {}
    for name, rows in (("before", old), ("after", new)):
        values = [_value(shape, metric, rows, answers) for metric in metrics]
        said = ", ".join(
            f"{metric.metric_id} {'nothing' if value is None else f'{value:.4f}'}"
            for metric, (value, _) in zip(metrics, values, strict=True)
        )
        answered = values[0][1]
        part = "" if answered == len(rows) else f" on the {answered} that it has answered"
        found[name] = f", where the {answers.whose} model scores {said}{part}"
    return found


def _answers(
    shape: EvaluationShape,
    record: ResourceRecord,
    name: str,
    rows: Sequence[Row],
    artifacts: ArtifactReader,
) -> _Answers | None:
    """Return the stored answers of the promoted model, or of the last candidate where nothing is
    promoted; None where they are not kept.
    """
    evaluated = record.facts.get("inputs", {}).get("training_plan:lora_adapter")
    is_promoted = shape.promoted_digest == evaluated
    role = "candidate" if is_promoted or shape.promoted_digest is None else "promoted"
    prompts = {str(row["row_id"]): _prompt_of(row) for row in rows}
    try:
        own = _predictions(record, role, name, artifacts)
        base = _predictions(record, "baseline", name, artifacts)
    except (ArtifactError, OSError, KeyError):
        return None
    return _Answers(
        whose="promoted" if shape.promoted_digest is not None else "last evaluated",
        by_prompt={prompts[key]: (line, key) for key, line in own.items() if key in prompts},
        baseline={prompts[key]: line for key, line in base.items() if key in prompts},
    )


def _predictions(
    record: ResourceRecord, role: str, name: str, artifacts: ArtifactReader
) -> dict[str, Row]:
    output = record.outputs[f"predictions.{role}.{name}"]
    lines = _parsed(artifacts.read_bytes(output.digest))
    return {str(line["row_id"]): line for line in reversed(lines)}


def _value(
    shape: EvaluationShape, metric: Metric, rows: Sequence[Row], answers: _Answers
) -> tuple[float | None, int]:
    """Return the metric on the rows that have an answer, and how many these are.

    The likelihood of an edited reference is not known, so such a row has none.
    """
    options = ScoringOptions(**shape.options)
    metric = metrics_read_with({metric.metric_id: metric}, shape.profile, options)[metric.metric_id]
    task = TASKS.load(shape.profile)
    ordered = sorted(rows, key=lambda row: str(row["row_id"]))
    counts = []
    for at, row in enumerate(ordered):
        prompt = _prompt_of(row)
        if prompt not in answers.by_prompt:
            continue
        prediction, answered_as = answers.by_prompt[prompt]
        baseline = answers.baseline.get(prompt)
        if answered_as != row["row_id"]:
            prediction = {k: v for k, v in prediction.items() if k not in _LIKELIHOOD}
        if baseline is not None and machine_status(baseline):
            baseline = None
        others = other_references(ordered, at)
        item = scored_item(task, row, prediction, baseline, shape.contract, options, others)
        counts.append(item.counts)
    value = float(metric.value(summed(counts))) if counts else float("nan")
    return (value if value == value else None), len(counts)


def _unreadable(
    shape: EvaluationShape, record: ResourceRecord, before: str, *, is_weaker: bool
) -> RowsChanged | None:
    """Return a change that only digests tell, where the rows of one side are not kept."""
    was, now = record.facts.get("inputs", {}).get(f"dataset:{before}"), shape.rows.get(before)
    if was == now:
        return None
    change = GateChange(
        kind="eval_rows_changed",
        address=_ADDRESS,
        path=f"rows.{before}",
        before=was,
        after=now,
        weakened=is_weaker,
    )
    return RowsChanged(change, {"rows": "changed; the earlier rows are not kept"})


def _shown(ids: Sequence[str]) -> list[str] | None:
    return [row_id[:_SHOWN_DIGITS] for row_id in ids] or None


def _lines(
    name: str, folder: Path | None, prepared: Output | None, artifacts: ArtifactReader
) -> list[Row]:
    if folder is not None:
        return _parsed((folder / name).read_bytes())
    if prepared is None:
        raise KeyError(name)
    return _parsed(artifacts.read_bytes(artifacts.listing(prepared.digest)[name].digest))


def _parsed(data: bytes) -> list[Row]:
    return [orjson.loads(line) for line in _stripped(data.splitlines())]


def _stripped(lines: Iterable[bytes]) -> Iterable[bytes]:
    return (line for line in lines if line.strip())
