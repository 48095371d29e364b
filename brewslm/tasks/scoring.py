"""From one prediction to one scored item: its status, its counts, and the slices it is in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from brewslm.tasks.common_metrics import chance_counts, likelihood_counts, output_counts
from brewslm.tasks.junk import is_echo, junk_counts
from brewslm.tasks.task import Contract, Scored, ScoringOptions, Task
from brewslm.tasks.text_answers import lead_class, token_overlap

MOST_SLICE_VALUES = 12
_SHORT_CHARACTERS, _MEDIUM_CHARACTERS = 80, 400
_ALIKE = 0.45
_OTHER_ROWS = 4


@dataclass(frozen=True)
class Item:
    """One evaluation row for one role and epoch, scored."""

    row_id: str
    epoch: int
    status: str
    """error, prompt_too_long, truncated, empty, unparseable or ok: the first that holds."""
    counts: Mapping[str, float]
    score: float | None
    """None for errors of the machinery, which are neither right nor wrong."""
    extracted: Any = None
    parse_detail: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    failure: Mapping[str, Any] | None = None

    def to_json(self, slices: Sequence[str]) -> dict[str, Any]:
        """Return the record of the item, as it stands in a scores file."""
        return {
            "row_id": self.row_id,
            "epoch": self.epoch,
            "status": self.status,
            "parse_detail": self.parse_detail,
            "extracted": self.extracted,
            "score": self.score,
            "item": dict(self.values),
            "counts": dict(sorted(self.counts.items())),
            "slices": list(slices),
            "failure": self.failure,
        }


def scored_item(
    task: Task,
    row: Mapping[str, Any],
    prediction: Mapping[str, Any],
    baseline: Mapping[str, Any] | None,
    contract: Contract,
    options: ScoringOptions,
    others: Sequence[Mapping[str, Any]] = (),
) -> Item:
    """Return the item of a prediction.

    baseline: the same row's prediction without adapter; others: references of other rows, which
    say what the output would score by chance. An output that only repeats the prompt is scored as
    an empty one.
    """
    row_id, epoch = str(row["row_id"]), int(prediction.get("epoch", 0))
    if status := machine_status(prediction):
        return Item(row_id, epoch, status, {"rows": 1.0, "status:error": 1.0}, None)
    output = prediction["output"]
    is_too_long = prediction.get("error_code") == "prompt_too_long"
    gold = task.answer(row["reference"], contract)
    answer = "" if is_too_long or is_echo(output, gold, row) else output
    scored = task.score(row["inputs"], row["reference"], answer, contract, options)
    by_chance = [
        task.score(row["inputs"], other, answer, contract, options).score for other in others
    ]
    if is_too_long:
        scored = Scored({**_without_merit(scored.counts)}, 0.0, None, False, "none")
    status = _status(prediction, scored, output)
    counts = {"rows": 1.0, **output_counts(output, gold), **junk_counts(output, gold, row)}
    counts |= scored.counts | chance_counts(scored.score, by_chance)
    counts |= likelihood_counts(prediction, baseline)
    counts["new_tokens"] = float(prediction.get("new_tokens", 0))
    if prediction.get("finish") == "length":
        counts["status:truncated"] = 1.0
    if status in ("empty", "prompt_too_long"):
        counts[f"status:{status}"] = 1.0
    failure = None
    if scored.score < task.fail_below:
        failure = _failure(status, scored, output, gold, bool(counts.get("stray_tag")))
    return Item(
        row_id,
        epoch,
        status,
        counts,
        scored.score,
        scored.extracted,
        scored.parse_detail,
        scored.values,
        failure,
    )


def other_references(rows: Sequence[Mapping[str, Any]], at: int) -> list[Mapping[str, Any]]:
    """Return the references of a few other rows, each row's in turn the same number of times, so
    that one answer for all rows scores no more than chance.
    """
    steps = range(1, min(_OTHER_ROWS, len(rows) - 1) + 1)
    return [rows[(at + step) % len(rows)]["reference"] for step in steps]


def machine_status(prediction: Mapping[str, Any]) -> str:
    """Return `error` where the machinery failed, nothing where there is an output to score."""
    is_failed = prediction.get("finish") == "error" or bool(prediction.get("error_code"))
    return "error" if is_failed and prediction.get("error_code") != "prompt_too_long" else ""


def slices_of(
    rows: Sequence[Mapping[str, Any]],
    sources: Mapping[str, str],
    prompt_tokens: Mapping[str, int],
) -> dict[str, dict[str, str]]:
    """Return row_id to column to value, for tags and the built-in columns with few values.

    sources: row_id to data source; prompt_tokens: row_id to length, cut into terciles.
    """
    cuts = _tercile_cuts(prompt_tokens.values())
    columns = {str(row["row_id"]): _columns(row, sources, prompt_tokens, cuts) for row in rows}
    values: dict[str, set[str]] = {}
    for of_row in columns.values():
        for name, value in of_row.items():
            values.setdefault(name, set()).add(value)
    kept = {name for name, found in values.items() if len(found) <= MOST_SLICE_VALUES}
    return {
        row_id: {name: value for name, value in sorted(of_row.items()) if name in kept}
        for row_id, of_row in columns.items()
    }


def _columns(
    row: Mapping[str, Any],
    sources: Mapping[str, str],
    prompt_tokens: Mapping[str, int],
    cuts: tuple[int, int] | None,
) -> dict[str, str]:
    row_id = str(row["row_id"])
    asked = row["messages"][: row["completion_from"]]
    columns = {str(name): _slice_value(value) for name, value in row.get("tags", {}).items()}
    columns["turns"] = str(sum(turn["role"] == "user" for turn in asked))
    text = str(asked[-1]["content"]) if asked else ""
    columns["has_number"] = "true" if any(map(str.isdigit, text)) else "false"
    if row_id in sources:
        columns["source"] = sources[row_id]
    if "label" in row["reference"]:
        columns["label"] = str(row["reference"]["label"])
    if cuts is not None and row_id in prompt_tokens:
        tokens = prompt_tokens[row_id]
        columns["length"] = (
            "short" if tokens <= cuts[0] else "medium" if tokens <= cuts[1] else "long"
        )
    return columns


def _slice_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _tercile_cuts(lengths: Iterable[int]) -> tuple[int, int] | None:
    ordered = sorted(lengths)
    if len(ordered) < 3:
        return None
    return ordered[len(ordered) // 3 - 1], ordered[2 * len(ordered) // 3 - 1]


def _status(prediction: Mapping[str, Any], scored: Scored, output: str) -> str:
    if prediction.get("error_code") == "prompt_too_long":
        return "prompt_too_long"
    if prediction.get("finish") == "length":
        return "truncated"
    if not output.strip():
        return "empty"
    return "ok" if scored.is_parseable else "unparseable"


def _without_merit(counts: Mapping[str, float]) -> dict[str, float]:
    """Keep only what the reference contributes: a row that was never asked earns nothing."""
    return {
        name: value for name, value in counts.items() if name.partition(":")[0] in _REFERENCE_COUNTS
    }


_REFERENCE_COUNTS = frozenset({"gold", "number_gold", "field_gold", "leaf_gold", "text_gold"})


def _failure(
    status: str, scored: Scored, output: str, gold: str, has_stray: bool
) -> dict[str, Any]:
    """Return reason and pattern of a failed item; the first rule that matches names it."""
    overlap = token_overlap(output.casefold().split(), gold.casefold().split())[0]
    is_bent = status == "unparseable" or has_stray or scored.failure == "formatting_mismatch"
    rules = (
        ("truncated_output", 1.0, status == "truncated"),
        ("prompt_too_long", 1.0, status == "prompt_too_long"),
        ("formatting_mismatch", 0.90, is_bent),
        ("span_boundary", 0.95, scored.failure == "span_boundary"),
        ("label_confusion", 1.0, scored.failure == "label_confusion"),
        (
            "refusal_mismatch",
            0.86,
            (lead_class(output) == "refusal") != (lead_class(gold) == "refusal"),
        ),
        ("hallucination", 0.78, overlap <= 0.15 and len(output) > _MEDIUM_CHARACTERS),
        ("coverage_gap", 0.67, overlap < _ALIKE or scored.failure == "coverage_gap"),
    )
    found = ((name, confidence) for name, confidence, holds in rules if holds)
    reason, confidence = next(found, ("wrong_value", 0.55))
    return {
        "reason_code": reason,
        "output_pattern": output_pattern(output),
        "confidence": confidence,
    }


def output_pattern(output: str) -> str:
    """Return length, lead and digits of an output in one word."""
    size = len(output)
    length = (
        "short" if size <= _SHORT_CHARACTERS else "medium" if size <= _MEDIUM_CHARACTERS else "long"
    )
    digits = "y" if any(map(str.isdigit, output)) else "n"
    return f"len-{length}:lead-{lead_class(output)}:digits-{digits}"
