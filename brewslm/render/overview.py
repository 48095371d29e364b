"""What the state remembers, as text: the project, a resource, the history."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from brewslm.plan.recorded_run import RecordedRun
from brewslm.render import words
from brewslm.render.gates import gate_table
from brewslm.render.text import flat
from brewslm.render.training_run import run_lines, shown_results
from brewslm.stages.kinds import default_values
from brewslm.state.failure_clusters import FailureCluster
from brewslm.state.records import DeploymentRecord, Meta, ResourceRecord, RevisionRecord, RunEvent

_VALUE_WIDTH = 100
_ABSENT = object()


def render_project(
    name: str,
    meta: Meta,
    records: Mapping[str, ResourceRecord],
    deployments: Iterable[DeploymentRecord],
    revisions: Iterable[RevisionRecord],
) -> str:
    """Return the project at a glance: where it stands, what is promoted, all resources."""
    newest = next(iter(revisions), None)
    lines = [f"{words.visible(name)}    lineage {meta.lineage[:6]} · serial {meta.serial}"]
    if newest is not None:
        actor = words.visible(newest.actor)
        lines.append(f"  revision  {newest.revision} by {actor}, {newest.finished_at}")
    promoted: dict[str, DeploymentRecord] = {}
    for deployment in deployments:
        promoted.setdefault(deployment.alias, deployment)
    for alias, deployment in sorted(promoted.items()):
        digest = words.short_digest(deployment.digest)
        lines.append(f"  promoted  {alias} {digest} since {deployment.promoted_at}")
    if not promoted:
        lines.append("  promoted  nothing yet")
    gates = (records["eval_pack"].values if "eval_pack" in records else {}).get("gates", [])
    if gates:
        lines += ["", *(f"  {line}" for line in gate_table(gates).splitlines())]
    lines += ["", render_addresses(records).rstrip("\n")]
    return "\n".join(lines) + "\n"


def render_addresses(records: Mapping[str, ResourceRecord]) -> str:
    """Return one line a resource: address, status, revision, outputs."""
    rows = [
        (
            address,
            str(record.status),
            f"revision {record.revision}",
            _outputs(record),
        )
        for address, record in sorted(records.items())
    ]
    if not rows:
        return "Nothing is recorded yet.\n"
    return "\n".join(words.table(rows)) + "\n"


def render_record(
    record: ResourceRecord,
    note: str = "",
    run: RecordedRun | None = None,
    *,
    shows_defaults: bool = False,
) -> str:
    """Return one resource: status, gates, note, results, what was set, outputs, other values.

    note: a text that explains the gates; run: the training run of the resource.
    """
    reason = f" ({words.visible(record.reason)})" if record.reason else ""
    lines = [f"{record.address}    {record.status}{reason} · revision {record.revision}"]
    gates = record.values.get("gates")
    if gates:
        lines += ["", *(f"  {line}" for line in gate_table(gates).splitlines())]
    if note:
        lines += ["", *map(words.visible, note.rstrip().split("\n"))]
    if record.former:
        names = ", ".join(words.visible(name) for name in record.former)
        lines += ["", f"  formerly     {names}"]
    if run is not None:
        lines += run_lines(run)
    lines += _spec_lines(record, run.origins if run is not None else {}, shows_defaults)
    outputs = {name: item.digest for name, item in sorted(record.outputs.items())}
    lines += _section("outputs", outputs)
    hidden = {"gates", "contract_of_gates", *(shown_results() if run is not None else ())}
    values = {name: value for name, value in record.values.items() if name not in hidden}
    lines += _section("values", flat(values))
    lines += ["", f"  fingerprint  {record.fingerprint}"]
    return "\n".join(lines) + "\n"


def _spec_lines(
    record: ResourceRecord, origins: Mapping[str, str], shows_defaults: bool
) -> list[str]:
    """Return the spec: what was written, and what a profile or a fix set; defaults if asked for."""
    defaults = default_values(record.kind)
    told: dict[str, Any] = {}
    hidden = 0
    for path, value in flat(record.spec).items():
        origin = origins.get(path, "")
        is_default = origin == "default" or (not origin and defaults.get(path, _ABSENT) == value)
        if is_default and not shows_defaults:
            hidden += 1
            continue
        origin = "default" if is_default else origin
        suffix = f"   ({words.visible(origin)})" if origin not in ("", "manifest") else ""
        told[path] = _short(value) + suffix
    lines = _section("spec", told)
    if hidden:
        noun = "field" if hidden == 1 else "fields"
        lines += [] if told else ["", "  spec"]
        lines.append(f"    ({hidden} default {noun} hidden; --explain shows them)")
    return lines


def render_revisions(revisions: Iterable[RevisionRecord]) -> str:
    """Return one line a revision, newest first."""
    lines = [
        f"{item.revision:>4}  {item.finished_at}  {words.visible(item.actor)}  "
        f"{item.verdicts.get('verdict') or '-'}  "
        f"{'partial  ' if item.is_partial else ''}"
        + ", ".join(f"{action['operation']} {action['address']}" for action in item.actions)
        for item in revisions
    ]
    return "\n".join(lines) + "\n" if lines else "No revision yet.\n"


def render_events(events: Iterable[RunEvent]) -> str:
    """Return one line a run event, in their order."""
    lines = [
        f"{item.sequence:>5}  {item.at}  {item.severity:<8}  {item.stage:<10}  "
        f"{item.reason_code or '-'}  {words.visible(item.summary)}"
        for item in events
    ]
    return "\n".join(lines) + "\n" if lines else "No event yet.\n"


def render_clusters(clusters: Iterable[FailureCluster]) -> str:
    """Return one line a cluster of failures, in their order."""
    lines = [
        f"{item.failure_count:>5}  {item.first_seen_at} to {item.last_seen_at}  {item.stage:<10}  "
        f"{item.reason_code}  {words.visible(item.exemplar_summaries[0])}"
        for item in clusters
    ]
    return "\n".join(lines) + "\n" if lines else "No failure yet.\n"


def render_rejects(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rejected rows, one block each: place, code, what was found."""
    blocks = []
    for row in rows:
        place = f"{row.get('file', '')}:{row.get('line', '')}"
        detail = " ".join(str(row[name]) for name in ("field_path", "detail") if row.get(name))
        blocks.append(
            f"{words.visible(place)}: {row.get('reason_code')}: {words.visible(detail)}\n"
            f"  row: {_short(row.get('row'))}"
        )
    return "\n".join(blocks) + "\n" if blocks else "No rejected row.\n"


def _section(title: str, values: Mapping[str, Any]) -> list[str]:
    if not values:
        return []
    shown = [(words.visible(name), _short(value)) for name, value in values.items()]
    return ["", f"  {title}", *(f"    {line}" for line in words.table(shown))]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = words.visible(text)
    return text if len(text) <= _VALUE_WIDTH else text[: _VALUE_WIDTH - 1] + "…"


def _outputs(record: ResourceRecord) -> str:
    shown = [
        f"{name} {words.short_digest(output.digest)}"
        for name, output in sorted(record.outputs.items())
        if not name.startswith(("predictions.", "scores."))
    ]
    return " · ".join(shown)
