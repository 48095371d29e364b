"""The price of one action: which formula applies to its kind, and which past runs it rests on."""

from brewslm.address import Address
from brewslm.contracts import Work
from brewslm.plan import price
from brewslm.plan.action import Estimate, Price, Reuse
from brewslm.plan.comparison import Draft
from brewslm.plan.judging import Judgement
from brewslm.plan.known import Known
from brewslm.stages.training_plan import TrainingPlanSpec
from brewslm.state.store import StateReader

_TRAINING = Address("training_plan")


def price_of(
    draft: Draft,
    reuse: Reuse | None,
    known: Known,
    judgement: Judgement | None,
    state: StateReader,
) -> Price:
    """Return what an action costs; what is reused, recorded or pointed at costs nothing."""
    kind = draft.kind
    if reuse is not None or kind.work in (Work.RECORD, Work.POINTER):
        return Price.free()
    if kind.work is Work.OBSERVED:
        disk = known.outputs.get(draft.address, {}).get("prepared")
        free = Price.free("read while planning")
        if disk is None:
            return free
        return free.model_copy(update={"disk_bytes": Estimate.exact(disk.size_bytes)})
    past = state.operations(kind=kind.name, limit=20)
    past = [item for item in past if item.address == str(draft.address)]
    if isinstance(draft.spec, TrainingPlanSpec) and known.prepared:
        work = price.training_work(draft.spec.config, known.prepared)
        return price.training_price(draft.spec.config, work, known.base, past)
    if kind.name == "eval_pack" and judgement is not None:
        return price.evaluation_price(judgement.rows_to_generate, known.prepared, known.base, past)
    if kind.name == "export":
        training = known.outputs.get(_TRAINING, {}).get("lora_adapter")
        size_bytes = float(training.size_bytes) if training else 1e6
        return price.export_price(draft.address.name, known.base, size_bytes, past)
    return Price()
