"""Destroying a project as a plan: every record is deleted, the newest consumers first.

Nothing of the manifest is read: a project can be given up while its manifest is broken.
"""

from brewslm import __version__
from brewslm.plan.action import Price
from brewslm.plan.deletes import deletes_of, is_protected, protected_error
from brewslm.plan.plan import Plan, ProjectFacts
from brewslm.state.store import StateReader


def plan_destroy(state: StateReader, git_commit: str | None) -> Plan:
    """Return the plan that forgets everything; kept bytes and the user's files stay.

    Raises: RefusedError with PROTECTED, by the recorded protection.
    """
    records, meta = state.resources(), state.meta()
    if records and is_protected(records):
        raise protected_error("destroy")
    project = records.get("project")
    newest = next(iter(state.revisions(limit=1)), None)
    return Plan(
        tool_version=__version__,
        project=ProjectFacts(
            name=str(project.spec.get("name", "")) if project else "",
            lineage=meta.lineage,
            serial=meta.serial,
        ),
        mode="destroy",
        effective_manifest=newest.effective_manifest if newest else {},
        manifest_digest=newest.manifest_digest if newest else "",
        git_commit=git_commit,
        actions=tuple(deletes_of(records.values(), "destroy_requested")),
        estimate=Price.free("records are forgotten; kept bytes stay until brewslm gc"),
    ).sealed()
