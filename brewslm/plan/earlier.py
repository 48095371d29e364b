"""Work that was done before: outputs to take over, a checkpoint to go on from, the run that came
nearest.
"""

from pathlib import Path
from typing import Any

from brewslm.artifacts.store import ArtifactReader
from brewslm.contracts import Work
from brewslm.plan.action import Resume, Reuse
from brewslm.plan.checkpoints import Checkpoints, checkpoints_of
from brewslm.plan.comparison import Draft
from brewslm.plan.diff import changed_paths
from brewslm.state.store import StateReader


def find_reuse(draft: Draft, artifacts: ArtifactReader) -> Reuse | None:
    """Return the outputs that this very work yielded before, None unless all of them are there."""
    identity = draft.identity
    if draft.kind.work is not Work.DOOR or identity is None:
        return None
    produced = artifacts.find_produced(identity)
    if produced is None or not all(map(artifacts.is_present, produced.outputs.values())):
        return None
    return Reuse(
        fingerprint=identity,
        outputs=tuple(
            {"name": name, **output.to_json()} for name, output in sorted(produced.outputs.items())
        ),
    )


def find_resume(
    draft: Draft, state: StateReader, home: Path | None
) -> tuple[Resume | None, Checkpoints]:
    """Return the checkpoint that this very training goes on from, if it was interrupted, with those
    that are passed over.

    home: the .brewslm folder whose files are looked at; None trusts the journal.
    """
    identity = draft.identity
    found = Checkpoints(None, ())
    if draft.kind.name != "training_plan" or identity is None:
        return None, found
    for operation in state.operations(only_open=True):
        if operation.fingerprint != identity or not operation.checkpoints:
            continue
        read = checkpoints_of(home, operation)
        found = Checkpoints(read.newest, (*found.skipped, *read.skipped))
        if read.newest is not None:
            newest = read.newest
            return (
                Resume(
                    step=newest.step, checkpoint=newest.digest, operation_id=operation.operation_id
                ),
                found,
            )
    return None, found


def find_nearest(draft: Draft, artifacts: ArtifactReader) -> dict[str, Any] | None:
    """Return the earlier run that differs in the fewest facts, and in which."""
    record = draft.record
    if draft.kind.work is not Work.DOOR or draft.facts is None or record is None:
        return None
    candidates = [
        (changed_paths(item.facts, draft.facts), item.fingerprint)
        for item in artifacts.all_produced(draft.kind.name)
        if "part" not in item.facts
    ]
    if not candidates:
        return None
    differs, nearest = min(candidates, key=lambda item: (len(item[0]), item[1]))
    return {
        "fingerprint": nearest,
        "revision": record.revision if nearest == record.fingerprint else None,
        "differs": [path.removeprefix("spec.") for path in differs],
    }
