"""Resources that left the manifest: they are deleted as shown, within a budget."""

from collections.abc import Collection, Mapping

from brewslm.address import Address
from brewslm.contracts import Operation, Work
from brewslm.diagnostics import FindingCode
from brewslm.plan.action import Action, Price, snapshot
from brewslm.plan.findings import Findings
from brewslm.stages.kinds import KINDS
from brewslm.state.records import ResourceRecord

_DEFAULT_BUDGET = 3


def delete_actions(
    records: Mapping[str, ResourceRecord],
    wanted: Collection[Address],
    max_deletes: int,
    findings: Findings,
) -> list[Action]:
    """Return one action for each resource that is recorded and not wanted, in reverse order."""
    gone = [record for address, record in records.items() if Address.parse(address) not in wanted]
    if not gone:
        return []
    _check_protection(gone, records.get("workflow"), findings)
    _check_budget(gone, max_deletes, findings)
    return [
        Action(
            address=record.address,
            target=record.kind,
            name=Address.parse(record.address).name,
            operation=Operation.DELETE,
            category=KINDS[record.kind].category,
            reason="removed_from_manifest",
            before=snapshot(record.spec, record.outputs),
            estimate=Price.free(),
        )
        for record in sorted(gone, key=lambda item: item.address, reverse=True)
    ]


def _check_protection(
    gone: list[ResourceRecord], workflow: ResourceRecord | None, findings: Findings
) -> None:
    if workflow is None or not workflow.spec.get("protect"):
        return
    findings.report(
        FindingCode.PROTECTED,
        Address("workflow"),
        "protect",
        f"{len(gone)} resources left the manifest of a protected project",
        "apply protect: false by itself first",
    )


def _check_budget(gone: list[ResourceRecord], max_deletes: int, findings: Findings) -> None:
    has_work = [item for item in gone if KINDS[item.kind].work is not Work.RECORD]
    promotes = any(item.kind == "deployment" and item.outputs for item in gone)
    if len(has_work) <= max_deletes and not (promotes and max_deletes <= _DEFAULT_BUDGET):
        return
    findings.report(
        FindingCode.DELETE_BUDGET_EXCEEDED,
        Address.parse(gone[0].address),
        "",
        f"{len(gone)} resources would be deleted",
        f"brewslm plan --max-deletes {max(len(gone), _DEFAULT_BUDGET + 1)}",
        found=", ".join(item.address for item in gone[:8]),
        expected=f"at most {max_deletes}, and nothing promoted",
    )
