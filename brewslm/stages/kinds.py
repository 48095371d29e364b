"""All kinds by name, in the order in which resources flow."""

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
