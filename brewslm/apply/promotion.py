"""Move the promoted pointer: only on evidence that every required gate passed on exactly this
candidate.

Order: the candidate's folder is laid out, then the row that promotes it, then the link that people
follow. The row is the truth; a link that names something else is put back by the next apply.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from brewslm.address import Address
from brewslm.apply.desk import Desk, Done
from brewslm.apply.evidence import check_evidence
from brewslm.apply.history import History
from brewslm.apply.laid_out import Holding, lay_out_export, lay_out_model, model_folder
from brewslm.artifacts.laying import verified_folder
from brewslm.contracts import spec_values
from brewslm.durability import Step, durable
from brewslm.errors import ArtifactError, LeaseLostError, StateError
from brewslm.events import PromotionEvent
from brewslm.files import (
    make_private_folder,
    move,
    replace_link,
    sync_folder,
    temporary_name,
)
from brewslm.plan.action import Action
from brewslm.plan.placed import PROMOTED, link_target
from brewslm.stages.deployment import DeploymentSpec
from brewslm.state.records import DeploymentRecord, ResourceRecord
from brewslm.state.store import StateReader, StateSession

_TRAINING = Address("training_plan")
_MODEL = Address("model")


def promote(desk: Desk, action: Action, fingerprint: str) -> Done:
    """Check the evidence and return the deployment that the action's End records.

    Raises: RefusedError with code eval_evidence_mismatch or deployment_promote_blocked.
    """
    spec = desk.specs[action.parsed_address]
    if not isinstance(spec, DeploymentSpec):
        raise TypeError(f"{action.address} is no deployment")
    candidate = desk.output(_TRAINING, "lora_adapter")
    evidence = check_evidence(desk, candidate)
    record = DeploymentRecord(
        alias=spec.alias,
        sequence=0,
        digest=candidate.digest,
        base_digest=desk.output(_MODEL, "base").digest,
        fingerprint=fingerprint,
        evidence_digest=evidence.digest,
        revision=0,
        promoted_at=desk.clock.now(),
        details={
            "extra": spec_values(spec).get("extra", {}),
            "exports": {
                str(address): outputs["files"].digest
                for address, outputs in sorted(desk.outputs.items())
                if address.kind == "export" and "files" in outputs
            },
        },
    )
    values = {"alias": spec.alias, "digest": candidate.digest, "evidence": evidence.digest}
    return Done(outputs={"promoted": candidate}, values=values, deployment=record)


def lay_out(desk: Desk, done: Done, holding: Holding) -> None:
    """Make sure that what a promotion names is laid out: the candidate, and the exports with it.

    Raises: ArtifactError, LeaseLostError.
    """
    lay_out_model(desk.home, desk.artifacts, done.outputs["promoted"], holding)
    for address, outputs in sorted(desk.outputs.items()):
        if address.kind == "export" and "files" in outputs:
            lay_out_export(desk.home, desk.artifacts, address.name, outputs["files"], holding)


def follow(
    desk: Desk,
    session: StateSession,
    deployment: DeploymentRecord,
    earlier: ResourceRecord | None,
) -> None:
    """Make the link name what a recorded promotion names.

    Raises: ArtifactError when what it would name is not that, LeaseLostError.
    """
    with moving_links(desk.home, session):
        if earlier is not None and earlier.values.get("alias") not in (None, deployment.alias):
            unpoint(desk.home, earlier.values["alias"])
        point(desk.home, deployment.alias, deployment.digest)


def announce(
    desk: Desk,
    history: History,
    action: Action,
    deployment: DeploymentRecord,
    earlier: ResourceRecord | None,
    payload: Mapping[str, Any],
) -> None:
    """Tell about a promotion; payload: what the run event of every action carries."""
    history.add(
        action.target,
        "info",
        "deployment_promoted",
        f"{deployment.alias} -> {deployment.digest[:19]}",
        {**payload, "digest": deployment.digest, "evidence": deployment.evidence_digest},
    )
    desk.tell(
        PromotionEvent(
            address=action.address,
            decision="moved",
            before=_promoted_digest(earlier),
            after=deployment.digest,
            reason_code="deployment_promoted",
            evidence=deployment.evidence_digest,
        )
    )


def tell_kept(desk: Desk, records: Mapping[str, ResourceRecord], reason: str) -> None:
    """Tell that what is promoted stays, where the project has a deployment."""
    address = next((item for item in desk.specs if item.kind == "deployment"), None)
    if address is None:
        return
    kept = _promoted_digest(records.get(str(address)))
    desk.tell(
        PromotionEvent(
            address=str(address),
            level="warning",
            decision="kept",
            before=kept,
            after=kept,
            reason_code="deployment_promote_blocked",
            message=reason,
        )
    )


@contextmanager
def moving_links(home: Path, session: StateSession) -> Iterator[None]:
    """Hold the lease while a block moves links; where it was taken over meanwhile, they name what
    the state says once more, as far as that can be told.

    Raises: LeaseLostError.
    """
    is_moved = False
    try:
        with session.holding():
            is_moved = True
            yield
    except LeaseLostError:
        if is_moved:
            with suppress(StateError, OSError):
                _put_right(home, session)
        raise


def follow_takeover(home: Path, session: StateSession) -> None:
    """Make the links name what is promoted where the lease was taken over: its holder may have
    recorded a promotion and may not move the link any more. Harmless where this one is lost too.
    """
    if session.taken_over is not None:
        with suppress(LeaseLostError), moving_links(home, session):
            repair_pointers(home, session)


def _put_right(home: Path, session: StateSession) -> None:
    """Make every link name what is promoted, while others may promote something else: whoever does
    moves the link after the serial rose.
    """
    seen = -1
    while seen != (serial := session.meta().serial):
        seen = serial
        repair_pointers(home, session)


def repair_pointers(home: Path, state: StateReader) -> list[str]:
    """Make every link name what the state says is promoted, and remove those of deployments that
    were deleted; return the aliases that moved. A link stays where the folder that it would name
    does not hold what was promoted.
    """
    newest: dict[str, DeploymentRecord] = {}
    for deployment in state.deployments():
        newest.setdefault(deployment.alias, deployment)
    wanted = {
        record.values.get("alias")
        for record in state.resources().values()
        if record.kind == "deployment"
    }
    for alias in newest.keys() - wanted:
        unpoint(home, alias)
    return [
        alias
        for alias, deployment in newest.items()
        if alias in wanted and _point_if_whole(home, alias, deployment.digest)
    ]


def _point_if_whole(home: Path, alias: str, digest: str) -> bool:
    """Move a link if what it has to name is whole; return whether it moved."""
    with suppress(ArtifactError):
        return point(home, alias, digest)
    return False


def lay_out_promoted(desk: Desk, state: StateReader, holding: Holding) -> None:
    """Make sure that what the state says is promoted is laid out, as it is not in a fresh clone of
    a project whose state is shared; a folder that the link names already is left to drift checks.

    Raises: ArtifactError, LeaseLostError.
    """
    for record in state.resources().values():
        output = record.outputs.get("promoted") if record.kind == "deployment" else None
        if output is None:
            continue
        is_named = _is_named(desk.home, str(record.values.get("alias", "")), output.digest)
        if is_named and model_folder(desk.home, output.digest).is_dir():
            continue
        if desk.artifacts.is_present(output):
            lay_out_model(desk.home, desk.artifacts, output, holding)


def point(home: Path, alias: str, digest: str) -> bool:
    """Make the link `.brewslm/promoted/<alias>` name the promoted folder, of which every byte is
    checked right before; return whether it moved.

    Raises: ArtifactError when the folder does not hold what was promoted; the link stays.
    """
    link = make_private_folder(home / PROMOTED) / alias
    if _is_named(home, alias, digest):
        return False
    with verified_folder(model_folder(home, digest), digest):
        if link.exists() and not link.is_symlink():
            move(link, temporary_name(link, "found"))
        replace_link(link, link_target(digest))
    return True


def _is_named(home: Path, alias: str, digest: str) -> bool:
    """Return whether the link of an alias names the model of a digest."""
    link = home / PROMOTED / alias
    return link.is_symlink() and link.readlink() == link_target(digest)


def unpoint(home: Path, alias: str) -> None:
    """Remove the link of an alias whose deployment was deleted."""
    link = home / PROMOTED / alias
    if link.is_symlink():
        with durable(Step.REMOVE, link):
            link.unlink()
        sync_folder(link.parent)


def _promoted_digest(record: ResourceRecord | None) -> str | None:
    promoted = record.outputs.get("promoted") if record else None
    return promoted.digest if promoted else None
