"""The events of single actions, from their start to their end."""

from collections.abc import Mapping, Sequence
from typing import Any

from brewslm.address import Address
from brewslm.apply.desk import Done
from brewslm.apply.interruption import Stop
from brewslm.apply.journal import Begun
from brewslm.apply.spending import Passed
from brewslm.errors import BrewError, LeaseLostError
from brewslm.events import (
    ActionCompleteEvent,
    ActionErrorEvent,
    ActionSkipEvent,
    ActionStartEvent,
    InterruptEvent,
    LeaseLostEvent,
)
from brewslm.plan.action import Action
from brewslm.stages.kinds import KINDS
from brewslm.state.records import ResourceRecord


def started(action: Action, index: int, total: int, begun: Begun | None = None) -> ActionStartEvent:
    """Return that the action at `index` of `total` begins."""
    checkpoint = begun.checkpoint if begun else None
    return ActionStartEvent(
        address=action.address,
        operation=str(action.operation),
        reason=action.reason,
        index=index + 1,
        total=total,
        resumes_from=checkpoint.step if checkpoint else None,
        operation_id=begun.operation.operation_id if begun else "",
    )


def completed(
    action: Action, begun: Begun, done: Done, earlier: ResourceRecord | None, elapsed_s: float
) -> ActionCompleteEvent:
    """Return that an action is done; earlier: what its resource was before."""
    return ActionCompleteEvent(
        address=action.address,
        operation_id=begun.operation.operation_id,
        elapsed_s=round(elapsed_s, 3),
        is_reused=done.is_reused,
        outputs=[
            {"name": name, "digest": item.digest, "size_bytes": item.size_bytes}
            for name, item in sorted(done.outputs.items())
        ],
        is_same_as_before=earlier is not None and earlier.outputs == done.outputs,
        actual=done.actual,
        values=done.values,
    )


def ended_payload(action: Action, begun: Begun, done: Done, elapsed_s: float) -> dict[str, Any]:
    """Return what the run event of an action that ended well carries: digests and counts."""
    found = ((name, _value_at(done.values, name)) for name in KINDS[action.target].ending.counts)
    return {
        "address": action.address,
        "operation": str(action.operation),
        "operation_id": begun.operation.operation_id,
        "elapsed_s": round(elapsed_s, 3),
        "outputs": {name: item.digest for name, item in sorted(done.outputs.items())},
        "counts": {name.rpartition(".")[2]: value for name, value in found if value is not None},
    }


def _value_at(values: Mapping[str, Any], dotted: str) -> Any:
    """Return a nested value, None where there is none."""
    found: Any = values
    for name in dotted.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def failed(action: Action, error: BrewError, elapsed_s: float) -> ActionErrorEvent:
    """Return that an action failed."""
    return ActionErrorEvent(
        address=action.address,
        reason_code=error.code,
        remedy=error.remedy,
        elapsed_s=round(elapsed_s, 3),
        message=error.message + (f" (found: {error.found})" if error.found else ""),
    )


def cut_off(action: Action) -> ActionSkipEvent:
    """Return that nothing is left to do, since the inputs came out as they were."""
    return ActionSkipEvent(
        address=action.address,
        because="early_cutoff",
        upstream="",
        message=f"{action.address}: its inputs came out the same, nothing to do",
    )


def skipped(action: Action, because: str, upstream: Address) -> ActionSkipEvent:
    """Return that an action was not begun because of another one."""
    return ActionSkipEvent.model_validate(
        {"address": action.address, "because": because, "upstream": str(upstream)}
    )


def lost_lease(error: LeaseLostError, undone: Sequence[str]) -> LeaseLostEvent:
    """Return that this run writes nothing more; undone: what it leaves unrecorded."""
    left = f"; not recorded: {', '.join(undone)}" if undone else ""
    return LeaseLostEvent(
        fence=error.fence,
        current_fence=error.current_fence,
        cause="forced" if error.is_forced else "taken_over",
        message=f"the lease is lost{left}",
    )


def budget_passed(passed: Passed, *, is_cancelling: bool) -> str:
    """Return what was used of a limit of `budget_settings`, and what follows."""
    limit = f"{passed.name}: {passed.limit:g}"
    if not passed.is_limit:
        return f"{passed.share:.0%} of {limit} is used"
    if is_cancelling:
        return f"{limit} is used up; the apply stops at the next checkpoint"
    return f"{limit} is used up; the apply goes on, since auto_cancel is false"


def interrupted(stop: Stop) -> InterruptEvent:
    """Return that the apply was asked to stop and did."""
    return InterruptEvent(
        signal=stop.signal_name,
        count=stop.count,
        phase="apply",
        message="" if stop.count else "out of budget: checkpointed, recorded, released",
    )
