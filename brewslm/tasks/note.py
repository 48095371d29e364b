"""The decision note: what people should do with a candidate, and why.

It is advice beside the verdict; promotion looks at gates only.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from brewslm.tasks.comparing import Verdict
from brewslm.tasks.deciding import CANDIDATE

NOTE_FORMAT = "1.0"
_THIN_CHANCE = 0.20
_FEW_ROWS = 100
_MANY_LOOKS = 5
_CLUSTERS_SHOWN = 3
_EXEMPLARS = 3
_FLIPS_SHOWN = 10
_MARKUP = frozenset("|<>[]`@#&*")


def failure_clusters(scores: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return failures of score records by reason and output pattern, largest first.

    Ties are ordered by name, and exemplars are the smallest row ids, so that the order of records
    does not matter.
    """
    members: dict[tuple[str, str], list[str]] = {}
    items = 0
    for record in scores:
        items += record["status"] != "error"
        if failure := record["failure"]:
            key = (failure["reason_code"], failure["output_pattern"])
            members.setdefault(key, []).append(record["row_id"])
    failures = sum(map(len, members.values()))
    return [
        {
            "reason_code": reason,
            "output_pattern": pattern,
            "failure_count": len(rows),
            "share_of_failures": len(rows) / failures,
            "share_of_items": len(rows) / items,
            "exemplar_row_ids": sorted(rows)[:_EXEMPLARS],
        }
        for (reason, pattern), rows in sorted(
            members.items(), key=lambda entry: (-len(entry[1]), entry[0])
        )
    ]


def decision_note(
    verdict: Mapping[str, Any],
    metrics: Mapping[str, Any],
    *,
    clusters: Sequence[Mapping[str, Any]] = (),
    digests: Mapping[str, str | None] | None = None,
    extra_risks: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the note of a verdict: keep, iterate or discard, with remarks and the next action.

    clusters: of the candidate on the deciding set; digests: candidate, base, promoted, rows;
    extra_risks: what other rooms know, such as leaks that were let through.
    """
    report = metrics["sets"][verdict["dataset"]]
    primary = _primary(verdict, metrics, report)
    decision = _decision(verdict, primary)
    return {
        "format_version": NOTE_FORMAT,
        "decision": decision,
        "verdict": verdict["verdict"],
        "task": metrics["profile"],
        "dataset": verdict["dataset"],
        "rows": report["rows"],
        "digests": dict(digests or {}),
        "primary_metric": primary,
        "remarks": _remarks(verdict, primary, decision),
        "gates": [dict(gate) for gate in verdict["gates"]],
        "roles": {
            role: {
                "statuses": found["statuses"],
                "values": {
                    key: item["value"]
                    for key, item in found["metrics"].items()
                    if not key.startswith("per_")
                },
            }
            for role, found in report["roles"].items()
        },
        "flips": {
            role: {
                "gained": len(found["flips"]["gained"]),
                "lost": len(found["flips"]["lost"]),
                "first_lost": found["flips"]["lost"][:_FLIPS_SHOWN],
                "first_gained": found["flips"]["gained"][:_FLIPS_SHOWN],
            }
            for role, found in report["comparisons"].items()
        },
        "clusters": [dict(cluster) for cluster in clusters[:_CLUSTERS_SHOWN]],
        "risks": [*_risks(verdict, report), *extra_risks],
        "next_action": _next_action(verdict, decision, clusters),
    }


def note_text(note: Mapping[str, Any]) -> str:
    """Return the note as Markdown."""
    lines = [
        f"# Decision: {note['decision']}",
        "",
        f"Verdict {note['verdict']} on {note['dataset']} ({note['rows']} rows),"
        f" task {note['task']}.",
        "",
        f"Next: {inert(note['next_action'])}",
        "",
        *_listed("Remarks", note["remarks"]),
        "## Gates",
        "",
        *gate_table(note["gates"]),
        "",
        *_value_table(note["roles"]),
        *_listed("Flips", _flip_lines(note["flips"])),
        *_listed("Largest failure clusters", map(_cluster_line, note["clusters"])),
        *_listed("Risks", note["risks"]),
        *_listed(
            "Digests",
            (f"{name}: {digest or 'nothing yet'}" for name, digest in note["digests"].items()),
        ),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _primary(
    verdict: Mapping[str, Any], metrics: Mapping[str, Any], report: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the metric of the first required gate, with its gain over the baseline."""
    keys = [gate["resolved_metric_key"] for gate in verdict["gates"] if gate["required"]]
    key = next((key for key in keys if key), None)
    if key is None:
        return None
    sign = -1 if metrics["declarations"][key]["higher_is_better"] is False else 1
    stored = report["comparisons"].get("baseline", {}).get("metrics", {}).get(key, {})
    delta = stored.get("delta")
    drawn = stored.get("mcnemar") or stored.get("paired_bootstrap")
    ends = sorted(sign * end for end in drawn["interval"]) if drawn else None
    return {
        "metric_id": key,
        "candidate": report["roles"][CANDIDATE]["metrics"][key]["value"],
        "baseline": stored.get("other"),
        "gain": None if delta is None else sign * delta,
        "gain_interval": ends,
    }


def _decision(verdict: Mapping[str, Any], primary: Mapping[str, Any] | None) -> str:
    if verdict["verdict"] == Verdict.PASS:
        return "keep"
    if verdict["verdict"] == Verdict.FAIL and primary and primary["gain"] is not None:
        ends = primary["gain_interval"]
        if primary["gain"] <= 0 or (ends is not None and ends[1] <= 0):
            return "discard"
    return "iterate"


def _remarks(
    verdict: Mapping[str, Any], primary: Mapping[str, Any] | None, decision: str
) -> list[str]:
    remarks = []
    if decision == "keep" and primary and primary["gain"] is not None and primary["gain"] < 0:
        remarks.append("base_is_better")
    chances = [gate["chance_wrong"] for gate in verdict["gates"] if gate["required"]]
    if decision == "keep" and any(
        chance is not None and chance > _THIN_CHANCE for chance in chances
    ):
        remarks.append("thin_evidence")
    return remarks


def _risks(verdict: Mapping[str, Any], report: Mapping[str, Any]) -> list[str]:
    risks = []
    if report["rows"] < _FEW_ROWS:
        risks.append(f"small evaluation set: {report['rows']} rows")
    if verdict["looks"] > _MANY_LOOKS:
        risks.append(f"these rows were looked at {verdict['looks']} times; collect fresh ones")
    if not verdict["dataset"].startswith("gold_"):
        risks.append(f"decided on {verdict['dataset']}, not on gold rows")
    errors = report["roles"][CANDIDATE]["n_error"]
    if errors:
        risks.append(f"{errors} rows without an answer because the machinery failed")
    return risks


def _next_action(
    verdict: Mapping[str, Any], decision: str, clusters: Sequence[Mapping[str, Any]]
) -> str:
    if decision == "keep":
        if any(gate["required"] and gate["verdict"] for gate in verdict["gates"]):
            return "promote: every required gate passed"
        return "promote only what you checked yourself: no required gate judged this candidate"
    if decision == "discard":
        return "keep the model in use; change data or recipe before the next run"
    failing = [gate for gate in verdict["gates"] if gate["required"] and gate["verdict"] == "FAIL"]
    if not failing:
        return _what_is_missing(verdict)
    nearest = min(failing, key=_gap)
    bar = "" if nearest["threshold"] is None else f" {nearest['threshold']:g}"
    step = f"nearest failing gate {nearest['gate_id']}:{bar} {_gap_words(nearest)}".rstrip()
    if clusters:
        step += f"; largest cluster {clusters[0]['reason_code']} ({clusters[0]['failure_count']})"
    return step


def _what_is_missing(verdict: Mapping[str, Any]) -> str:
    reasons = Counter(
        gate["reason"]
        for gate in verdict["gates"]
        if gate["required"] and gate["verdict"] in (Verdict.INCONCLUSIVE, Verdict.ERROR)
    )
    rows = max((gate["rows_needed"] or 0 for gate in verdict["gates"]), default=0)
    words = ", ".join(sorted(reasons)) or "a value for every required metric"
    wanted = f"; about {rows} rows would decide" if rows else ""
    return f"undecided ({words}){wanted}; then run brewslm apply"


def _gap(gate: Mapping[str, Any]) -> float:
    if gate["actual"] is None or gate["threshold"] is None:
        return float("inf")
    return abs(float(gate["threshold"]) - float(gate["actual"]))


def _gap_words(gate: Mapping[str, Any]) -> str:
    if gate["actual"] is None or gate["threshold"] is None:
        return ""
    if gate["k"] is None:
        return f"is missed by {_gap(gate):.4f}"
    return f"is missed by {max(1, round(_gap(gate) * gate['n']))} items"


def gate_table(gates: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table of decided gates."""
    return [
        "| verdict | gate | value | bar | n | reason | chance wrong |",
        "|---|---|---|---|---|---|---|",
        *map(_gate_row, gates),
    ]


def _gate_row(gate: Mapping[str, Any]) -> str:
    chance = "" if gate["chance_wrong"] is None else f"{gate['chance_wrong']:.0%}"
    bar = "" if gate["threshold"] is None else f"{gate['operator']} {gate['threshold']:g}"
    n = "" if gate["n"] is None else f"{gate['n']:g}"
    verdict = gate["verdict"] or "not enforced"
    cells = (
        verdict,
        inert(gate["gate_id"]),
        _number(gate["actual"]),
        bar,
        n,
        gate["reason"],
        chance,
    )
    return f"| {' | '.join(cells)} |"


def _value_table(roles: Mapping[str, Any]) -> list[str]:
    names = sorted(roles)
    keys = sorted({key for role in roles.values() for key in role["values"]})
    return [
        "## Values",
        "",
        f"| metric | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
        *(
            f"| {inert(key)} | "
            + " | ".join(_number(roles[name]["values"].get(key)) for name in names)
            + " |"
            for key in keys
        ),
        "",
    ]


def _flip_lines(flips: Mapping[str, Any]) -> list[str]:
    return [
        f"against {role}: {found['gained']} gained, {found['lost']} lost"
        for role, found in sorted(flips.items())
    ]


def _cluster_line(cluster: Mapping[str, Any]) -> str:
    return (
        f"{cluster['reason_code']} ({cluster['output_pattern']}): {cluster['failure_count']} items,"
        f" {cluster['share_of_items']:.0%} of all"
    )


def _listed(title: str, items: Iterable[str]) -> list[str]:
    lines = [f"- {item}" for item in items]
    return [f"## {title}", "", *lines, ""] if lines else []


def inert(text: str) -> str:
    """Return names of gates and labels so that a Markdown reader takes them for plain text."""
    return "".join(
        f"&#{ord(char)};" if char in _MARKUP or not char.isprintable() else char for char in text
    )


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
