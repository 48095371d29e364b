"""Asking for approval, and who stands behind a command that writes."""

import sys
import uuid

from brewslm.apply.executor import ApplyFacts
from brewslm.cli.provenance import actor_of, git_commit
from brewslm.cli.session import Session
from brewslm.errors import ApplyError


def approved(session: Session, remedy: str) -> bool:
    """Ask on the terminal and return whether the answer was yes; anything else does nothing.

    remedy: the command that needs no answer. Raises: ApplyError with approval_missing where nobody
    can be asked.
    """
    if not sys.stdin.isatty():
        raise ApplyError(
            "nobody can be asked here, so nothing was done",
            code="approval_missing",
            found="no terminal",
            expected="an approval",
            remedy=remedy,
        )
    session.err.write('\nDo you want to do this? Only "yes" is taken for approval: ')
    session.err.flush()
    is_granted = sys.stdin.readline().strip() == "yes"
    if not is_granted:
        session.say("Nothing was done.")
    return is_granted


def standing(session: Session) -> ApplyFacts:
    """Return who calls, and at which commit."""
    return ApplyFacts(
        apply_id=uuid.uuid4().hex,
        actor=actor_of(session.environment),
        git_commit=git_commit(session.root) or "",
    )
