"""What an apply leaves in the list of revisions."""

from brewslm.address import Address
from brewslm.apply.desk import Desk
from brewslm.apply.outcome import Outcome
from brewslm.plan.plan import REFRESH_ONLY, Plan
from brewslm.state.records import RevisionRecord


def revision_of(
    plan: Plan, desk: Desk, outcome: Outcome, actor: str, git_commit: str
) -> RevisionRecord:
    """Return the revision of an apply that changed content; the store numbers it."""
    done = set(outcome.applied) | set(outcome.reused)
    verdict = desk.values.get(Address("eval_pack"), {})
    return RevisionRecord(
        revision=0,
        serial=0,
        manifest_digest=plan.manifest_digest,
        git_commit=git_commit,
        actor=actor,
        plan_digest=plan.digest,
        finished_at=desk.clock.now(),
        actions=tuple(
            {"address": item.address, "operation": str(item.operation), "reason": item.reason}
            for item in plan.actions
            if item.address in done
        ),
        verdicts={"verdict": verdict.get("verdict"), "gates": verdict.get("gates", [])},
        effective_manifest=plan.effective_manifest,
        is_partial=bool(outcome.failed or outcome.pending)
        or not plan.is_complete
        or plan.mode == REFRESH_ONLY,
    )
