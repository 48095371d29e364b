"""Move the promoted pointer back, or end the hold that doing so left: under a lease, with the row
first and the link behind it.
"""

import uuid

from msgspec.structs import replace

from brewslm.apply import promotion
from brewslm.apply.clock import Clock
from brewslm.apply.desk import Place
from brewslm.apply.executor import ApplyFacts
from brewslm.apply.history import History
from brewslm.apply.laid_out import lay_out_model
from brewslm.apply.revision import edited_revision
from brewslm.errors import ApplyError
from brewslm.plan.rollback import Rollback, held_candidates
from brewslm.state.records import (
    DeploymentRecord,
    OperationRecord,
    OperationStatus,
    ResourceRecord,
    RevisionRecord,
)
from brewslm.state.store import StateSession

_DEPLOYMENT = "deployment"


def roll_back(
    rollback: Rollback, place: Place, session: StateSession, facts: ApplyFacts, clock: Clock
) -> RevisionRecord:
    """Promote an earlier candidate again and return the revision that records it.

    Raises: ApplyError with deployment_conflict when the pointer moved since the plan,
    LeaseLostError.
    """
    record = session.resources().get(_DEPLOYMENT)
    newest = session.deployments(rollback.current.alias)[:1]
    is_same = [item.sequence for item in newest] == [rollback.current.sequence]
    if record is None or not is_same or session.meta().serial != rollback.plan.project.serial:
        promotion.follow_takeover(place.home, session)
        raise ApplyError(
            "the pointer moved since this was planned",
            code="deployment_conflict",
            found=newest[0].digest if newest else "nothing promoted",
            expected=rollback.current.digest,
            remedy="brewslm rollback plans again",
        )
    action = rollback.plan.actions[0]
    target, held = rollback.target, {*held_candidates(record), rollback.current.digest}
    revision = _next_revision(session)
    moved = replace(
        record,
        spec={**record.spec, **(action.facts or {}).get("spec", {})},
        facts=action.facts or {},
        fingerprint=target.fingerprint,
        outputs={"promoted": rollback.promoted},
        values={
            "alias": target.alias,
            "digest": target.digest,
            "evidence": target.evidence_digest,
            "held": sorted(held - {target.digest}),
        },
        revision=revision,
    )
    again = replace(
        target,
        revision=revision,
        promoted_at=clock.now(),
        details={**target.details, "rolled_back_from": rollback.current.digest},
    )
    operation = _begin(session, moved, facts, clock)
    lay_out_model(place.home, place.artifacts, rollback.promoted, session.holding)
    _end(session, operation, moved, again, clock)
    with promotion.moving_links(place.home, session):
        promotion.point(place.home, target.alias, target.digest)
    summary = f"{target.alias} -> {target.digest[:19]}, as at revision {target.revision}"
    History(session, facts.apply_id, facts.actor, clock).add(
        _DEPLOYMENT,
        "info",
        "deployment_rolled_back",
        summary,
        {"digest": target.digest, "from": rollback.current.digest},
    )
    plan = rollback.plan
    return session.add_revision(
        replace(
            _revision(session, facts, clock),
            plan_digest=plan.digest,
            manifest_digest=plan.manifest_digest,
            effective_manifest=plan.effective_manifest,
            verdicts={"verdict": "PASS", "evidence": target.evidence_digest},
        )
    )


def release(session: StateSession, facts: ApplyFacts, clock: Clock) -> RevisionRecord | None:
    """End the hold on the deployment, so that the next plan may promote again; None when there
    is none.
    """
    record = session.resources().get(_DEPLOYMENT)
    if record is None or not held_candidates(record):
        return None
    values = {name: value for name, value in record.values.items() if name != "held"}
    freed = replace(record, values=values, revision=_next_revision(session))
    _end(session, _begin(session, freed, facts, clock), freed, None, clock)
    return session.add_revision(_revision(session, facts, clock))


def _begin(
    session: StateSession, record: ResourceRecord, facts: ApplyFacts, clock: Clock
) -> OperationRecord:
    operation = OperationRecord(
        operation_id=uuid.uuid4().hex,
        apply_id=facts.apply_id,
        address=record.address,
        kind=record.kind,
        operation="update",
        fingerprint=record.fingerprint,
        fence=session.fence,
        folder="",
        begun_at=clock.now(),
        facts=record.facts,
    )
    session.begin(operation)
    return operation


def _end(
    session: StateSession,
    operation: OperationRecord,
    record: ResourceRecord,
    deployment: DeploymentRecord | None,
    clock: Clock,
) -> None:
    ended = replace(operation, status=OperationStatus.ENDED, ended_at=clock.now())
    session.end(ended, records=[record], deployment=deployment)


def _next_revision(session: StateSession) -> int:
    newest = session.revisions(limit=1)
    return newest[0].revision + 1 if newest else 1


def _revision(session: StateSession, facts: ApplyFacts, clock: Clock) -> RevisionRecord:
    action = {"address": _DEPLOYMENT, "operation": "update", "reason": "replace_requested"}
    return edited_revision(session, facts.actor, facts.git_commit, clock.now(), action)
