"""All kinds by name, in the order in which resources flow."""

from functools import cache
from typing import Any

from pydantic_core import to_jsonable_python

from brewslm.contracts import Kind
from brewslm.stages import (
    adapter,
    blueprint,
    data_source,
    dataset,
    deployment,
    domain,
    eval_pack,
    export,
    model,
    project,
    training_plan,
    workflow,
)

KINDS: dict[str, Kind] = {
    module.KIND.name: module.KIND
    for module in (
        project,
        workflow,
        blueprint,
        domain,
        model,
        data_source,
        adapter,
        dataset,
        training_plan,
        eval_pack,
        export,
        deployment,
    )
}


@cache
def default_values(kind: str) -> dict[str, Any]:
    """Return the defaults of a kind's spec as JSON values by dotted path; lists are leaves."""
    fields = KINDS[kind].spec.model_fields if kind in KINDS else {}
    found = {
        name: to_jsonable_python(field.get_default(call_default_factory=True))
        for name, field in fields.items()
        if not field.is_required()
    }
    return _leaves(found, "")


def _leaves(values: Any, path: str) -> dict[str, Any]:
    if not isinstance(values, dict) or not values:
        return {path: values}
    leaves: dict[str, Any] = {}
    for name, value in values.items():
        leaves |= _leaves(value, f"{path}.{name}" if path else name)
    return leaves
