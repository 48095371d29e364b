"""Resources that left the manifest: they are deleted as shown, within a budget."""

from collections.abc import Collection, Iterable, Mapping

from brewslm.address import Address
from brewslm.contracts import Operation, Work
from brewslm.diagnostics import FindingCode
from brewslm.errors import RefusedError
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
    _check_protection(gone, records, findings)
    if not _is_everything(gone, records, findings):
        _check_budget(gone, max_deletes, findings)
    return deletes_of(gone, "removed_from_manifest")


def deletes_of(gone: Iterable[ResourceRecord], reason: str) -> list[Action]:
    """Return the delete of each record, what consumes before what is consumed."""
    return [
        Action(
            address=record.address,
            target=record.kind,
            name=Address.parse(record.address).name,
            operation=Operation.DELETE,
            category=KINDS[record.kind].category,
            reason=reason,
            before=snapshot(record.spec, record.outputs),
            estimate=Price.free(),
        )
        for record in sorted(gone, key=_flow, reverse=True)
    ]


def is_protected(records: Mapping[str, ResourceRecord]) -> bool:
    """Return whether the recorded value protects the project from deletes."""
    workflow = records.get("workflow")
    return workflow is not None and bool(workflow.spec.get("protect"))


def protected_error(what: str) -> RefusedError:
    """Return the error of deleting from a protected project; what: such as "destroy"."""
    return RefusedError(
        f"the project is protected, so {what} is refused",
        code="PROTECTED",
        found="workflow.protect: true, as recorded",
        expected="a project without protection",
        remedy="apply protect: false by itself first",
    )


def _flow(record: ResourceRecord) -> tuple[int, str]:
    return list(KINDS).index(record.kind), record.address


def _is_everything(
    gone: list[ResourceRecord], records: Mapping[str, ResourceRecord], findings: Findings
) -> bool:
    """Report a manifest that would delete every resource with work, whatever the budget."""
    with_work = {name for name, item in records.items() if KINDS[item.kind].work is not Work.RECORD}
    if not with_work or not with_work <= {item.address for item in gone}:
        return False
    findings.report(
        FindingCode.DELETE_BUDGET_EXCEEDED,
        Address.parse(gone[0].address),
        "",
        "the manifest would delete every resource that took work",
        "brewslm destroy, if that is meant",
        found=f"{len(gone)} deletes",
        expected="a resource that stays",
    )
    return True


def _check_protection(
    gone: list[ResourceRecord], records: Mapping[str, ResourceRecord], findings: Findings
) -> None:
    if not is_protected(records):
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
