"""An evaluation as one HTML file: verdict first, then gates, metrics, flips, failures, slices.

Rows stand in it only where the caller hands items over.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

from brewslm.plan.recorded_run import RecordedRun
from brewslm.render import report_words, words
from brewslm.render.gates import gate_cells
from brewslm.render.markup import Markup, element, joined, lines
from brewslm.render.page import bullets, facts, folded, interval_plot, named, page, section, table
from brewslm.render.training_page import training_section
from brewslm.tasks.report import (
    Answering,
    Comparison,
    Difference,
    GateOutcome,
    Metric,
    NamedMetric,
    Report,
)
from brewslm.tasks.report_items import ReportItem

MOST_TEXT = 4_000
"""Characters of a prompt, an answer or a reference that a page shows."""
_CANDIDATE, _BASELINE = "candidate", "baseline"
_CLASS_OF_VERDICT = {"PASS": "good", "FAIL": "bad", "ERROR": "bad"}
_CLASS_OF_CHANGE = {"improved": "good", "regressed": "bad"}
_MOST_NAMES = 200


def render_html(
    report: Report,
    items: Sequence[ReportItem] = (),
    most_rows: int = 0,
    run: RecordedRun | None = None,
) -> str:
    """Return the evaluation as a page; equal reports give equal bytes.

    items: of which at most `most_rows` rows of the deciding set are shown, those that matter first;
    run: the training of the candidate.
    """
    title = f"{report.project}: evaluation, {report.verdict}"
    return page(
        title,
        [
            _head(report),
            section("To know first", bullets(_known(report))),
            section("Gates", _gates(report)),
            *(_metrics(report, item.dataset) for item in report.datasets),
            section("Against the others, row by row", _flips(report.comparison)),
            section("How the candidate fails", _clusters(report)),
            training_section(run) if run is not None else Markup(),
            section("Parts", *_parts(report)),
            section("Rows", *_rows(items, report.deciding.dataset, most_rows)),
            section("Where this comes from", *_origin(report)),
        ],
    )


def _head(report: Report) -> Markup:
    advice = f"Advice: {report.decision.decision}. Next: {report.decision.next_action}"
    verdict = element(
        "p",
        element("strong", report.verdict),
        " ",
        report_words.verdict_words(report),
        class_=f"verdict {_CLASS_OF_VERDICT.get(report.verdict, 'open')}",
    )
    return element(
        "header",
        element("h1", named(report.project), ": evaluation"),
        verdict,
        element("p", advice),
        element("p", report_words.model_words(report), class_="soft"),
    )


def _known(report: Report) -> Iterator[Markup]:
    for code, sentence in report_words.things_to_know(report):
        yield joined([element("strong", code), ": ", sentence])


def _gates(report: Report) -> Markup:
    rows = [_gate_row(gate) for gate in report.gates]
    head = (
        *("Gate", "Verdict", "Value and rule", "Interval", "Rows"),
        element("span", "Value, interval and threshold", class_="unseen"),
        *("Beside", "Chance wrong"),
    )
    caption = f"Gates on {report.deciding.dataset}; the upright line is the threshold"
    return table(caption, head, rows, 0)


def _gate_row(gate: GateOutcome) -> list[str]:
    verdict, name, rule, counts, ends, beside, chance = gate_cells(gate.model_dump())
    shown = element("span", verdict, class_=_CLASS_OF_VERDICT.get(verdict, "open"))
    picture = Markup()
    if gate.actual is not None and gate.interval is not None and gate.threshold is not None:
        picture = interval_plot(gate.actual, gate.interval, gate.threshold)
    interval = element("span", ends, class_="whole") if ends else ""
    return [named(name), shown, named(rule), interval, counts, picture, beside, chance]


def _metrics(report: Report, dataset: str) -> Markup:
    """Return the metrics of a set, every role beside the others."""
    metrics = report_words.metrics_on(report, dataset)
    roles = _roles(metrics)
    found = report_words.differences(report, dataset)
    head = ["Metric", "Better"]
    for role in roles:
        head += [
            report_words.role_name(role).capitalize(),
            f"{100 * report.confidence:g} % interval",
        ]
    head += [f"Against {report_words.role_name(role)}" for role in found]
    rows = [
        [
            named(item.metric_id),
            report_words.better(item),
            *_values(item, roles),
            *(_difference(by_metric.get(item.metric_id)) for by_metric in found.values()),
        ]
        for item in metrics
    ]
    rest = next(entry for entry in report.datasets if entry.dataset == dataset)
    note = "gates read it" if rest.decides else "decides nothing"
    caption = f"{dataset}: {words.plural(rest.rows, 'row')}, {note}"
    shown = [_statuses(report, dataset), table(caption, head, rows, len(head) - 2)]
    return section(f"Metrics on {dataset}", *shown)


def _values(item: Metric, roles: Iterable[str]) -> Iterator[str]:
    for role in roles:
        found = item.roles.get(role)
        yield report_words.value(found, item.kind)
        yield report_words.interval(found.interval if found else None)


def _difference(item: Difference | None) -> Markup:
    told = report_words.delta(item)
    if item is None or not told:
        return Markup()
    change = item.change or ""
    shown = element("span", change, class_=_CLASS_OF_CHANGE.get(change, "soft"))
    chance = report_words.p_value(item)
    p = element("span", f" p {chance}", class_="soft") if chance else ""
    return joined([told, " ", shown, p])


def _statuses(report: Report, dataset: str) -> Markup:
    entries = (
        (
            report_words.role_name(item.role),
            ", ".join(f"{count} {name}" for name, count in sorted(item.counts.items())),
        )
        for item in report.statuses
        if item.dataset == dataset
    )
    return facts(entries)


def _flips(comparisons: Sequence[Comparison]) -> Markup:
    rows = [
        [
            f"{report_words.role_name(item.role)} on {item.dataset}",
            *map(words.count, report_words.flip_counts(item)),
        ]
        for item in comparisons
    ]
    head = ("Against", "Gained", "Lost", "Both right", "Both wrong")
    return table("Rows that only one side got right, and the rest", head, rows, 4)


def _clusters(report: Report) -> Markup:
    rows = [
        [
            named(item.reason_code),
            named(item.output_pattern),
            ", ".join(row_id[:12] for row_id in item.exemplar_row_ids),
            words.count(item.failure_count),
            f"{item.share_of_items:.0%}",
        ]
        for item in report.clusters
    ]
    head = ("Reason", "Form of the output", "Such as row", "Failures", "Of all rows")
    return table("Failures that look alike, largest first", head, rows, 2)


def _parts(report: Report) -> Iterator[Markup]:
    for dataset in (item.dataset for item in report.datasets):
        for title, metrics in (("Classes", report.per_class), ("Fields", report.per_field)):
            own = [item for item in metrics if item.dataset == dataset]
            shown = _named_table(f"{title} of {dataset}; the base model in brackets", own)
            yield folded(f"{title} of {dataset}", shown)
        yield folded(f"Slices of {dataset}", _slices(report, dataset))


def _named_table(caption: str, metrics: Sequence[NamedMetric]) -> Markup:
    columns = list(dict.fromkeys(item.metric_id for item in metrics))
    found: dict[str, dict[str, Metric]] = {}
    for item in metrics:
        found.setdefault(item.name, {})[item.metric_id] = item
    return _grid(caption, "Name", columns, found)


def _slices(report: Report, dataset: str) -> Markup:
    columns = report_words.gated_metrics(report)
    found = report_words.by_slice(report.per_slice, dataset)
    sized = {
        f"{name} ({words.plural(next(iter(own.values())).rows, 'row')})": own
        for name, own in found.items()
    }
    caption = "Metrics that gates read, by part of the rows; the base model in brackets"
    return _grid(caption, "Slice", columns, sized)


def _grid(
    caption: str, first: str, columns: Sequence[str], found: Mapping[str, Mapping[str, Metric]]
) -> Markup:
    """Return names by metrics, the candidate's value before the base model's."""
    kept = list(found.items())[:_MOST_NAMES]
    if len(found) > _MOST_NAMES:
        caption += f"; {_MOST_NAMES} of {words.count(len(found))}, all are in report.json"
    rows = [
        [named(name), *(_pair(own.get(metric_id)) for metric_id in columns)] for name, own in kept
    ]
    return table(caption, [first, *map(named, columns)], rows, len(columns))


def _pair(item: Metric | None) -> str:
    if item is None:
        return ""
    shown = report_words.value(item.roles.get(_CANDIDATE), item.kind)
    if _BASELINE not in item.roles:
        return shown
    return f"{shown} ({report_words.value(item.roles[_BASELINE], item.kind)})"


def _origin(report: Report) -> Iterator[Markup]:
    models, generation = report.models, report.generation
    yield facts(
        [
            ("candidate", models.candidate),
            ("base model", models.baseline),
            *([("promoted until then", models.promoted)] if models.promoted else []),
            *((f"rows of {item.dataset}", item.digest) for item in report.datasets),
            ("task", f"{report.lock.profile}, version {report.lock.profile_version}"),
            *([("pack", _pack(report))] if report.pack else []),
            ("candidates judged on these rows", str(report.looks)),
        ]
    )
    settings = {**generation.settings, "epochs": generation.epochs, "seeds": generation.seeds}
    told = [(name, json.dumps(value)) for name, value in sorted(settings.items())]
    for role, item in generation.roles.items():
        if item.tokens_per_s is not None:
            told.append((f"{report_words.role_name(role)}, tokens per second", _speed(item)))
    yield folded("How answers were generated", facts(told))
    yield folded("Kept files by digest", facts(sorted(report.evidence.items())))


def _speed(item: Answering) -> str:
    return f"{item.tokens_per_s:.1f} (measured)"


def _pack(report: Report) -> str:
    pack = report.pack
    return " ".join(filter(None, (pack.pack_id, pack.version, pack.digest))) if pack else ""


def _rows(items: Sequence[ReportItem], dataset: str, most_rows: int) -> Iterator[Markup]:
    """Yield rows with what each role answered: those the candidate lost, failed, then the rest."""
    rows = [
        list(group)
        for _, group in groupby(
            (item for item in items if item.dataset == dataset), key=attrgetter("row_id")
        )
    ]
    kept = sorted(rows, key=_weight)[:most_rows]
    if not kept:
        return
    count = f"{len(kept)} of {words.plural(len(rows), 'row')}, failures first."
    yield element("p", f"{count} These are rows of your data: pass this file on with care.")
    yield from map(_article, kept)


def _weight(row: Sequence[ReportItem]) -> tuple[int, str]:
    fails = {item.role for item in row if item.is_failure}
    if _CANDIDATE not in fails:
        return 2, row[0].row_id
    return int(_BASELINE in fails), row[0].row_id


def _article(row: Sequence[ReportItem]) -> Markup:
    first = row[0]
    place = f", {first.source} line {first.line}" if first.line is not None else ""
    parts = [
        element("h3", f"Row {first.row_id[:12]}{place}"),
        _told("prompt", first.prompt),
        _told("reference", first.reference),
    ]
    for item in row:
        epoch = f"epoch {item.epoch}" if item.epoch else ""
        score = "" if item.score is None else f"score {item.score:.4g}"
        how = ", ".join(filter(None, (epoch, item.status, score, item.reason_code)))
        parts.append(_told(f"{report_words.role_name(item.role)}: {how}", item.output))
    return element("article", *parts)


def _told(name: str, value: str) -> Markup:
    cut = f", {MOST_TEXT} of {words.count(len(value))} characters" * (len(value) > MOST_TEXT)
    return joined(
        [
            element("p", f"{name}{cut}", class_="soft"),
            element("pre", lines(value[:MOST_TEXT]), dir="auto"),
        ]
    )


def _roles(metrics: Iterable[Metric]) -> list[str]:
    return sorted({role for item in metrics for role in item.roles})
