"""Whose bytes a shared artifact store holds: every state that leads there is named in it.

The marker is left before anything is kept, and looked for after bytes went into the trash and
before they are deleted. So whoever finds bytes there that may go is seen in time.
"""

from brewslm.artifacts.store import ArtifactReader, ArtifactStore
from brewslm.errors import RefusedError
from brewslm.state.store import StateSession


def mark_own(artifacts: ArtifactStore, session: StateSession) -> None:
    """Leave the marker of this state in a store that others may lead to as well.

    Raises: LeaseLostError.
    """
    if artifacts.is_shared:
        with session.holding():
            artifacts.mark_lineage(session.meta().lineage)


def check_alone(artifacts: ArtifactReader, lineage: str) -> None:
    """Refuse to delete what states that are not read here may lead to.

    Raises: RefusedError with delete_refused.
    """
    others = (
        [item for item in artifacts.lineages() if item != lineage] if artifacts.is_shared else []
    )
    if others:
        raise RefusedError(
            "other projects keep artifacts in the same store, so nobody knows what they need",
            code="delete_refused",
            found=f"lineage {', '.join(others)}",
            expected=f"lineage {lineage} alone",
            remedy="give every project a prefix of its own in backend.artifacts, or delete by the "
            "lifecycle rules of the store",
        )
