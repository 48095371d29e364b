"""Whether the work of a plan stays within the limits that the workflow sets for one apply."""

from collections.abc import Iterable, Iterator
from decimal import ROUND_CEILING, Decimal

from brewslm.address import Address
from brewslm.contracts import Work
from brewslm.diagnostics import FindingCode
from brewslm.plan import price
from brewslm.plan.action import Action
from brewslm.plan.findings import Findings
from brewslm.stages.kinds import KINDS
from brewslm.stages.workflow import BudgetSettings, WorkflowSpec

_WORKFLOW = Address("workflow")
_CUTS = "lower num_epochs or max_steps, evaluate fewer rows, or name a smaller base_model"


def check_budget(
    workflow: WorkflowSpec, actions: Iterable[Action], findings: Findings, *, has_accelerator: bool
) -> None:
    """Report an estimate above a limit; where the time is unknown there is nothing to compare."""
    work = [item for item in actions if item.is_work and item.reuse is None]
    for name, limit, found in _spent(workflow.budget_settings, work, has_accelerator):
        if found > limit:
            findings.report(
                FindingCode.BUDGET_EXCEEDED,
                _WORKFLOW,
                f"budget_settings.{name}",
                f"the estimate is above {name}",
                f"write {name}: {_rounded_up(found):g}, or {_CUTS}",
                found=f"{_rounded_up(found):g}",
                expected=f"at most {limit:g}",
            )


def _rounded_up(value: float) -> float:
    """Return a value of three digits that is no less, so that it is a limit that holds."""
    exact = Decimal(str(value))
    return float(exact.quantize(Decimal(1).scaleb(exact.adjusted() - 2), ROUND_CEILING))


def _spent(
    budget: BudgetSettings, work: list[Action], has_accelerator: bool
) -> Iterator[tuple[str, float, float]]:
    """Yield each limit with its name and with what the work is expected to take of it."""
    wall_s = price.total([item.estimate for item in work]).wall_s.value
    if budget.max_minutes is not None and wall_s is not None:
        yield "max_minutes", budget.max_minutes, wall_s / 60
    if budget.max_gpu_hours is None or not has_accelerator:
        return
    loading = [item.estimate for item in work if KINDS[item.target].work is Work.DOOR]
    accelerator_s = price.total(loading).wall_s.value
    if accelerator_s is not None:
        yield "max_gpu_hours", budget.max_gpu_hours, accelerator_s / 3600
