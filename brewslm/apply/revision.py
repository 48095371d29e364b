"""What an apply leaves in the list of revisions."""

from collections.abc import Mapping, Sequence
from typing import Any

from brewslm.address import Address
from brewslm.apply.desk import Desk
from brewslm.apply.outcome import Outcome
from brewslm.plan.plan import REFRESH_ONLY, Plan
from brewslm.plan.refresh import is_kept
from brewslm.stages.kinds import KINDS
from brewslm.state.records import ResourceRecord, RevisionRecord
from brewslm.state.store import StateReader

_KILLED = "journal_recovered"


def revision_of(
    plan: Plan,
    desk: Desk,
    outcome: Outcome,
    records: Mapping[str, ResourceRecord],
    unrevised: Sequence[str],
    actor: str,
    git_commit: str,
) -> RevisionRecord:
    """Return the revision of an apply that changed content; the store numbers it.

    records: as the apply left them; unrevised: what an earlier apply did that was killed before its
    own revision.
    """
    done = set(outcome.applied) | set(outcome.reused)
    recovered = [address for address in unrevised if address not in done]
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
        )
        + tuple(
            {"address": item, "operation": "recorded", "reason": _KILLED} for item in recovered
        ),
        verdicts={"verdict": verdict.get("verdict"), "gates": verdict.get("gates", [])},
        effective_manifest=plan.effective_manifest,
        is_partial=bool(outcome.failed or outcome.pending)
        or not plan.is_complete
        or plan.mode == REFRESH_ONLY,
        outputs=outputs_of(records),
    )


def edited_revision(
    session: StateReader, actor: str, git_commit: str, now: str, action: Mapping[str, str]
) -> RevisionRecord:
    """Return the revision of a single edit that no manifest asked for; what was wanted before is
    wanted still.
    """
    newest = next(iter(session.revisions(limit=1)), None)
    return RevisionRecord(
        revision=0,
        serial=0,
        manifest_digest=newest.manifest_digest if newest else "",
        git_commit=git_commit,
        actor=actor,
        plan_digest="",
        finished_at=now,
        actions=(dict(action),),
        effective_manifest=newest.effective_manifest if newest else {},
        outputs=outputs_of(session.resources()),
    )


def outputs_of(records: Mapping[str, ResourceRecord]) -> dict[str, Any]:
    """Return the kept bytes of all resources, by address and name."""
    return {
        address: kept
        for address, record in sorted(records.items())
        if (
            kept := {
                name: output.to_json()
                for name, output in sorted(record.outputs.items())
                if is_kept(KINDS[record.kind], name)
            }
        )
    }
