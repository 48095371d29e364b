"""Work that was done before: outputs to take over, a checkpoint to go on from, the run that came
nearest.
"""

from typing import Any

from brewslm.artifacts.store import ArtifactReader
from brewslm.contracts import Work
from brewslm.plan.action import Resume, Reuse
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


def find_resume(draft: Draft, state: StateReader) -> Resume | None:
    """Return the newest checkpoint of this very training, if it was interrupted."""
    identity = draft.identity
    if draft.kind.name != "training_plan" or identity is None:
        return None
    for operation in state.operations(only_open=True):
        if operation.fingerprint == identity and operation.checkpoints:
            newest = max(operation.checkpoints, key=lambda item: int(item["step"]))
            return Resume(
                step=int(newest["step"]),
                checkpoint=str(newest["digest"]),
                operation_id=operation.operation_id,
            )
    return None


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
