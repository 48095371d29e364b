"""The state as another machine pulled it, for a plan that opens no store."""

from contextlib import closing
from pathlib import Path

from brewslm.cli.session import Session
from brewslm.errors import StalePlanError, StateError
from brewslm.files import PathError, read_named
from brewslm.state.portable import open_pulled
from brewslm.state.store import StateReader

MAX_SNAPSHOT_BYTES = 64 << 20
_REMEDY = "pull the state of this project again: brewslm state pull --out FILE"


def read_snapshot(session: Session, path: Path, *, is_untrusted: bool) -> StateReader:
    """Return a reader of the state that a file holds.

    is_untrusted: whether the state beside the manifest is a stranger's, and says nothing.

    Raises: StateError for a file that is no pulled state, StateVersionError for one of a newer
    program, StalePlanError for the state of another project.
    """
    try:
        data = read_named(path, MAX_SNAPSHOT_BYTES)
    except PathError as error:
        raise StateError(
            error.message,
            code="unreadable",
            found=error.found,
            expected="a document that brewslm state pull wrote",
            remedy=_REMEDY,
        ) from error
    state = open_pulled(data, session.state_schema)
    lineage, own = state.meta().lineage, "" if is_untrusted else _own_lineage(session)
    if own not in ("", lineage):
        raise StalePlanError(
            "the snapshot belongs to another project",
            code="plan_lineage_mismatch",
            found=f"lineage {lineage or 'none yet'}",
            expected=f"lineage {own}",
            remedy=_REMEDY,
        )
    return state


def _own_lineage(session: Session) -> str:
    """Return the lineage of the state that lies beside the manifest, empty without one."""
    store = session.own_store()
    if not store.exists():
        return ""
    with closing(store.read()) as reader:
        return reader.meta().lineage
