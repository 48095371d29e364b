"""What a change does beside another commit: resources, fields, bytes of sources, gates.

Both sides are manifests and digests; nothing is known of the other commit but what its files say.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from brewslm.address import Address
from brewslm.contracts import Spec, spec_values
from brewslm.diagnostics import Finding, FindingCode, Severity, sorted_findings
from brewslm.errors import BrewError
from brewslm.manifest.project import Manifest
from brewslm.plan.action import GateChange
from brewslm.plan.deciding_policy import deciding_policy, pack_of, workflow_policy
from brewslm.plan.diff import changed_paths, value_at
from brewslm.plan.eval_rows import eval_row_changes
from brewslm.plan.gold_sources import RowIds
from brewslm.plan.plan import Plan
from brewslm.rows.dataset import DatasetSpec
from brewslm.rows.mapper import DEFAULT_MAPPER_ID, MAPPERS
from brewslm.stages.adapter import AdapterSpec
from brewslm.stages.data_source import DataSourceSpec, source_path
from brewslm.stages.eval_pack import EvalPackSpec
from brewslm.stages.workflow import WorkflowSpec
from brewslm.tasks.gate import Gate
from brewslm.tasks.packs import gates_of
from brewslm.tasks.weakening import weakenings

_EVAL_PACK = Address("eval_pack")
_WORKFLOW = Address("workflow")


class Base(Struct, frozen=True):
    """The commit that a change is compared with."""

    ref: str
    commit: str
    manifest: Manifest | None
    """None where that commit has no manifest, or one with errors."""
    digests: Mapping[str, str]
    """Digest of each local source of either side by its path, as that commit holds it."""
    gold_before: RowIds | None = None
    """Ids of the gold rows of that commit; None where they are the same files, or unreadable."""
    gold_after: RowIds | None = None


def with_base(plan: Plan, manifest: Manifest, base: Base) -> Plan:
    """Return a plan that also says what the change does beside another commit.

    Without a state it can't be applied: it says what changes, and not what there is to do.
    """
    before = base.manifest.specs() if base.manifest else {}
    gates: tuple[GateChange, ...] = ()
    if before:
        specs, digests = manifest.specs(), _digests_of(plan)
        ids = base.gold_before, base.gold_after
        rows = eval_row_changes(before, base.digests, specs, digests, *ids)
        gates = (*_gate_changes(before, specs), *rows)
    known = {(change.kind, change.path) for change in plan.gate_changes}
    weakened = [change for change in gates if change.weakened]
    allowed = _allows(before) and (not plan.project.lineage or _is_recorded_leave(plan))
    refused = [_refusal(item, base) for item in weakened if (item.kind, item.path) not in known]
    findings = [*plan.finding_values, *([] if allowed else refused)]
    against = {
        "ref": base.ref,
        "commit": base.commit,
        "has_manifest": base.manifest is not None,
        "changes": list(_changes(before, manifest.specs(), base.digests, _digests_of(plan))),
        "gate_changes": [change.model_dump(mode="json") for change in gates],
    }
    has_errors = any(finding.severity is Severity.ERROR for finding in findings)
    return plan.model_copy(
        update={
            "against": against,
            "findings": tuple(finding.to_json() for finding in sorted_findings(findings)),
            "is_applyable": bool(plan.project.lineage) and not has_errors,
        }
    ).sealed()


def _changes(
    before: Mapping[Address, Spec],
    after: Mapping[Address, Spec],
    digests_before: Mapping[str, str],
    digests_after: Mapping[str, str],
) -> Iterator[dict[str, Any]]:
    for address in sorted(before.keys() | after.keys()):
        old, new = before.get(address), after.get(address)
        if old is None or new is None:
            operation = "create" if old is None else "delete"
            yield {"address": str(address), "operation": operation, "fields": [], "content": None}
            continue
        was, will = spec_values(old), spec_values(new)
        fields = [
            {"path": path, "before": value_at(was, path), "after": value_at(will, path)}
            for path in changed_paths(was, will)
        ]
        content = _content(new, digests_before, digests_after)
        if fields or content:
            yield {
                "address": str(address),
                "operation": "update",
                "fields": fields,
                "content": content,
            }


def _content(
    spec: Spec, before: Mapping[str, str], after: Mapping[str, str]
) -> dict[str, Any] | None:
    """Return how the bytes of a source differ, None where they are the same or not known."""
    path = source_path(spec) if isinstance(spec, DataSourceSpec) else ""
    if not path or before.get(path) == after.get(path) or path not in after:
        return None
    return {"path": path, "before": before.get(path), "after": after[path]}


def _digests_of(plan: Plan) -> dict[str, str]:
    return {item.path: item.digest for item in plan.inputs}


def _gate_changes(
    before: Mapping[Address, Spec], after: Mapping[Address, Spec]
) -> Iterator[GateChange]:
    changes = weakenings(gates_in(before), _policy(before), gates_in(after), _policy(after))
    for item in changes:
        yield GateChange(
            kind=item.kind,
            address=str(_EVAL_PACK),
            path=item.path,
            before=item.before,
            after=item.after,
            weakened=item.weakened,
        )
    if _is_protected(before) and not _is_protected(after):
        yield GateChange(
            kind="protection_removed",
            address=str(_WORKFLOW),
            path="protect",
            before=True,
            after=False,
            weakened=True,
        )


def gates_in(specs: Mapping[Address, Spec]) -> tuple[Gate, ...]:
    """Return the gates of a manifest; those of a pack as far as the task is known without rows."""
    spec = specs.get(_EVAL_PACK)
    if not isinstance(spec, EvalPackSpec):
        return ()
    profile = profile_in(specs)
    try:
        return gates_of(pack_of(spec) if profile else None, profile or "", {}, spec.gates)
    except BrewError:
        return spec.gates


def profile_in(specs: Mapping[Address, Spec]) -> str | None:
    """Return the task of a manifest, None where only its rows tell."""
    dataset = specs.get(Address("dataset"))
    if isinstance(dataset, DatasetSpec) and dataset.task_profile:
        return dataset.task_profile
    adapters = [spec for spec in specs.values() if isinstance(spec, AdapterSpec)]
    profiles = {_profile_of(adapter) for adapter in adapters}
    return profiles.pop() if len(profiles) == 1 else None


def _profile_of(adapter: AdapterSpec) -> str | None:
    if adapter.task_profile is not None or adapter.base_adapter_id == DEFAULT_MAPPER_ID:
        return adapter.task_profile
    return MAPPERS.load(adapter.base_adapter_id).task_profile


def _policy(specs: Mapping[Address, Spec]) -> dict[str, Any]:
    workflow, pack = specs.get(_WORKFLOW), specs.get(_EVAL_PACK)
    policy: dict[str, Any] = {}
    if isinstance(pack, EvalPackSpec):
        try:
            policy |= deciding_policy(pack, pack_of(pack), profile_in(specs), _contract_in(specs))
        except BrewError:
            policy["pack_id"] = pack.pack_id
    if isinstance(workflow, WorkflowSpec):
        policy |= workflow_policy(workflow)
        policy["allow_weakening"] = workflow.gate_policy.allow_weakening
    return policy


def _contract_in(specs: Mapping[Address, Spec]) -> dict[str, Any]:
    dataset = specs.get(Address("dataset"))
    return spec_values(dataset.contract) if isinstance(dataset, DatasetSpec) else {}


def _is_protected(specs: Mapping[Address, Spec]) -> bool:
    workflow = specs.get(_WORKFLOW)
    return isinstance(workflow, WorkflowSpec) and bool(workflow.protect)


def _allows(specs: Mapping[Address, Spec]) -> bool:
    return bool(_policy(specs).get("allow_weakening"))


def _is_recorded_leave(plan: Plan) -> bool:
    """Return whether the state that the plan read allows weakening."""
    for action in plan.actions:
        if action.target == "workflow":
            recorded = (action.before or {}).get("spec") or {}
            return bool((recorded.get("gate_policy") or {}).get("allow_weakening"))
    return False


def _refusal(change: GateChange, base: Base) -> Finding:
    return Finding(
        code=FindingCode.GATE_WEAKENED,
        severity=Severity.ERROR,
        message=f"a gate is weaker than at {base.ref}: {change.kind.replace('_', ' ')}",
        actionable_fix="merge and apply gate_policy.allow_weakening: true by itself first",
        field=change.path,
        address=change.address,
        found=str(change.after),
        expected=str(change.before),
    )
