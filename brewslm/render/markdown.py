"""A plan as Markdown for a pull-request comment: verdict first, text from outside inert, bounded in
size.

Text from outside stands in a code span or a fence that nothing in it can end, or, inside of HTML,
with its entities: it mentions nobody, links nowhere and opens nothing.
"""

import html
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from brewslm.contracts import Operation
from brewslm.diagnostics import Finding
from brewslm.fingerprint import digest_bytes
from brewslm.plan.action import Action, Drift, GateChange
from brewslm.plan.plan import Plan
from brewslm.render import words
from brewslm.render.data_lines import data_lines
from brewslm.render.gates import held_line
from brewslm.render.review import review_blocks
from brewslm.render.text import TextStyle, action_block, drift_words, found_words, price_line
from brewslm.render.verdict import verdict_line

MAX_SIZE = 60_000
"""Bytes of UTF-8 or UTF-16 units, whichever is more."""
_MAX_TEXT = 200
_MAX_SECTION = 6_000
_MAX_DETAIL = 6_000
_RESERVE = 100
"""Room for the line that counts the actions shown."""
_CHECKED_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._]|-(?!-)){0,63}")
_OPERATIONS = (Operation.CREATE, Operation.UPDATE, Operation.DELETE, Operation.NOOP)


def render_markdown(plan: Plan, run: str = "", max_size: int = MAX_SIZE) -> str:
    """Return the plan as Markdown of at most `max_size` bytes or UTF-16 units.

    run: the CI run that made it, for the hidden marker. Cut at action boundaries, the lightest
    category first; marker, verdict, summary, footer and `N of M actions shown` always stay.
    """
    head = f"{marker(plan, run)}\n**{verdict_line(plan)}**\n\n{_summary(plan)}"
    foot = _foot(plan)
    room = max_size - weight(head) - weight(foot) - _RESERVE
    sections = []
    for title, items, line_of in _sections(plan):
        section = _section(title, items, line_of, min(_MAX_SECTION, room))
        sections.append(section)
        room -= weight(section)
    return "\n".join([head, *filter(None, sections), _details(plan, room), foot])


def marker(plan: Plan, run: str = "") -> str:
    """Return the hidden line by which a comment is found again; its fields are digits, hex and
    checked names.
    """
    name = plan.project.name
    if not _CHECKED_NAME.fullmatch(name):
        name = digest_bytes(name.encode()).removeprefix("sha256:")[:12]
    run = run if run.isascii() and run.isdecimal() else "0"
    digest = plan.digest.removeprefix("sha256:")
    return f"<!-- brewslm-plan v1 project={name} run={run[:20]} digest={digest} -->"


def code_span(text: str) -> str:
    """Return text from outside as a code span that nothing in it can end."""
    shown = _bounded(text)
    ticks = "`" * (_longest_run(shown) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") or not shown else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def weight(text: str) -> int:
    """Return the size that counts for the limit: bytes or UTF-16 units, whichever is more."""
    return max(len(text.encode()), len(text.encode("utf-16-le")) // 2)


def _summary(plan: Plan) -> str:
    counts = [words.count(plan.summary.get(str(operation), 0)) for operation in _OPERATIONS]
    return "\n".join(
        [
            "| create | update | delete | unchanged |",
            "|---:|---:|---:|---:|",
            f"| {' | '.join(counts)} |",
            "",
        ]
    )


def _sections(plan: Plan) -> Iterable[tuple[str, Sequence[Any], Callable[[Any], str]]]:
    """Return title, entries and the line of an entry for each list."""
    weakened = [change for change in plan.gate_changes if change.weakened]
    deletes = [item for item in plan.actions if item.operation is Operation.DELETE]
    data = [line for item in plan.actions if item.target == "dataset" for line in _data(item)]
    yield "Weakened gates", weakened, _change
    for block in review_blocks(plan, code_span):
        yield block.title, [f"- {line}" for line in block.lines], str
    yield "Deletes", deletes, _delete
    yield "Findings", plan.finding_values, _finding
    yield "Drift", plan.drift, _drift
    yield "Data", data, str
    yield "Price", _price(plan), str
    yield "Gates", _gates(plan), str


def _section(title: str, items: Sequence[Any], line_of: Callable[[Any], str], room: int) -> str:
    """Return a titled list that fits, with a line that counts what is left out."""
    if not items:
        return ""
    lines = [f"### {title}", ""]
    used = weight(lines[0]) + _RESERVE
    for index, item in enumerate(items):
        line = line_of(item)
        used += weight(line) + 1
        if used > room:
            lines.append(f"- and {words.count(len(items) - index)} more")
            break
        lines.append(line)
    return "\n".join(lines) + "\n"


def _delete(action: Action) -> str:
    return f"- {code_span(action.address)}: {code_span(action.reason)}"


def _drift(drift: Drift) -> str:
    place = f"{code_span(drift.address)} {code_span(drift.path)}"
    return (
        f"- {place}: {code_span(drift.kind + found_words(drift))}; {code_span(drift_words(drift))}"
    )


def _change(change: GateChange) -> str:
    before, after = (code_span(words.number(item)) for item in (change.before, change.after))
    return f"- {code_span(change.path)}: {code_span(change.kind)}, {before} → {after}"


def _finding(finding: Finding) -> str:
    place = code_span(str(finding.place) or finding.address or "project")
    head = f"- {finding.severity} {code_span(str(finding.code))} at {place}"
    return f"{head}: {code_span(finding.message)}; do: {code_span(finding.actionable_fix)}"


def _data(action: Action) -> list[str]:
    return [f"- {code_span(label)}: {code_span(text)}" for label, text in data_lines(action)]


def _price(plan: Plan) -> list[str]:
    parts = price_line(plan.estimate).split(" · ") if plan.has_changes else []
    return [f"- {code_span(part)}" for part in parts]


def _gates(plan: Plan) -> list[str]:
    lines = [f"{held_line(plan.held_back, code_span)}\n"] if plan.held_back else []
    lines += [_change(change) for change in plan.gate_changes if not change.weakened]
    for action in plan.actions:
        lines += _data(action) if action.target == "eval_pack" else []
    return lines


def _details(plan: Plan, room: int) -> str:
    """Return one folded block an action, in the order of apply; the lightest are left out first."""
    work = [action for action in plan.actions if action.is_work]
    if not work:
        return ""
    by_weight = sorted(range(len(work)), key=lambda index: (-_heaviness(work[index]), index))
    blocks: dict[int, str] = {}
    for index in by_weight:
        block = _detail(work[index])
        room -= weight(block) + 1
        if room < 0:
            break
        blocks[index] = block
    shown = f"{words.count(len(blocks))} of {words.count(len(work))} actions shown."
    return "\n".join([*(blocks[index] for index in sorted(blocks)), shown]) + "\n"


def _heaviness(action: Action) -> int:
    return action.category.weight if action.category else -1


def _detail(action: Action) -> str:
    title = f"{action.operation} <code>{html.escape(_bounded(action.address))}</code>"
    title += f" [{action.category}]" if action.category else ""
    lines: list[str] = []
    used = 0
    for line in action_block(action, TextStyle()).split("\n")[1:]:
        shown = words.visible(line[: 2 * _MAX_TEXT])
        used += weight(shown) + 1
        if used > _MAX_DETAIL:
            lines.append("…")
            break
        lines.append(shown)
    fence = "`" * max(3, _longest_run("\n".join(lines)) + 1)
    body = "\n".join([fence, *lines, fence])
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>\n"


def _foot(plan: Plan) -> str:
    commit = f" · commit {code_span(plan.git_commit)}" if plan.git_commit else ""
    return f"serial {plan.project.serial}{commit} · plan {code_span(plan.digest)}\n"


def _bounded(text: str) -> str:
    """Return text from outside visible and cut, with its length and digest where it is cut."""
    shown = words.visible(text[: _MAX_TEXT + 1])
    if len(shown) <= _MAX_TEXT:
        return shown
    digest = words.short_digest(digest_bytes(text.encode("utf-8", "surrogatepass")))
    return f"{shown[:_MAX_TEXT]}… ({len(text)} characters, {digest})"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
