"""The price of one action after the other: which formula applies, which past runs it rests on, and
who pays for the worker's start.
"""

from brewslm.address import Address
from brewslm.contracts import Work
from brewslm.plan import price
from brewslm.plan.action import Estimate, Price, Reuse
from brewslm.plan.base_model import BaseModel
from brewslm.plan.comparison import Draft
from brewslm.plan.device import WORKER_START_S, Device
from brewslm.plan.judging import Judgement
from brewslm.plan.known import Known
from brewslm.plan.work import on_host
from brewslm.stages.eval_pack import EvalPackSpec
from brewslm.stages.training_plan import TrainingPlanSpec
from brewslm.state.store import StateReader

_TRAINING = Address("training_plan")
_RECENT = 20
"""Newest journal entries of a kind that an estimate looks at."""


class Pricing:
    """Prices the actions of a plan in order."""

    def __init__(self, known: Known, state: StateReader, device: Device) -> None:
        self._known = known
        self._state = state
        self._device = device
        self._is_worker_started = False

    def price_of(self, draft: Draft, reuse: Reuse | None, judgement: Judgement | None) -> Price:
        """Return what an action costs; what is reused, recorded or pointed at costs nothing."""
        if reuse is not None or draft.kind.work in (Work.RECORD, Work.POINTER):
            return Price.free()
        if draft.kind.work is Work.OBSERVED:
            return self._observed(draft)
        if self._known.base is None:
            return _unknown("the base model's files are not here")
        if not self._known.prepared:
            return _unknown("not every row could be read")
        priced = self._door(draft, judgement, self._basis(draft, self._known.base))
        self._is_worker_started |= bool(priced.wall_s.value)
        return priced

    def _observed(self, draft: Draft) -> Price:
        free = Price.free("read while planning")
        prepared = self._known.outputs.get(draft.address, {}).get("prepared")
        if prepared is None:
            return free
        return free.model_copy(update={"disk_bytes": Estimate.exact(prepared.size_bytes)})

    def _door(self, draft: Draft, judgement: Judgement | None, basis: price.Basis) -> Price:
        match draft.spec:
            case TrainingPlanSpec(config=config):
                return price.training_price(on_host(config, draft.wanted.host), basis)
            case EvalPackSpec() as spec if judgement is not None:
                return price.evaluation_price(
                    spec,
                    judgement.rows_to_generate,
                    basis,
                    is_scored="metrics" in judgement.known,
                )
            case _ if draft.kind.name == "export":
                training = self._known.outputs.get(_TRAINING, {}).get("lora_adapter")
                size_bytes = float(training.size_bytes) if training else 1e6
                return price.export_price(draft.address.name, size_bytes, basis)
        return _unknown("the evaluation can't be told yet")

    def _basis(self, draft: Draft, base: BaseModel) -> price.Basis:
        past = self._state.operations(kind=draft.kind.name, limit=_RECENT)
        return price.Basis(
            base=base,
            prepared=self._known.prepared,
            device=self._device,
            past=[item for item in past if item.address == str(draft.address)],
            start_s=0.0 if self._is_worker_started else WORKER_START_S,
        )


def _unknown(basis: str) -> Price:
    missing = Estimate(basis=basis)
    return Price(wall_s=missing, memory_bytes=missing, disk_bytes=missing)
