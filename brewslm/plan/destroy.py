"""Destroying a project as a plan: every record is deleted, the newest consumers first.

Nothing of the manifest is read: a project can be given up while its manifest is broken.
"""

from brewslm.plan.action import Price
from brewslm.plan.deletes import deletes_of, is_protected, protected_error
from brewslm.plan.plan import Plan
from brewslm.plan.recorded import recorded_plan
from brewslm.state.store import StateReader


def plan_destroy(state: StateReader, git_commit: str | None) -> Plan:
    """Return the plan that forgets everything; kept bytes and the user's files stay.

    Raises: RefusedError with PROTECTED, by the recorded protection.
    """
    records = state.resources()
    if records and is_protected(records):
        raise protected_error("destroy")
    newest = next(iter(state.revisions(limit=1)), None)
    price = Price.free("records are forgotten; kept bytes stay until brewslm gc")
    deletes = deletes_of(records.values(), "destroy_requested")
    return recorded_plan(state, "destroy", deletes, newest, git_commit, price)
