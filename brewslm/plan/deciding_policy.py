"""Everything beside the gates that decides a verdict: recorded with it, and compared as a whole.

A key that is added here is compared without further code: whatever is not known to be stricter
counts as weaker.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from brewslm.contracts import spec_values
from brewslm.errors import BrewError
from brewslm.fingerprint import digest_value
from brewslm.stages.eval_pack import EvalPackContentSpec, EvalPackSpec
from brewslm.stages.workflow import WorkflowSpec
from brewslm.state.records import ResourceRecord
from brewslm.tasks.builtin_packs import builtin_pack
from brewslm.tasks.packs import Pack, pack_from
from brewslm.tasks.task import TASKS

_OWN_LEAVE = "allow_weakening"
"""Asked of the record by itself: it says whether any of this may change."""


def pack_of(spec: EvalPackSpec) -> Pack | None:
    """Return the pack whose gates apply: the content of its file, or a built-in one.

    Raises: PackError for an id that is not built in.
    """
    if isinstance(spec, EvalPackContentSpec) and spec.pack is not None:
        return pack_from(spec.pack).pack
    return builtin_pack(spec.pack_id) if spec.pack_id is not None else None


def deciding_policy(
    spec: EvalPackSpec, pack: Pack | None, profile: str | None, contract: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what an eval_pack says beside its gates.

    profile: None where only rows tell the task; the pack then counts by its content. contract: of
    the data; only what is written there, not what rows add.
    Raises: PackError when the pack has nothing for the profile.
    """
    policy: dict[str, Any] = {
        "compare_to": spec.compare_to,
        "pack_id": pack.pack_id if pack else None,
        "epochs": spec.epochs,
        "seeds": list(spec.seeds),
        "generation": {
            name: value
            for name, value in spec_values(spec.generation).items()
            if name != "batch_size"
        },
        "contract": {
            name: digest_value(value) if isinstance(value, Mapping) else value
            for name, value in contract.items()
            if name in ("json_schema", "allowed_labels", "required_fields")
        },
    }
    if profile is None:
        return policy | ({"pack": digest_value(pack.model_dump(mode="json"))} if pack else {})
    said = pack.spec_for(profile) if pack else None
    options = said.options.model_dump(mode="json") if said else {}
    return policy | {
        "required_metrics": list(said.required_metric_ids) if said else [],
        "options": options | {"normaliser": options.get("normaliser") or _normaliser_of(profile)},
    }


def workflow_policy(workflow: WorkflowSpec) -> dict[str, Any]:
    """Return what a workflow says about verdicts and promotion."""
    policy = spec_values(workflow.gate_policy)
    return {name: value for name, value in policy.items() if name != _OWN_LEAVE}


def recorded_policy(
    evaluation: ResourceRecord, workflow: ResourceRecord | None, profile: str
) -> dict[str, Any]:
    """Return the policy that was last applied; what an older program did not record of it is read
    from the recorded specs, and what is not there either is left out.
    """
    recorded: dict[str, Any] = dict(evaluation.values["contract_of_gates"]["policy"])
    try:
        spec = EvalPackContentSpec.model_validate(evaluation.spec, strict=False)
        told = deciding_policy(spec, pack_of(spec), profile, {})
        del told["contract"]
    except (ValidationError, BrewError):
        told = {}
    return told | recorded | _recorded_workflow(workflow)


def _recorded_workflow(record: ResourceRecord | None) -> dict[str, Any]:
    try:
        return (
            workflow_policy(WorkflowSpec.model_validate(record.spec, strict=False))
            if record
            else {}
        )
    except ValidationError:
        return {}


def _normaliser_of(profile: str) -> str | None:
    return TASKS.load(profile).normaliser if profile in TASKS.names() else None
