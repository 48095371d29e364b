"""A plan as text for a terminal or a log; the same with and without colour."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from brewslm.contracts import Operation
from brewslm.diagnostics import Severity
from brewslm.plan.action import Action, Drift, Estimate, GateChange, Price
from brewslm.plan.plan import REFRESH_ONLY, Plan
from brewslm.render import words
from brewslm.render.data_lines import data_lines
from brewslm.render.errors import render_finding
from brewslm.render.gates import held_line
from brewslm.render.review import review_blocks, titled

_WIDTH = 78
_MARKS = {Operation.CREATE: "+", Operation.UPDATE: "~", Operation.DELETE: "-", Operation.NOOP: " "}
_COLOURS = {"+": "32", "~": "33", "-": "31", "!": "35", " ": "2"}
_UNKNOWN = "(known after apply)"
_LONG_TEXT = 60
_MAX_CAUSES = 3

NO_CHANGES = "No changes. The project is what brewslm.yaml says."
NO_DRIFT = "No drift. What is really there is what was recorded."
_NO_CHANGES_HERE = "No changes in what was selected."
_WITH_ERRORS = "This plan carries errors and can't be applied. Correct them and plan again."
_WITHOUT_STATE = "This plan was made without a state and can't be applied. It says what changes."
_HELD = "A rollback holds the deployment. To promote again: brewslm rollback --release"


class TextStyle(Struct, frozen=True):
    """How text is laid out: colour, plain ASCII, and how much is shown."""

    has_color: bool = False
    shows_unchanged: bool = False
    explains: bool = False


def render_plan(plan: Plan, style: TextStyle, saved_as: str | None = "") -> str:
    """Return the whole plan as text, ending with what to do next.

    saved_as: the file that holds this plan, empty when it was not saved, None when it is applied
    right away.
    """
    blocks = [_header(plan)]
    blocks += [_finding_block(plan, style)] if plan.findings else []
    blocks += [_drift_block(plan.drift)] if plan.drift else []
    blocks += [_gate_block(plan.gate_changes, weakened=True)]
    blocks += [titled(review) for review in review_blocks(plan, str)]
    shown = [item for item in plan.actions if item.is_work or style.shows_unchanged]
    blocks += [action_block(action, style) for action in shown]
    blocks += [_gate_block(plan.gate_changes, weakened=False)]
    blocks += [_closing(plan, len(plan.actions) - len(shown), saved_as)]
    text = "\n\n".join(block for block in blocks if block) + "\n"
    return _coloured(text) if style.has_color else text


def price_line(price: Price) -> str:
    """Return `time … · memory … · disk …`, each with its label."""
    parts = (
        ("time", price.wall_s, words.duration),
        ("memory", price.memory_bytes, words.size),
        ("disk", price.disk_bytes, words.size),
    )
    shown = [
        f"{name} {_estimate(item, form)}"
        for name, item, form in parts
        if not (item.label == "exact" and item.value == 0 and name != "time")
    ]
    return " · ".join(shown)


def summary_line(plan: Plan) -> str:
    """Return the frozen sentence that counts the operations."""
    counts = plan.summary
    return (
        f"Plan: {counts.get('create', 0)} to create, {counts.get('update', 0)} to update, "
        f"{counts.get('delete', 0)} to delete, {counts.get('noop', 0)} unchanged."
    )


def _header(plan: Plan) -> str:
    facts = [
        f"lineage {plan.project.lineage[:6] or '(new)'}",
        f"serial {plan.project.serial}",
        f"manifest {plan.manifest_digest.removeprefix('sha256:')[:6]}",
    ]
    facts += [f"commit {plan.git_commit[:6]}"] if plan.git_commit else []
    return f"Plan for {words.visible(plan.project.name)}    " + " · ".join(facts)


def _finding_block(plan: Plan, style: TextStyle) -> str:
    findings = plan.finding_values
    notes = [item for item in findings if item.severity is Severity.INFO]
    lines = []
    for finding in findings:
        if finding.severity is Severity.INFO and not style.explains:
            continue
        first, *rest = render_finding(finding).splitlines()
        lines += [f"  ! {first}", *(f"    {line}" for line in rest)]
    if notes and not style.explains:
        noun = "note" if len(notes) == 1 else "notes"
        lines.append(f"  {len(notes)} {noun} hidden (--explain shows them)")
    return "\n".join(lines)


def _drift_block(drift: Iterable[Drift]) -> str:
    lines = ["  Drift: what is really there differs from what was recorded"]
    for item in drift:
        place = f"{words.visible(item.address)} {words.visible(item.path)}"
        lines.append(f"  ! {place}: {item.kind}{found_words(item)}; {drift_words(item)}")
    return "\n".join(lines)


def found_words(drift: Drift) -> str:
    """Return what was found instead of the record, empty where nothing was."""
    if not isinstance(drift.after, str) or not drift.after:
        return ""
    is_digest = drift.after.startswith("sha256:")
    found = words.short_digest(drift.after) if is_digest else words.visible(drift.after)
    return f" ({found})"


def drift_words(drift: Drift) -> str:
    """Return what apply does about drift, and what to do where it does nothing."""
    if drift.repair:
        return drift.repair
    return f"apply leaves it alone; do: {drift.remedy}" if drift.remedy else "apply leaves it alone"


def _gate_block(changes: Iterable[GateChange], *, weakened: bool) -> str:
    chosen = [change for change in changes if change.weakened is weakened]
    if not chosen:
        return ""
    title = "Weakened gates" if weakened else "Changed gates"
    mark = "!" if weakened else "~"
    lines = [
        f"  {mark} {words.visible(change.path)}: {change.kind} "
        f"({_value(change.before)} -> {_value(change.after)})"
        for change in chosen
    ]
    return "\n".join([f"  {title}", *lines])


def action_block(action: Action, style: TextStyle) -> str:
    """Return one action with its fields, reasons and price."""
    mark = _MARKS[action.operation]
    address = words.visible(action.address)
    title = f"  # {address} {_will_be(action)}"
    category = f"[{action.category}]" if action.category else ""
    head = f"{title:<{_WIDTH}}{category}".rstrip()
    lines = [head, f"  {mark} {address}", *_field_lines(action, style)]
    lines += [f"      {label:<9} {text}" for label, text in data_lines(action)]
    lines += [f"      {label:<9} {text}" for label, text in _reason_lines(action)]
    return "\n".join(lines)


def _will_be(action: Action) -> str:
    if action.operation is Operation.NOOP:
        return f"is unchanged ({action.reason})" if action.reason != "unchanged" else "is unchanged"
    if action.resume is not None:
        return "will be resumed"
    if action.reuse is not None:
        return "will be reused"
    return {
        Operation.CREATE: "will be created",
        Operation.UPDATE: "will be updated",
        Operation.DELETE: "will be deleted",
    }[action.operation]


def _field_lines(action: Action, style: TextStyle) -> list[str]:
    before = flat((action.before or {}).get("spec") or {})
    after = flat((action.after or {}).get("spec") or {})
    outputs = list(_output_lines(action))
    if action.operation is Operation.CREATE:
        shown = [path for path in after if style.explains or _origin(action, path) != "default"]
        rows = [("+", path, _with_origin(action, path, _value(after[path]))) for path in shown]
        hidden = len(after) - len(shown)
        what = "default"
    else:
        paths = _changed_paths(action.fields_changed, before, after)
        rows = [
            ("~", path, f"{_value(before.get(path))} -> {_value(after.get(path))}")
            for path in paths
        ]
        hidden = len(set(before) | set(after)) - len(rows)
        what = "unchanged"
        if action.operation is Operation.DELETE:
            rows, hidden = [], 0
    rows += outputs
    rows += [
        ("~", path, f"{_value(value)} on this host ({action.origins.get(f'host.{path}', 'host')})")
        for path, value in sorted(action.host.items())
        if style.explains
    ]
    rows = [(mark, words.visible(path), text) for mark, path, text in rows]
    width = max((words.columns(path) for _, path, _ in rows), default=0)
    lines = [f"      {mark} {words.padded(path, width)}   {text}" for mark, path, text in rows]
    if hidden:
        lines.append(f"        ({hidden} {what} {'field' if hidden == 1 else 'fields'} hidden)")
    return lines


def _origin(action: Action, path: str) -> str:
    """Return where a value comes from; a map written as a whole speaks for what it holds."""
    known = action.origins
    if path in known:
        return known[path]
    while "." in path:
        path = path.rpartition(".")[0]
        if path in known:
            is_whole = not any(name.startswith((f"{path}.", f"{path}[")) for name in known)
            return known[path] if is_whole else "default"
    return "default"


def _with_origin(action: Action, path: str, text: str) -> str:
    origin = _origin(action, path)
    return text if origin in ("manifest", "default") else f"{text}   ({origin})"


def _output_lines(action: Action) -> Iterator[tuple[str, str, str]]:
    before = (action.before or {}).get("outputs") or {}
    after = (action.after or {}).get("outputs") or {}
    unknown = action.after_unknown.get("outputs") or {}
    names = sorted(set(before) | set(after) | set(unknown))
    for name in names:
        old = before.get(name)
        new = after.get(name)
        if name in unknown:
            new_text = _UNKNOWN
        elif new is None:
            continue
        else:
            new_text = words.short_digest(_digest(new))
        if old is None:
            yield "+", name, new_text
        elif name in unknown or _digest(old) != _digest(new):
            yield "~", name, f"{words.short_digest(_digest(old))} -> {new_text}"


def _digest(output: Any) -> str:
    return str(output["digest"]) if isinstance(output, Mapping) else str(output)


def _reason_lines(action: Action) -> Iterator[tuple[str, str]]:
    if action.operation is Operation.NOOP:
        return
    yield "why", _why(action)
    if action.moved_from:
        yield "moved", f"from {words.visible(action.moved_from)}, recognised by what it holds"
    if action.reuse is not None:
        origin = f" from revision {action.reuse.revision}" if action.reuse.revision else ""
        names = ", ".join(str(item["name"]) for item in action.reuse.outputs)
        yield "reuse", f"{names or 'all outputs'}{origin}; nothing is computed"
    elif action.nearest is not None:
        differs = words.visible(", ".join(action.nearest.get("differs", ())))
        revision = action.nearest.get("revision")
        which = f"revision {revision}" if revision else "an earlier run"
        yield "reuse", f"none; nearest earlier run is {which}, which differs in {differs}"
    if action.resume is not None:
        of = f" of {action.resume.of}" if action.resume.of else ""
        yield "resume", f"from the checkpoint at step {action.resume.step}{of}"
    if action.may_stop:
        yield "stops", "if what it consumes comes out the same, nothing is done here"
    if action.keeps:
        yield "keeps", action.keeps
    yield "price", price_line(action.estimate)


def _why(action: Action) -> str:
    paths = [words.visible(cause.path) for cause in action.causes if cause.path]
    shown = ", ".join(paths[:_MAX_CAUSES])
    more = f" and {len(paths) - _MAX_CAUSES} more" if len(paths) > _MAX_CAUSES else ""
    return f"{action.reason}: {shown}{more}" if shown else action.reason


def _closing(plan: Plan, hidden: int, saved_as: str | None) -> str:
    held = [held_line(plan.held_back, words.visible)] if plan.held_back else []
    held += [_HELD] if any(item.reason == "held_by_rollback" for item in plan.actions) else []
    if plan.mode == REFRESH_ONLY:
        return _drift_check(plan)
    if not plan.has_changes:
        nothing = NO_CHANGES if plan.is_complete else _NO_CHANGES_HERE
        return "\n".join([nothing if not plan.drift else _drift_only(plan), *held])
    lines = [_drift_only(plan)] if plan.is_only_repair else []
    if hidden:
        noun = "resource" if hidden == 1 else "resources"
        lines.append(f"{hidden} unchanged {noun} hidden (--show-unchanged lists them)")
    lines += [summary_line(plan), f"Price: {price_line(plan.estimate)}", *held]
    if not plan.is_applyable:
        has_errors = any(item.severity is Severity.ERROR for item in plan.finding_values)
        lines.append(_WITH_ERRORS if has_errors else _WITHOUT_STATE)
    elif saved_as:
        lines.append(f"Saved. To do exactly this: brewslm apply {words.visible(saved_as)}")
    elif saved_as is not None:
        lines.append(
            "This plan was not saved, so apply will plan again. "
            "To bind a review to it: brewslm plan --out NAME.plan.json"
        )
    return "\n".join(lines)


def _drift_only(plan: Plan) -> str:
    repaired = sum(bool(item.repair) for item in plan.drift)
    total = len(plan.drift)
    them = "them" if repaired == total else f"{repaired} of them"
    what = f"repair {them}" if repaired else "leave them alone"
    return f"No changes wanted, {total} drifted. apply would {what}."


def _drift_check(plan: Plan) -> str:
    """Return the verdict of a plan that looked for drift alone."""
    if not plan.drift:
        return NO_DRIFT
    repaired = sum(bool(item.repair) for item in plan.drift)
    lines = [f"{len(plan.drift)} drifted; brewslm apply would repair {repaired} of them."]
    taken = [action.address for action in plan.actions if action.is_work]
    if taken:
        what = ", ".join(taken)
        lines.append(f"brewslm apply --refresh-only takes into the record what is there: {what}")
    return "\n".join(lines)


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return `{dotted path: leaf}`; lists of plain values are leaves."""
    if isinstance(value, Mapping) and value:
        joined: dict[str, Any] = {}
        for key, item in value.items():
            joined |= flat(item, f"{path}.{key}" if path else str(key))
        return joined
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        joined = {}
        for index, item in enumerate(value):
            joined |= flat(item, f"{path}[{index}]")
        return joined
    return {path: value}


def _changed_paths(
    changed: Iterable[str], before: Mapping[str, Any], after: Mapping[str, Any]
) -> list[str]:
    """Spread changed paths to the leaves below them that differ."""
    missing = object()
    chosen = set()
    for wanted in changed:
        below = [
            path
            for path in {**before, **after}
            if path == wanted or path.startswith((f"{wanted}.", f"{wanted}["))
        ]
        chosen |= {
            path for path in below if before.get(path, missing) != after.get(path, missing)
        } or {wanted}
    return sorted(chosen)


def _value(value: Any) -> str:
    if isinstance(value, str):
        text = words.visible(value)
        if len(text) > _LONG_TEXT:
            return f'"{text[:24]}…" ({len(text)} characters)'
        return text if text.isidentifier() or _looks_plain(text) else f'"{text}"'
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        return (
            "{" + ", ".join(f"{_value(key)}: {_value(item)}" for key, item in value.items()) + "}"
        )
    return words.number(value)


def _looks_plain(text: str) -> bool:
    return bool(text) and not any(char.isspace() or char in '"[]{},' for char in text)


def _estimate(item: Estimate, form: Any) -> str:
    if item.value is None:
        return f"unknown ({item.basis})" if item.basis else "unknown"
    if item.label == "exact":
        return f"{form(item.value)} (exact)"
    basis = f", estimated from {item.basis}" if item.basis else ", estimated"
    if item.low is None or item.high is None:
        return f"{form(item.value)} ({basis[2:]})"
    return f"{form(item.value)} ({form(item.low)} to {form(item.high)}{basis})"


def _coloured(text: str) -> str:
    lines = []
    for line in text.split("\n"):
        mark = line.strip()[:1]
        is_marked = line.startswith(("  ", "      ")) and line.strip()[1:2] == " "
        colour = _COLOURS.get(mark) if is_marked else None
        lines.append(f"\x1b[{colour}m{line}\x1b[0m" if colour else line)
    return "\n".join(lines)
