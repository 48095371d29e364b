"""Adopt a LoRA adapter that was trained elsewhere: keep its bytes, and remember them as what the
training that the manifest asks for yields. The next apply takes them over, judges them by the same
gates as any candidate, and trains nothing.
"""

from pathlib import Path
from typing import Any

from brewslm.apply.clock import Clock
from brewslm.apply.executor import ApplyFacts
from brewslm.apply.history import History
from brewslm.apply.lineages import mark_own
from brewslm.artifacts.store import ArtifactStore, Produced
from brewslm.contracts import Output
from brewslm.errors import ArtifactError
from brewslm.fingerprint import digest_folder
from brewslm.plan.action import Action
from brewslm.state.store import StateSession


def check_digest(folder: Path, digest: str) -> None:
    """Refuse a folder that is not the one that was meant.

    Raises: ArtifactError with artifact_corrupt.
    """
    try:
        found = digest_folder(folder)
    except ValueError as error:
        raise _other(str(error), digest) from error
    if found != digest:
        raise _other(found, digest)


def adopt(
    action: Action, folder: Path, digest: str, artifacts: ArtifactStore, session: StateSession
) -> Output:
    """Keep a folder as the LoRA adapter that a planned training yields; return it as kept.

    Raises: ArtifactError when it is not what its digest says, LeaseLostError.
    """
    if action.fingerprint is None or action.facts is None:
        raise ValueError(f"{action.address} has no fingerprint yet")
    mark_own(artifacts, session)
    kept = artifacts.put_folder(folder)
    if kept.digest != digest:
        raise _other(kept.digest, digest)
    values: dict[str, Any] = {"is_imported": True}
    produced = Produced(
        action.fingerprint, action.target, action.facts, {"lora_adapter": kept}, values
    )
    with session.holding():
        artifacts.record_produced(produced)
    return kept


def note_adopted(
    action: Action, kept: Output, session: StateSession, facts: ApplyFacts, clock: Clock
) -> None:
    """Tell an import in the history.

    Raises: LeaseLostError, StateError.
    """
    summary = f"state import {action.address} {kept.digest[:19]}"
    History(session, facts.apply_id, facts.actor, clock).add(
        "system", "info", "", summary, {"digest": kept.digest, "fingerprint": action.fingerprint}
    )


def _other(found: str, digest: str) -> ArtifactError:
    return ArtifactError(
        "the folder is not the one that its digest names",
        code="artifact_corrupt",
        found=found,
        expected=digest,
        remedy="compare both with where the adapter comes from",
    )
