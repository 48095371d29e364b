"""The end of an apply: gates, six counts, and the one command to go on with."""

from collections.abc import Iterable, Mapping
from typing import Any

from brewslm.errors import ExitCode
from brewslm.events import SummaryEvent
from brewslm.render import words
from brewslm.render.gates import gate_table

_NEXT = {
    ExitCode.INTERRUPTED: "Interrupted; what was done is recorded. To go on: brewslm apply",
    ExitCode.GATE_NOT_PASSED: (
        "A required gate did not pass: the candidate is kept aside, what was promoted stays. "
        "Why: brewslm show eval_pack"
    ),
    ExitCode.ERROR: "Something failed; what succeeded is recorded. To try the rest: brewslm apply",
    ExitCode.REFUSED: "Refused; nothing was promoted. To see what is left: brewslm plan",
}
_MENDED = "What drifted is as recorded again."


def render_ending(
    summary: SummaryEvent, gates: Iterable[Mapping[str, Any]], left_out: str = ""
) -> str:
    """Return the closing text of an apply.

    gates: as recorded; not shown where this apply did not get to decide them again.
    left_out: the sentence about what a partial plan left out.
    """
    is_old = "eval_pack" in (*summary.failed, *summary.skipped, *summary.pending)
    gates = [] if is_old else list(gates)
    lines = []
    if gates:
        lines += ["", "Gates", *(f"  {line}" for line in gate_table(gates).splitlines())]
    lines += ["", _counts(summary)]
    exit_code = ExitCode(summary.exit_code)
    if exit_code in _NEXT:
        lines.append(_NEXT[exit_code])
    elif summary.revision is None:
        is_mended = summary.applied or summary.reused
        lines.append(_MENDED if is_mended else "Nothing had to be done.")
    else:
        lines.append(f"Revision {summary.revision}, in {words.duration(summary.elapsed_s)}.")
    if not gates and "eval_pack" in (*summary.applied, *summary.reused):
        lines.append("No gate is set. Base and candidate side by side: brewslm show eval_pack")
    lines += [left_out] if left_out else []
    return "\n".join(lines) + "\n"


def _counts(summary: SummaryEvent) -> str:
    return (
        f"Apply: {len(summary.applied)} applied, {len(summary.reused)} reused, "
        f"{len(summary.failed)} failed, {len(summary.skipped)} skipped, "
        f"{len(summary.pending)} pending, {len(summary.unchanged)} unchanged."
    )
