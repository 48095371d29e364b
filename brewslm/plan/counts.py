"""What an action says in numbers before it runs: rows that came and went, rejects, leaks, steps."""

from collections.abc import Mapping
from typing import Any

from brewslm.artifacts.store import ArtifactReader
from brewslm.plan.comparison import Draft
from brewslm.plan.known import Known
from brewslm.plan.row_changes import row_changes
from brewslm.plan.work import on_host, training_work
from brewslm.stages.training_plan import TrainingPlanSpec
from brewslm.state.records import ResourceRecord

TOO_LONG = "rows_too_long"
ESTIMATED = "estimated"
"""Key of a run whose numbers are no promise."""


def counts_of(draft: Draft, known: Known, artifacts: ArtifactReader) -> dict[str, Any] | None:
    """Return the counts of a data kind or a training run, None where there are none."""
    values = known.values.get(draft.address)
    match draft.kind.name:
        case "data_source" if values is not None:
            before = draft.record.values.get("rows_read") if draft.record else None
            return {"rows": {"read": values.get("rows_read"), "before": before}}
        case "adapter" if values is not None:
            return {"mapped": values.get("mapped"), "rejected": values.get("rejected") or None}
        case "dataset" if known.prepared:
            return _dataset_counts(draft, known, artifacts)
        case "training_plan" if known.prepared:
            return _run_counts(draft, known)
    return None


def _run_counts(draft: Draft, known: Known) -> dict[str, Any] | None:
    if not isinstance(draft.spec, TrainingPlanSpec):
        return None
    config = on_host(draft.spec.config, draft.wanted.host)
    batch = config.batch_size * config.gradient_accumulation_steps
    made = known.rehearsed
    if made is None or not made.is_whole:
        work = training_work(config, known.prepared)
        run = {"rows": work.rows, "steps": work.steps, "effective_batch": batch}
        return {"run": run | {ESTIMATED: "rows and steps"}}
    run = {"rows": len(made.lengths), "steps": made.steps(config), "effective_batch": batch}
    left_out = made.effective_left_out
    return {"run": run, **({"left out": left_out} if left_out else {})}


def is_without_weights(trained: Mapping[str, Any], prepared: Mapping[str, Any]) -> bool:
    """Return whether a run saw each row once although weights ask for more.

    trained: what is recorded of the run; versions that ignored weights recorded no effective rows.
    """
    if "rows" not in trained or "rows_effective" in trained or not prepared:
        return False
    return bool(prepared["train_rows_effective"] > prepared["splits"]["train"])


def planned_run(data: Mapping[str, Any] | None) -> dict[str, int]:
    """Return what an action counted of its run, empty where it guessed: the rows of an epoch, those
    left out as too long, and the steps.
    """
    run = (data or {}).get("run") or {}
    if not run or ESTIMATED in run:
        return {}
    left_out = (data or {}).get("left out") or {}
    return {"rows": run["rows"], "steps": run["steps"], TOO_LONG: left_out.get(TOO_LONG, 0)}


def _dataset_counts(draft: Draft, known: Known, artifacts: ArtifactReader) -> dict[str, Any]:
    manifest = known.prepared
    accounting = manifest["accounting"]["total"]
    before = (draft.record.values.get("manifest") or {}) if draft.record else {}
    old = (before.get("accounting") or {}).get("total") or {}
    counts: dict[str, Any] = {
        "rows": _row_counts(accounting),
        "placed": {name: amount for name, amount in manifest["splits"].items() if amount},
        "mix": _shown_mix(manifest.get("mix") or {}),
        "rejected": accounting["rejected"] or None,
    }
    if old:
        counts["before"] = _row_counts(old)
    counts |= _changes(draft.record, known, artifacts)
    counts["leaks"] = manifest["leaks"].get("counts") or "none"
    return counts


def _shown_mix(mix: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what an epoch holds of each source, None where every row is seen once."""
    sources = mix.get("sources") or {}
    is_plain = all(item["weight"] == 1 for item in sources.values()) and not mix.get("mix_back")
    return None if is_plain else sources


def _row_counts(accounting: Mapping[str, Any]) -> dict[str, int]:
    return {
        "read": accounting["read"],
        "accepted": accounting["accepted"],
        "rejected": sum(accounting["rejected"].values()),
        "duplicates": accounting["duplicates"],
    }


def _changes(
    record: ResourceRecord | None, known: Known, artifacts: ArtifactReader
) -> dict[str, Any]:
    if record is None or known.prepared_folder is None:
        return {}
    changes = row_changes(record.outputs.get("prepared"), known.prepared_folder, artifacts)
    if changes is None:
        return {}
    gold = changes["gold"]
    return {
        "changes": changes["training"] | {"moved": changes["moved"] or None},
        "gold changes": gold if any(gold.values()) else None,
        "sets": changes["splits"] or None,
    }
