"""The state of a project that was never applied."""

from brewslm.state.failure_clusters import FailureCluster
from brewslm.state.records import (
    SCHEMA_VERSION,
    DeploymentRecord,
    LeaseRecord,
    Meta,
    OperationRecord,
    ResourceRecord,
    RevisionRecord,
    RunEvent,
)


class EmptyState:
    """A state reader without content: no lineage yet, serial 0."""

    def meta(self) -> Meta:
        """Return an empty lineage."""
        return Meta(SCHEMA_VERSION, "", 0)

    def resources(self) -> dict[str, ResourceRecord]:
        """Return no record."""
        return {}

    def operations(
        self,
        *,
        only_open: bool = False,  # noqa: ARG002  the protocol's signature
        kind: str | None = None,  # noqa: ARG002
        limit: int | None = None,  # noqa: ARG002
    ) -> list[OperationRecord]:
        """Return no entry."""
        return []

    def lease(self) -> LeaseRecord | None:
        """Return that the lease is free."""
        return None

    def revisions(self, limit: int | None = None) -> list[RevisionRecord]:  # noqa: ARG002
        """Return no revision."""
        return []

    def deployments(self, alias: str | None = None) -> list[DeploymentRecord]:  # noqa: ARG002
        """Return no promotion."""
        return []

    def run_events(
        self,
        *,
        limit: int | None = None,  # noqa: ARG002
        stage: str | None = None,  # noqa: ARG002
        severity: str | None = None,  # noqa: ARG002
        reason_code: str | None = None,  # noqa: ARG002
        since: str | None = None,  # noqa: ARG002
    ) -> list[RunEvent]:
        """Return no event."""
        return []

    def failure_clusters(self) -> list[FailureCluster]:
        """Return no cluster."""
        return []

    def close(self) -> None:
        """End the look."""
