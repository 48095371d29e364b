"""Items and reports whose texts are hostile, wherever a text from outside can stand."""

from typing import Any

from brewslm.tasks.report import Cluster, PackIdentity, Report, ReportWarning
from brewslm.tasks.report_items import ReportItem

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</td></tr></table></title></style><iframe src=//evil.example>",
    "javascript:alert(1)",
    "</pre><svg onload=alert(1)><a xlink:href='javascript:x'>",
    "<!-- --><![CDATA[x]]><?php x ?>",
    "&lt;b&gt; &#x3c;script&#x3e; &amp;amp;",
    "\u202egnp.exe\u2066\u200b\U000e0041",
    "\x1b[2J\x1b]8;;http://evil\x07\x00\x7f\x9b",
    "a\u2028b\u2029c\rd\r\ne\tf\n\n g",
    "{{7*7}}${7*7}<%= 7 %>",
    "\ud800 lone",
]


def item(text: str, **wanted: Any) -> ReportItem:
    values: dict[str, Any] = {
        "dataset": "gold_test",
        "row_id": text,
        "epoch": 0,
        "role": "candidate",
        "status": "ok",
        "score": 0.0,
        "source": text,
        "line": 7,
        "prompt": text,
        "output": text,
        "reference": text,
        "extracted": text,
        "parse_detail": "",
        "reason_code": text,
        "output_pattern": text,
        "slices": (text,),
        "values": {},
        "new_tokens": 1,
        "finish": "stop",
        "error_code": "",
    }
    return ReportItem(**{**values, **wanted})


def renamed(report: Report, text: str) -> Report:
    """Return a report where every name from outside is this text."""
    gates = tuple(
        gate.model_copy(
            update={
                **dict.fromkeys(("gate_id", "metric_id", "slice", "reason", "source"), text),
                "resolved_metric_key": text,
            }
        )
        for gate in report.gates
    )
    return report.model_copy(
        update={
            "project": text,
            "gates": gates,
            "decision": report.decision.model_copy(
                update={"next_action": text, "remarks": (text,), "risks": (text,)}
            ),
            "metrics": tuple(
                metric.model_copy(update={"metric_id": text}) for metric in report.metrics
            ),
            "per_class": tuple(
                metric.model_copy(update={"name": text, "metric_id": text})
                for metric in report.per_class
            ),
            "per_slice": tuple(
                metric.model_copy(update={"slice": text, "metric_id": text})
                for metric in report.per_slice
            ),
            "clusters": (
                Cluster(
                    reason_code=text,
                    output_pattern=text,
                    failure_count=3,
                    share_of_failures=1.0,
                    share_of_items=0.1,
                    exemplar_row_ids=(text,),
                ),
            ),
            "pack": PackIdentity(pack_id=text, version=text, digest=text, verdict="PASS"),
            "generation": report.generation.model_copy(update={"settings": {text: [text]}}),
            "evidence": {text: text},
            "leaks": {"counts": {text: 1}},
            "models": report.models.model_copy(update={"candidate": text, "promoted": text}),
            "warnings": (ReportWarning(code=text, message=text),),
        }
    )
