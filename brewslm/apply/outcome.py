"""How an apply ended: six address lists whose union is the plan, and the exit code that follows."""

from dataclasses import dataclass, field

from brewslm.errors import BrewError, ExitCode, LeaseLostError


@dataclass
class Outcome:
    """Where each resource of the plan ended up; filled while the plan is walked."""

    applied: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    gates: dict[str, int] = field(
        default_factory=lambda: {"pass": 0, "fail": 0, "inconclusive": 0, "error": 0}
    )
    errors: list[BrewError] = field(default_factory=list)
    lost: LeaseLostError | None = None
    """Why nothing more could be written."""
    is_gate_blocked: bool = False
    is_interrupted: bool = False
    serial: int = 0
    revision: int | None = None

    @property
    def addresses(self) -> set[str]:
        """Every address that is in one of the lists."""
        lists = (
            self.applied,
            self.reused,
            self.failed,
            self.skipped,
            self.pending,
            self.unchanged,
        )
        return {address for addresses in lists for address in addresses}

    @property
    def exit_code(self) -> ExitCode:
        """The first that holds: cut off, interrupted, refused, broken, gate not passed, done."""
        if self.lost is not None:
            return self.lost.exit_code
        if self.is_interrupted:
            return ExitCode.INTERRUPTED
        if any(error.exit_code is ExitCode.REFUSED for error in self.errors):
            return ExitCode.REFUSED
        if self.failed or self.errors:
            return ExitCode.ERROR
        return ExitCode.GATE_NOT_PASSED if self.is_gate_blocked else ExitCode.DONE
