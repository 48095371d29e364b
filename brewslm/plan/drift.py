"""Drift of one resource after the other: what is looked at, what the plan does about it, and the
words for both.
"""

from collections.abc import Sequence

from brewslm.artifacts.store import ArtifactReader
from brewslm.plan import refresh
from brewslm.plan.action import Drift
from brewslm.plan.base_model import BaseModel
from brewslm.plan.options import PlanOptions
from brewslm.plan.placed import Places
from brewslm.state.records import ResourceRecord

_WORDS = {
    "pointer_moved": "apply puts the pointer back",
    "missing": "apply lays it out again",
    "changed": "apply sets the found files aside and lays it out again",
}


class Looker:
    """Looks at what is really there of a record, as hard as the plan was asked to."""

    def __init__(self, artifacts: ArtifactReader, options: PlanOptions) -> None:
        self._artifacts = artifacts
        self._refresh = options.refresh
        is_looking = options.home is not None and options.refresh != refresh.NONE
        self._places = (
            Places(options.home, artifacts, options.digests)
            if is_looking and options.home is not None
            else None
        )

    def kept(self, record: ResourceRecord) -> list[Drift]:
        """Return how the kept bytes of a record differ from it."""
        return refresh.drift_of(record, self._artifacts, self._refresh)

    def placed(self, record: ResourceRecord) -> list[Drift]:
        """Return how what was laid out from a record differs from it."""
        return self._places.drift_of(record) if self._places is not None else []


def base_drift(record: ResourceRecord, found: BaseModel) -> Drift:
    """Return that the base model's files are not the recorded ones, which apply never mends."""
    return Drift(
        address=record.address,
        kind="changed",
        path="base",
        before=record.outputs["base"].digest,
        after=found.digest,
        remedy="put the recorded files back, or take these as the base: "
        "brewslm apply --refresh-only",
    )


def lost(drift: Sequence[Drift]) -> list[Drift]:
    """Return the drift after which kept bytes have to be made again."""
    return [item for item in drift if item.kind in refresh.LOST]


def repairable(drift: Sequence[Drift]) -> list[Drift]:
    """Return the drift of laid-out things that apply mends."""
    return [item for item in drift if item.kind in _WORDS]


def told(kept: Sequence[Drift], placed: Sequence[Drift], *, is_mended: bool) -> list[Drift]:
    """Return all drift of a resource, each with what apply does about it.

    is_mended: whether apply acts on the resource at all.
    """
    if not is_mended:
        return [*kept, *placed]
    again = [_with(item, "apply makes it again") for item in lost(kept)]
    left = [item for item in kept if item.kind not in refresh.LOST]
    return again + left + [_with(item, _WORDS.get(item.kind, "")) for item in placed]


def _with(drift: Drift, repair: str) -> Drift:
    return drift.model_copy(update={"repair": repair})
