"""Build the plan: what is known, the walk over the resources, and the value that comes of it.

The walk is the same for every kind. What differs comes from the kind's declaration: whether its
outputs are read off files while planning, made by a door, or a pointer that moves.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from brewslm import __version__
from brewslm.address import Address
from brewslm.artifacts.store import ArtifactReader
from brewslm.contracts import Spec
from brewslm.diagnostics import FindingCode, Severity
from brewslm.manifest.project import Manifest
from brewslm.plan import price
from brewslm.plan.action import Action
from brewslm.plan.base_model import BaseModel
from brewslm.plan.budget import check_budget
from brewslm.plan.deletes import delete_actions
from brewslm.plan.findings import Findings
from brewslm.plan.graph import ordered
from brewslm.plan.known import Known
from brewslm.plan.moves import renamed
from brewslm.plan.observation import observe
from brewslm.plan.options import PlanOptions
from brewslm.plan.plan import REFRESH_ONLY, Plan, ProjectFacts
from brewslm.plan.selection import Selected, left_out, partial_words
from brewslm.plan.walk import Walk, unchanged
from brewslm.stages.kinds import KINDS
from brewslm.stages.workflow import WorkflowSpec
from brewslm.state.records import ResourceRecord
from brewslm.state.store import StateReader

__all__ = ["Built", "PlanOptions", "build", "build_plan"]


class Built(Struct):
    """A plan, and what was found on the way that apply needs."""

    plan: Plan
    specs: dict[Address, Spec]
    base: BaseModel | None
    prepared_folder: Path | None
    """The prepared rows, when this plan made them."""


def build_plan(
    manifest: Manifest, state: StateReader, artifacts: ArtifactReader, options: PlanOptions
) -> Plan:
    """Return the plan of a project."""
    return build(manifest, state, artifacts, options).plan


def build(
    manifest: Manifest, state: StateReader, artifacts: ArtifactReader, options: PlanOptions
) -> Built:
    """Return the plan of a project with what apply needs beside it."""
    findings = Findings(manifest, manifest.findings)
    records = state.resources()
    selected = Selected.of(options.selection, manifest.specs(), records)
    known = observe(manifest, records, artifacts, options, findings)
    records = renamed(records, known.moves)
    walk = Walk(known, records, state, artifacts, options, findings)
    actions = _actions(walk, selected, known, records, options, findings)
    workflow = known.specs.get(Address("workflow"))
    if isinstance(workflow, WorkflowSpec):
        check_budget(workflow, actions, findings, has_accelerator=options.device.has_cuda)
    meta = state.meta()
    plan = Plan(
        tool_version=__version__,
        options=_told_options(options),
        project=ProjectFacts(name=manifest.name, lineage=meta.lineage, serial=meta.serial),
        effective_manifest=manifest.effective,
        mode=REFRESH_ONLY if options.is_refresh_only else "normal",
        manifest_digest=manifest.digest,
        git_commit=options.git_commit,
        stage_versions={name: kind.version for name, kind in KINDS.items()},
        is_complete=selected.is_complete,
        is_applyable=not findings.has_errors,
        targets=options.selection.targets,
        excludes=options.selection.excludes,
        inputs=tuple(sorted(known.inputs, key=lambda item: (item.address, item.path))),
        actions=tuple(actions),
        drift=tuple(sorted(walk.drift, key=lambda item: (item.address, item.path))),
        findings=tuple(item.to_json() for item in findings.sorted()),
        gate_changes=walk.gate_changes,
        held_back=walk.held_back,
        estimate=price.total([item.estimate for item in actions if item.is_work]),
    ).sealed()
    return Built(plan, known.specs, known.base, known.prepared_folder)


def _told_options(options: PlanOptions) -> dict[str, Any]:
    told: dict[str, Any] = {"refresh": options.refresh, "max_deletes": options.max_deletes}
    if options.wanted_device != "auto":
        told["device"] = options.wanted_device
    if options.selection.replaces:
        told["replace"] = list(options.selection.replaces)
    return told


def _actions(
    walk: Walk,
    selected: Selected,
    known: Known,
    records: Mapping[str, ResourceRecord],
    options: PlanOptions,
    findings: Findings,
) -> list[Action]:
    order = ordered(known.specs)
    if options.is_refresh_only:
        return [walk.checked(address) for address in order if str(address) in records]
    walk.replaced = selected.replaced
    actions = [walk.action(address) for address in order]
    kept = {*known.specs, *selected.left_out}
    deletes = delete_actions(records, kept, options.max_deletes, findings)
    spared = [
        unchanged(records[str(address)], "not_targeted")
        for address in sorted(selected.left_out - known.specs.keys())
        if str(address) in records
    ]
    pending = [
        item for item in actions if item.is_work and item.parsed_address in selected.left_out
    ]
    if pending or spared:
        _note_partial([*pending, *spared], findings)
        actions = [left_out(item) if item in pending else item for item in actions]
        walk.leave_drift({item.address for item in pending})
    walk.refuse_other_base(actions)
    return actions + spared + deletes


def _note_partial(pending: Sequence[Action], findings: Findings) -> None:
    findings.report(
        FindingCode.PARTIAL_PLAN,
        Address("project"),
        "",
        partial_words(pending),
        "brewslm plan without --target and --exclude shows all of it",
        severity=Severity.WARNING,
    )
