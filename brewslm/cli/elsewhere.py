"""Planning where the project's stores are not: with a pulled state or none, and for a stranger's
change of the commit alone.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

from msgspec import Struct

from brewslm.artifacts.store import ArtifactReader, Produced
from brewslm.artifacts.unseen import UnseenArtifacts
from brewslm.cli.session import Session
from brewslm.cli.snapshot import read_snapshot
from brewslm.cli.tracked import Tracked, tracked_copy
from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.errors import StateError
from brewslm.state.empty import EmptyState
from brewslm.state.store import StateReader


class Looked(Struct, frozen=True):
    """What such a plan is made of, and what it has to say about that."""

    session: Session
    state: StateReader
    artifacts: ArtifactReader
    findings: tuple[Finding, ...]

    @property
    def is_state_known(self) -> bool:
        """Whether there is a state that the plan could be applied to."""
        return bool(self.state.meta().lineage)


@contextmanager
def looked(session: Session, snapshot: Path | None, *, is_untrusted: bool) -> Iterator[Looked]:
    """Lend the project as it may be read, and the state that stands for its own.

    Raises: ManifestError, FindingsError, PlanError, StateError, StalePlanError.
    """
    state: StateReader = EmptyState()
    if snapshot is not None:
        state = read_snapshot(session, snapshot, is_untrusted=is_untrusted)
    own = nullcontext(Tracked(session, ()))
    artifacts = UnseenArtifacts(_produced(state))
    with tracked_copy(session) if is_untrusted else own as tracked:
        findings = (*tracked.findings, _unseen(state))
        with _told_as_damage(snapshot):
            yield Looked(tracked.session, state, artifacts, findings)


@contextmanager
def _told_as_damage(snapshot: Path | None) -> Iterator[None]:
    """Refuse a pulled state whose records hold documents that no apply leaves in them.

    The state never interprets them, so it is the plan that stumbles over them.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        if snapshot is None:
            raise
        raise StateError(
            "the pulled state cannot be trusted",
            code="state_corrupt",
            found=f"a record that cannot be read ({type(error).__name__})",
            expected="a document that brewslm state pull wrote",
            remedy="pull the state again: brewslm state pull --out FILE",
        ) from error


def _produced(state: StateReader) -> Iterator[Produced]:
    """Return what the work behind the records is known to have yielded, pieces included."""
    for record in state.resources().values():
        yield Produced(record.fingerprint, record.kind, record.facts, dict(record.outputs))
        for name, part in record.parts.items():
            outputs = {
                key: output
                for key, output in record.outputs.items()
                if key == name or (name == "metrics" and key.startswith("scores."))
            }
            if outputs and isinstance(part, Mapping) and isinstance(part.get("fingerprint"), str):
                yield Produced(part["fingerprint"], name.partition(".")[0], {"part": name}, outputs)


def _unseen(state: StateReader) -> Finding:
    """Return the note on what was not looked at."""
    is_known = bool(state.meta().lineage)
    return Finding(
        code=FindingCode.REFRESH_SKIPPED,
        severity=Severity.INFO if is_known else Severity.WARNING,
        message=(
            "kept bytes were not looked at: what the state names counts as there"
            if is_known
            else "no state was read: everything counts as new, and this plan can't be applied"
        ),
        actionable_fix=(
            "brewslm plan, on the machine that applies"
            if is_known
            else "brewslm state pull --out FILE there, then: brewslm plan --state-snapshot FILE"
        ),
        address="project",
    )
