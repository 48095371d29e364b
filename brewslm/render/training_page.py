"""A training run as one HTML file: how it ended, its curves, its results and its settings."""

from collections.abc import Iterator, Mapping
from typing import Any

from brewslm.plan.recorded_run import RecordedRun
from brewslm.render import words
from brewslm.render.curve import loss_picture
from brewslm.render.markup import Markup, element
from brewslm.render.page import facts, folded, named, page, section
from brewslm.render.text import flat
from brewslm.state.records import ResourceRecord

_LOSSES = ("train_loss", "eval_loss", "baseline_eval_loss", "eval_loss_gain")


def render_training(project: str, record: ResourceRecord, run: RecordedRun) -> str:
    """Return the training run of a record as a page; equal runs give equal bytes."""
    return page(
        f"{project}: training",
        [
            element("header", element("h1", named(project), ": training"), _ending(run)),
            training_section(run),
            section("Results", facts(_entries(run.results))),
            section("Settings", *_settings(record, run.origins)),
            section("Stored files", facts(_outputs(record))),
        ],
    )


def training_section(run: RecordedRun) -> Markup:
    """Return the curves of a run with how it ended, nothing where none were stored."""
    picture = loss_picture(run)
    if not picture:
        return Markup()
    losses = ((name, run.results.get(name)) for name in _LOSSES)
    ended = [("stop reason", str(run.results.get("stop_reason", "unknown")))]
    rates = [item.learning_rate for item in run.points if item.learning_rate is not None]
    if rates:
        ended.append(
            ("learning rate", f"{max(rates):.4g} highest logged, {rates[-1]:.4g} at the end")
        )
    shown = [(name, f"{value:.4f}") for name, value in losses if isinstance(value, float)]
    return section("Training", picture, facts([*ended, *shown]))


def _ending(run: RecordedRun) -> Markup:
    if run.results.get("is_imported"):
        told = "The adapter was trained elsewhere and imported as it is; the settings are those of"
        return element("p", f"{told} the manifest.", class_="verdict")
    steps, kept = run.results.get("steps"), run.results.get("kept_step")
    told = f"{steps} steps; stopped: {run.results.get('stop_reason', 'unknown')}"
    if kept is not None:
        told += f"; kept step {kept} ({run.results.get('kept_because', 'unknown')})"
    return element("p", told, class_="verdict")


def _entries(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for path, value in flat(dict(values)).items():
        if value not in (None, {}, []):
            shown = words.number(value) if isinstance(value, int | float) else str(value)
            yield path, shown


def _settings(record: ResourceRecord, origins: Mapping[str, str]) -> Iterator[Markup]:
    told: list[tuple[str, str]] = []
    defaults: list[tuple[str, str]] = []
    for path, value in flat(record.spec).items():
        origin = origins.get(path, "default")
        entry = path, f"{value} ({origin})" if origin not in ("default", "manifest") else f"{value}"
        (defaults if origin == "default" else told).append(entry)
    yield facts(told)
    yield folded(f"{len(defaults)} settings left at their defaults", facts(defaults))


def _outputs(record: ResourceRecord) -> list[tuple[str, str]]:
    return [(name, output.digest) for name, output in sorted(record.outputs.items())]
