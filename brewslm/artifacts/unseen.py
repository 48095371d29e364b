"""Artifacts of another machine, which a plan knows by their digests alone."""

from collections.abc import Iterable

from brewslm.artifacts.store import Produced, Stored
from brewslm.contracts import Output
from brewslm.errors import ArtifactError


class UnseenArtifacts:
    """A reader that takes what is recorded to be there, and can show nothing of it."""

    is_shared = False

    def __init__(self, produced: Iterable[Produced] = ()) -> None:
        """produced: what is known to have been yielded there."""
        self._produced = {item.fingerprint: item for item in produced}

    def is_present(self, output: Output) -> bool:  # noqa: ARG002  the protocol's signature
        """Return that it is there, as recorded."""
        return True

    def verify(self, output: Output) -> None:
        """Find nothing wrong, since nothing is looked at."""

    def read_bytes(self, digest: str) -> bytes:
        """Have no bytes. Raises: ArtifactError."""
        raise _elsewhere(digest)

    def listing(self, digest: str) -> dict[str, Output]:
        """Have no listing. Raises: ArtifactError."""
        raise _elsewhere(digest)

    def find_produced(self, fingerprint: str) -> Produced | None:
        """Return what the fingerprint is known to have yielded."""
        return self._produced.get(fingerprint)

    def all_produced(self, kind: str) -> list[Produced]:
        """Return everything known about a kind, sorted by fingerprint."""
        return [item for _, item in sorted(self._produced.items()) if item.kind == kind]

    def stored(self) -> list[Stored]:
        """Know of no object."""
        return []

    def lineages(self) -> list[str]:
        """Know of no marker."""
        return []


def _elsewhere(digest: str) -> ArtifactError:
    return ArtifactError(
        "kept bytes are not looked at here",
        code="artifact_missing",
        found=digest,
        expected="the store of the machine that applies",
        remedy="plan there",
    )
