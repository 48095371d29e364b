"""Whether a training run fits the memory of the device: what surely doesn't is refused, what might
not is told.
"""

from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.plan import memory
from brewslm.plan.action import Estimate
from brewslm.plan.comparison import Draft
from brewslm.plan.findings import Findings
from brewslm.plan.known import Known
from brewslm.plan.work import on_host
from brewslm.stages.training_plan import TrainingPlanSpec

_NOTHING_HELPS = "take a smaller base_model, or a device with more memory"
_MIB, _GIB = 1 << 20, 1 << 30


def check_fit(
    draft: Draft, peak: Estimate, known: Known, capacity_bytes: int | None, findings: Findings
) -> None:
    """Report a training run whose peak memory exceeds the capacity, or may exceed it.

    peak: as the action is priced; capacity_bytes: None when unknown.
    """
    if not isinstance(draft.spec, TrainingPlanSpec) or known.base is None:
        return
    if capacity_bytes is None or peak.low is None or peak.high is None:
        return
    if peak.high <= capacity_bytes:
        return
    config = on_host(draft.spec.config, draft.wanted.host)
    terms = memory.memory_terms(config, known.prepared, known.base)
    heaviest = sorted(terms.items(), key=lambda term: -term[1])
    changes = memory.remedies(config, known.prepared, known.base, capacity_bytes)
    is_certain = peak.low > capacity_bytes
    name = "config.batch_size"
    findings.add(
        [
            Finding(
                code=FindingCode.DOES_NOT_FIT,
                severity=Severity.ERROR if is_certain else Severity.WARNING,
                message=f"training {'needs' if is_certain else 'may need'} more memory than the "
                "device has",
                actionable_fix="write " + ", or ".join(changes) if changes else _NOTHING_HELPS,
                field=f"spec.training_plan.{name}",
                address=str(draft.address),
                place=draft.wanted.place(name),
                found=f"{_size(peak.low)} to {_size(peak.high)}: "
                + ", ".join(f"{term} {_size(size_bytes)}" for term, size_bytes in heaviest),
                expected=f"at most {_size(capacity_bytes)}",
            )
        ]
    )


def _size(size_bytes: float) -> str:
    if size_bytes < _GIB:
        return f"{size_bytes / _MIB:.0f} MiB"
    return f"{size_bytes / _GIB:.1f} GiB"
