"""Plans that nothing of the manifest is read for: they rest on what the state remembers."""

from collections.abc import Iterable
from typing import Literal

from brewslm import __version__
from brewslm.plan.action import Action, Price
from brewslm.plan.plan import Plan, ProjectFacts
from brewslm.state.records import RevisionRecord
from brewslm.state.store import StateReader


def recorded_plan(
    state: StateReader,
    mode: Literal["destroy", "rollback"],
    actions: Iterable[Action],
    revision: RevisionRecord | None,
    git_commit: str | None,
    price: Price,
) -> Plan:
    """Return the plan of a mode, with the manifest that a revision was applied from."""
    meta, project = state.meta(), state.resources().get("project")
    return Plan(
        tool_version=__version__,
        project=ProjectFacts(
            name=str(project.spec.get("name", "")) if project else "",
            lineage=meta.lineage,
            serial=meta.serial,
        ),
        mode=mode,
        effective_manifest=revision.effective_manifest if revision else {},
        manifest_digest=revision.manifest_digest if revision else "",
        git_commit=git_commit,
        actions=tuple(actions),
        estimate=price,
    ).sealed()
