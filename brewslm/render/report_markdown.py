"""An evaluation as Markdown for a pull-request comment: verdict first, names from outside inert,
bounded in size. No row stands in it.
"""

from collections.abc import Iterator, Sequence

from brewslm.render import report_words, words
from brewslm.render.gates import gate_cells
from brewslm.render.markdown import MAX_SIZE, code_span, weight
from brewslm.tasks.report import Report

_RESERVE = 200
"""Room for headings and for the lines that count rows and tables left out."""


def render_report_markdown(report: Report, max_size: int = MAX_SIZE) -> str:
    """Return the evaluation as Markdown of at most `max_size` bytes or UTF-16 units.

    Verdict, models and digests always stay; tables are cut at rows, the last ones first, and those
    without room are counted.
    """
    head = _head(report)
    foot = _foot(report)
    room = max_size - weight(head) - weight(foot) - _RESERVE
    parts = [head]
    left_out = 0
    for title, columns, rows in _tables(report):
        if not rows:
            continue
        part = _table(title, columns, rows, room)
        if not part:
            left_out += 1
            continue
        parts.append(part)
        room -= weight(part) + 1
    if left_out:
        parts.append(f"{words.plural(left_out, 'table')} left out for want of room\n")
    return "\n".join([*parts, foot])


def _head(report: Report) -> str:
    advice = f"{report.decision.decision}; {report.decision.next_action}"
    return "\n".join(
        [
            f"**{report.verdict} · {report_words.verdict_words(report)}**",
            "",
            f"{code_span(report.project)}, advice: {code_span(advice)}",
            "",
        ]
    )


def _foot(report: Report) -> str:
    rows = f"rows {code_span(report.deciding.digest)}"
    candidate = f"candidate {code_span(report.models.candidate)}"
    return f"{code_span(report_words.model_words(report))} · {candidate} · {rows}\n"


def _tables(report: Report) -> Iterator[tuple[str, Sequence[str], list[list[str]]]]:
    """Yield title, columns and rows, what matters most first."""
    yield (
        "To know first",
        ("what", "why"),
        [[code, sentence] for code, sentence in report_words.things_to_know(report)],
    )
    yield (
        "Gates",
        ("verdict", "gate", "value and rule", "rows", "interval", "beside", "chance wrong"),
        [list(gate_cells(gate.model_dump())) for gate in report.gates],
    )
    yield (
        "Rows that only one side got right",
        ("against", "on", "gained", "lost", "both right", "both wrong"),
        [
            [item.role, item.dataset, *map(words.count, report_words.flip_counts(item))]
            for item in report.comparison
        ],
    )
    yield (
        "Failures that look alike",
        ("reason", "form of the output", "failures", "of all rows"),
        [
            [
                item.reason_code,
                item.output_pattern,
                words.count(item.failure_count),
                f"{item.share_of_items:.0%}",
            ]
            for item in report.clusters
        ],
    )
    for dataset in (item.dataset for item in report.datasets):
        found = report_words.differences(report, dataset)
        yield (
            f"Metrics on {dataset}",
            ("metric", "better", "candidate", "interval", *(f"against {role}" for role in found)),
            [
                [
                    item.metric_id,
                    report_words.better(item),
                    report_words.value(item.roles.get("candidate"), item.kind),
                    report_words.interval(item.roles["candidate"].interval),
                    *(report_words.delta(own.get(item.metric_id)) for own in found.values()),
                ]
                for item in report_words.metrics_on(report, dataset)
            ],
        )


def _table(title: str, columns: Sequence[str], rows: list[list[str]], room: int) -> str:
    """Return a titled table that fits, with a line that counts the rows left out; nothing where
    there is no room for its head.
    """
    lines = [f"### {title}", "", _line(columns), f"|{'---|' * len(columns)}"]
    room -= weight("\n".join(lines)) + _RESERVE
    if room < 0:
        return ""
    left = ""
    for index, row in enumerate(rows):
        line = _line([_cell(cell) for cell in row])
        room -= weight(line) + 1
        if room < 0:
            left = f"\nand {words.count(len(rows) - index)} more\n"
            break
        lines.append(line)
    return "\n".join(lines) + f"\n{left}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """Return a text as a cell that ends neither itself nor its table."""
    return code_span(text).replace("|", "\\|") if text else ""
