"""A rollback as a plan: which earlier promotion is meant, whether it may be promoted again, and
the one action that moves the pointer to it.

Nothing of the manifest is read: a rollback works while the manifest is broken.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

from brewslm.address import Address
from brewslm.artifacts.store import ArtifactReader
from brewslm.contracts import Category, Operation, Output
from brewslm.errors import ArtifactError, PlanError
from brewslm.plan.action import Action, Cause, Price, snapshot
from brewslm.plan.plan import Plan
from brewslm.plan.recorded import recorded_plan
from brewslm.plan.rollback_base import Surroundings, check_base
from brewslm.state.records import DeploymentRecord, ResourceRecord, RevisionRecord
from brewslm.state.store import StateReader

_DEPLOYMENT = Address("deployment")
_CANDIDATE = "training_plan:lora_adapter"


class Rollback(Struct, frozen=True):
    """What a rollback does: the plan, the promotion that it repeats, and the one that it ends."""

    plan: Plan
    target: DeploymentRecord
    current: DeploymentRecord
    promoted: Output


def plan_rollback(
    state: StateReader, artifacts: ArtifactReader, revision: int | None, around: Surroundings
) -> Rollback | None:
    """Return the rollback to what was promoted at a revision, by default to what was promoted
    before; None when that is promoted already.

    around: where its base model is looked up.

    Raises: PlanError with unknown_revision, deployment_rollback_no_predecessor or
    deployment_target_invalid.
    """
    record = state.resources().get(str(_DEPLOYMENT))
    alias = str(record.values.get("alias", "")) if record else ""
    promotions = state.deployments(alias) if alias else []
    if record is None or not promotions:
        raise _no_predecessor("nothing is promoted")
    revisions = state.revisions()
    current = promotions[0]
    if revision is None:
        target = _previous(promotions)
    else:
        target = _promoted_at(revision, promotions, revisions)
    if target.digest == current.digest:
        return None
    promoted = check_target(artifacts, target)
    check_base(state, target, around)
    plan = _plan(state, record, target, promoted, revisions)
    return Rollback(plan, target, current, promoted)


def check_target(artifacts: ArtifactReader, target: DeploymentRecord) -> Output:
    """Verify an earlier promotion: every byte by its digest, and that the required gates passed
    on exactly these bytes; return them as an output.

    Raises: PlanError with deployment_target_invalid.
    """
    exports = target.details.get("exports", {})
    for name, digest in {"the LoRA adapter": target.digest, **exports}.items():
        with _checking(name, target):
            artifacts.verify(Output(str(digest), 0, is_folder=True))
    with _checking("the verdict", target):
        verdict = json.loads(artifacts.read_bytes(target.evidence_digest))
        files = artifacts.listing(target.digest).values()
    decided = (str(verdict.get("verdict")), verdict.get("candidate_digest"))
    if decided != ("PASS", target.digest):
        raise _invalid(
            "its gates did not pass on these bytes",
            f"{decided[0]} for {decided[1]}",
            f"PASS for {target.digest}",
        )
    return Output(target.digest, sum(item.size_bytes for item in files), is_folder=True)


@contextmanager
def _checking(name: str, target: DeploymentRecord) -> Iterator[None]:
    """Turn trouble with an artifact into an error that says which one it is.

    Raises: PlanError with deployment_target_invalid.
    """
    try:
        yield
    except (ArtifactError, ValueError) as error:
        what = "is missing" if getattr(error, "code", "") == "artifact_missing" else "is damaged"
        expected = error.expected if isinstance(error, ArtifactError) else target.evidence_digest
        raise _invalid(
            f"{name} of revision {target.revision} {what}",
            error.found if isinstance(error, ArtifactError) else str(error),
            f"{expected} in the artifact store",
        ) from error


def held_candidates(record: ResourceRecord) -> list[str]:
    """Return the digests of the candidates that a deployment was rolled back from."""
    return list(record.values.get("held", ()))


def is_held(record: ResourceRecord, alias: str, inputs: Mapping[str, str | None]) -> bool:
    """Return whether a rollback keeps the wanted candidate from being promoted again.

    alias: the wanted one; inputs: digests by name, as the deployment consumes them.
    """
    return alias == record.values.get("alias") and inputs.get(_CANDIDATE) in held_candidates(record)


def _previous(promotions: Sequence[DeploymentRecord]) -> DeploymentRecord:
    current = promotions[0]
    earlier = (item for item in promotions if item.digest != current.digest)
    target = next(earlier, None)
    if target is None:
        raise _no_predecessor("one candidate was ever promoted")
    return target


def _promoted_at(
    revision: int, promotions: Sequence[DeploymentRecord], revisions: Sequence[RevisionRecord]
) -> DeploymentRecord:
    meant = next((item for item in revisions if item.revision == revision), None)
    if meant is None:
        raise PlanError(
            f"there is no revision {revision}",
            code="unknown_revision",
            found=str(revision),
            expected="a recorded revision",
            remedy="brewslm history lists them",
        )
    touched = {str(action["address"]) for action in meant.actions}
    if meant.is_partial and str(_DEPLOYMENT) not in touched:
        raise _invalid(
            f"revision {revision} is partial and the deployment was not in it",
            "a partial revision",
            "a revision that promoted something",
        )
    target = next((item for item in promotions if item.revision <= revision), None)
    if target is None:
        raise _invalid(
            f"nothing was promoted at revision {revision}",
            "no promotion",
            "a revision after the first promotion",
        )
    return target


def _plan(
    state: StateReader,
    record: ResourceRecord,
    target: DeploymentRecord,
    promoted: Output,
    revisions: Sequence[RevisionRecord],
) -> Plan:
    meant = next((item for item in revisions if item.revision == target.revision), None)
    after = snapshot(record.spec, {"promoted": promoted})
    action = Action(
        address=record.address,
        target=record.kind,
        operation=Operation.UPDATE,
        category=Category.PROMOTE,
        reason="replace_requested",
        causes=(Cause(kind="request", path=f"rollback to revision {target.revision}"),),
        before=snapshot(record.spec, record.outputs),
        after=after,
        fingerprint=target.fingerprint,
        facts=_facts(state, target.fingerprint),
        estimate=Price.free("a pointer moves"),
    )
    commit = meant.git_commit or None if meant else None
    return recorded_plan(state, "rollback", [action], meant, commit, Price.free("a pointer moves"))


def _facts(state: StateReader, fingerprint: str) -> dict[str, Any]:
    """Return the facts behind a fingerprint as the journal has them, empty where it forgot."""
    entries = state.operations(kind=_DEPLOYMENT.kind)
    return next((item.facts for item in entries if item.fingerprint == fingerprint), {})


def _no_predecessor(found: str) -> PlanError:
    return PlanError(
        "there is nothing to roll back to",
        code="deployment_rollback_no_predecessor",
        found=found,
        expected="an earlier promotion of another candidate",
        remedy="brewslm history lists the revisions",
    )


def _invalid(message: str, found: str, expected: str) -> PlanError:
    return PlanError(
        f"that can't be promoted again: {message}",
        code="deployment_target_invalid",
        found=found,
        expected=expected,
        remedy="name another revision of brewslm history; what is promoted stays",
    )
