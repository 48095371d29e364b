"""A whole plan in one line, the gravest word first."""

from brewslm.contracts import Operation, Work
from brewslm.diagnostics import Severity
from brewslm.plan.plan import REFRESH_ONLY, Plan
from brewslm.render import words
from brewslm.stages.kinds import KINDS


def verdict_line(plan: Plan) -> str:
    """Return what a plan comes to: refused, drifted, weakens, deletes, repairs, retrains,
    evaluates, exports, records only or no changes, whichever of these comes first, then the counts
    that a reviewer asks for.
    """
    deletes = plan.summary.get(str(Operation.DELETE), 0)
    weakened = len(weakened_gates(plan))
    rejected = rejected_rows(plan)
    parts = [
        _worst(plan, deletes, weakened),
        f"{words.count(deletes)} {'delete' if deletes == 1 else 'deletes'}",
        f"{words.plural(weakened, 'gate')} weakened" if weakened else "no gate weakened",
    ]
    parts += [f"{words.plural(rejected, 'row')} rejected"] if rejected else []
    parts += [f"{words.count(len(plan.drift))} drifted"] if plan.drift else []
    return " · ".join(parts)


def weakened_gates(plan: Plan) -> set[str]:
    """Return the paths of gates that became weaker than recorded, or than at the other commit."""
    there = (plan.against or {}).get("gate_changes", ())
    paths = {str(change["path"]) for change in there if change["weakened"]}
    return paths | {change.path for change in plan.gate_changes if change.weakened}


def rejected_rows(plan: Plan) -> int:
    """Return how many rows the data of a plan has rejected, 0 where no data is prepared."""
    for action in plan.actions:
        if action.target == "dataset":
            return int((action.data or {}).get("rows", {}).get("rejected") or 0)
    return 0


def _worst(plan: Plan, deletes: int, weakened: int) -> str:
    errors = sum(finding.severity is Severity.ERROR for finding in plan.finding_values)
    work = _work(plan)
    if errors:
        return f"Refused, {words.plural(errors, 'error')}"
    if plan.mode == REFRESH_ONLY:
        return "Drifted" if plan.drift else "No drift"
    if weakened:
        return f"Weakens {words.plural(weakened, 'gate')}{', and ' + work if work else ''}"
    if deletes:
        return f"Deletes {words.plural(deletes, 'resource')}{', and ' + work if work else ''}"
    if plan.has_changes and plan.is_only_repair:
        return f"Repairs drift{', ' + work if work else ' only'}"
    if work:
        return work[0].upper() + work[1:]
    if plan.has_changes:
        return "Records only"
    if plan.drift:
        return "Drifted"
    return "No changes" if plan.is_complete else "No changes in what was selected"


def _work(plan: Plan) -> str:
    """Return what is computed, by its dearest part; empty when nothing is."""
    made = {
        action.target: action
        for action in plan.actions
        if action.operation in (Operation.CREATE, Operation.UPDATE) and action.reuse is None
    }
    wall = plan.estimate.wall_s
    time = f", {words.duration(wall.value)} {wall.label}" if wall.value is not None else ""
    if "training_plan" in made:
        again = "retrain" if made["training_plan"].operation is Operation.UPDATE else "train"
        return f"would {again} once{time}"
    if "eval_pack" in made:
        return f"would evaluate again{time}"
    if any(KINDS[name].work in (Work.DOOR, Work.POINTER) for name in made):
        return f"would export or promote{time}"
    return ""
