"""A plan as Markdown for a pull-request comment: verdict first, text from outside inert, bounded in
size.
"""

from brewslm.contracts import Operation
from brewslm.diagnostics import Finding, Severity
from brewslm.plan.action import Action, Drift
from brewslm.plan.plan import REFRESH_ONLY, Plan
from brewslm.render import words
from brewslm.render.gates import held_line
from brewslm.render.text import TextStyle, drift_words, price_line, render_plan, summary_line

MAX_SIZE = 60_000
"""Bytes of UTF-8 or UTF-16 units, whichever is more."""
_MAX_TEXT = 200
_MAX_LISTED = 50
_WORDS = {
    Operation.CREATE: "create",
    Operation.UPDATE: "update",
    Operation.DELETE: "delete",
    Operation.NOOP: "unchanged",
}


def render_markdown(plan: Plan) -> str:
    """Return the plan as Markdown of at most 60,000 characters.

    Cut at action boundaries; the verdict, the footer and `N of M actions shown` always stay.
    """
    head = _head(plan)
    foot = _foot(plan)
    rows = [_row(action) for action in plan.actions if action.is_work]
    shown: list[str] = []
    room = MAX_SIZE - _weight(head) - _weight(foot) - 400
    for row in rows:
        if _weight(row) > room:
            break
        room -= _weight(row)
        shown.append(row)
    table = ""
    if rows:
        title = "| | resource | category | why | price |\n|---|---|---|---|---|\n"
        table = title + "".join(shown)
        if len(shown) < len(rows):
            table += f"\n{len(shown)} of {len(rows)} actions shown.\n"
    details = _details(plan, room - _weight(table))
    return "\n".join(part for part in (head, table, details, foot) if part)


def code_span(text: str) -> str:
    """Return text from outside as a code span that nothing in it can end."""
    shown = words.visible(text)
    if len(shown) > _MAX_TEXT:
        shown = f"{shown[:_MAX_TEXT]}… ({len(text)} characters)"
    shown = shown.replace("|", "\\|")
    longest = max((len(run) for run in _runs(shown, "`")), default=0)
    ticks = "`" * (longest + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") or not shown else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def _head(plan: Plan) -> str:
    errors = sum(finding.severity is Severity.ERROR for finding in plan.finding_values)
    if errors:
        verdict = f"**Not applyable:** {words.plural(errors, 'error')}."
    elif plan.mode == REFRESH_ONLY or (plan.drift and not plan.has_changes):
        verdict = f"**{len(plan.drift)} drifted.** Nothing else was wanted or looked at."
    elif not plan.has_changes and not plan.is_complete:
        verdict = "**No changes in what was selected.**"
    elif not plan.has_changes:
        verdict = "**No changes.** The project is what brewslm.yaml says."
    else:
        verdict = f"**{summary_line(plan)}**"
    held = ["", held_line(plan.held_back, code_span)] if plan.held_back else []
    lines = [verdict, *held, "", f"<!-- brewslm-plan {plan.digest.removeprefix('sha256:')} -->"]
    if plan.findings:
        lines += ["", *(_finding(finding) for finding in plan.finding_values[:_MAX_LISTED])]
        if len(plan.findings) > _MAX_LISTED:
            lines.append(f"- and {len(plan.findings) - _MAX_LISTED} more findings")
    weakened = [change for change in plan.gate_changes if change.weakened]
    if weakened:
        lines += ["", "### Weakened gates", ""]
        lines += [f"- {code_span(change.path)}: {change.kind}" for change in weakened]
    if plan.drift:
        lines += ["", "### Drift", "", *(_drift(item) for item in plan.drift[:_MAX_LISTED])]
        if len(plan.drift) > _MAX_LISTED:
            lines.append(f"- and {len(plan.drift) - _MAX_LISTED} more")
    return "\n".join(lines) + "\n"


def _finding(finding: Finding) -> str:
    place = code_span(str(finding.place) or finding.address or "project")
    return (
        f"- {finding.severity} `{finding.code}` at {place}: {code_span(finding.message)}; "
        f"do: {code_span(finding.actionable_fix)}"
    )


def _drift(drift: Drift) -> str:
    found = f" ({code_span(drift.after)})" if isinstance(drift.after, str) else ""
    place = f"{code_span(drift.address)} {code_span(drift.path)}"
    return f"- {place}: {drift.kind}{found}; {drift_words(drift)}"


def _row(action: Action) -> str:
    verb = _WORDS[action.operation]
    how = " (reuse)" if action.reuse else " (resume)" if action.resume else ""
    why = action.reason
    if action.causes:
        why += ": " + ", ".join(code_span(cause.path) for cause in action.causes[:3])
    category = str(action.category or "")
    price = price_line(action.estimate)
    return f"| {verb}{how} | {code_span(action.address)} | {category} | {why} | {price} |\n"


def _details(plan: Plan, room: int) -> str:
    if not plan.has_changes:
        return ""
    text = render_plan(plan, TextStyle())
    fence = "`" * (max((len(run) for run in _runs(text, "`")), default=2) + 1)
    fence = fence if len(fence) >= 3 else "```"
    block = (
        f"<details><summary>The plan as text</summary>\n\n{fence}\n{text}{fence}\n\n</details>\n"
    )
    return block if _weight(block) <= room else ""


def _foot(plan: Plan) -> str:
    commit = f" · commit `{plan.git_commit}`" if plan.git_commit else ""
    return f"\nserial {plan.project.serial}{commit} · plan `{plan.digest}`\n"


def _weight(text: str) -> int:
    return max(len(text.encode()), len(text.encode("utf-16-le")) // 2)


def _runs(text: str, char: str) -> list[str]:
    runs, current = [], ""
    for item in text + "\0":
        if item == char:
            current += item
        elif current:
            runs.append(current)
            current = ""
    return runs
