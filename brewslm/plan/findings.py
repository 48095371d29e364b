"""The findings of a plan as they come together, each with its place in the manifest."""

from collections.abc import Iterable

from msgspec.structs import replace

from brewslm.address import Address
from brewslm.diagnostics import Finding, FindingCode, Place, Severity, sorted_findings
from brewslm.manifest.project import Manifest


class Findings:
    """Collects what is found while planning; the manifest says where in the file it belongs."""

    def __init__(self, manifest: Manifest, found: Iterable[Finding] = ()) -> None:
        self._manifest = manifest
        self.items = list(found)

    @property
    def has_errors(self) -> bool:
        """Whether the plan can't be applied."""
        return any(item.severity is Severity.ERROR for item in self.items)

    def sorted(self) -> list[Finding]:
        """Return all findings, the most severe first."""
        return list(sorted_findings(self.items))

    def add(self, findings: Iterable[Finding]) -> None:
        """Take findings that carry their place."""
        self.items += findings

    def place(self, findings: Iterable[Finding]) -> None:
        """Take findings, and give those without a line the position of their field; what is known
        from the manifest alone is not reported twice.
        """
        known = {(item.code, item.message) for item in self._manifest.findings}
        placed = map(self._placed, findings)
        self.items += [item for item in placed if (item.code, item.message) not in known]

    def report(
        self,
        code: FindingCode,
        address: Address,
        field_path: str,
        message: str,
        fix: str,
        severity: Severity = Severity.ERROR,
        found: str = "",
        expected: str = "",
    ) -> None:
        """Take a finding in its parts."""
        wanted = self._manifest.resources.get(address)
        self.items.append(
            Finding(
                code=code,
                severity=severity,
                message=message,
                actionable_fix=fix,
                field=field_path,
                address=str(address),
                found=found,
                expected=expected,
                place=wanted.place(field_path) if wanted else Place(),
            )
        )

    def _placed(self, finding: Finding) -> Finding:
        if finding.place.line or not finding.address:
            return finding
        wanted = self._manifest.resources.get(Address.parse(finding.address))
        if wanted is None:
            return finding
        path = finding.field.removeprefix(f"{wanted.section}.")
        field = f"{wanted.section}.{path}" if path else wanted.section
        return replace(finding, field=field, place=wanted.place(path))
