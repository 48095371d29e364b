"""`brewslm show training_plan`: results first, stored files by name, and a page with the curve."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from brewslm.plan.recorded_run import Point, RecordedRun
from brewslm.render.curve import loss_picture
from tests.apply.bench import Bench
from tests.cli.conftest import Run
from tests.render.reading import assert_inert


def test_curve_and_results_come_before_what_was_written(applied: Bench, run: Run) -> None:
    shown = run("show", "training_plan").out
    lines = shown.splitlines()
    assert applied.records()["training_plan"].address in lines[0]
    order = [
        lines.index(f"  {title}") for title in ("curve", "results", "spec", "outputs", "values")
    ]
    assert order == sorted(order)
    assert "2 at step 1, 0.2 at step 10" in shown
    assert len(lines) < 60


def test_spec_shows_what_was_written_or_set_and_hides_defaults(applied: Bench, run: Run) -> None:
    shown = run("show", "training_plan").out
    assert "config.learning_rate" in shown
    assert re.search(r"config\.batch_size +\d+ +\(profile:balanced\)", shown)
    assert "config.weight_decay" not in shown
    hidden = re.search(r"\((\d+) default fields hidden; --explain shows them\)", shown)
    assert hidden is not None
    explained = run("show", "training_plan", "--explain").out
    assert re.search(r"config\.weight_decay +\S+ +\(default\)", explained)
    assert explained.count("(default)") == int(hidden[1])
    assert "fields hidden" not in explained
    assert applied.promoted() is not None


@pytest.mark.usefixtures("applied")
def test_stored_files_are_listed_and_printed_by_name(run: Run) -> None:
    listed = run("show", "training_plan", "--files").out
    assert re.search(r"^run/train_log\.csv +\S+ \S+ +sha256:[0-9a-f]{64}$", listed, re.M)
    log = run("show", "training_plan", "--log", "train_log.csv").out
    assert log.startswith("step,epoch,loss")
    assert run("show", "training_plan", "--log", "run/train_log.csv").out == log
    assert run("show", "eval_pack", "--log", "decision.md").out.startswith("# Decision: ")
    predictions = run("show", "eval_pack", "--log", "predictions.candidate.gold_test.jsonl")
    assert predictions.code == 0
    assert '"row_id"' in predictions.out


@pytest.mark.usefixtures("applied")
def test_an_unknown_or_unclear_file_is_answered_with_names(run: Run) -> None:
    missing = run("show", "training_plan", "--log", "train_log.cvs")
    missing.says(1, "no file of that name", "run/train_log.csv", "--files")
    unclear = run("show", "training_plan", "--log", "content")
    unclear.says(1, "several files of that name", "lora_adapter/content", "run/content")
    run("show", "--log", "x").says(1, "an address such as training_plan")
    run("show", "training_plan", "--log", "x", "--json").says(1, "cannot both be answered")
    run("show", "training_plan", "--extract", "x", "--out", "y").says(1, "--extract alone")
    run("show", "dataset.nothing", "--files").says(1, "unknown_address")


def test_extracting_writes_every_file_once_and_privately(applied: Bench, run: Run) -> None:
    answer = run("show", "eval_pack", "--extract", "out")
    assert answer.code == 0
    assert "hold rows of your data" in answer.err
    out = applied.root / "out"
    listed = run("show", "eval_pack", "--files").out.splitlines()
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert written == sorted(line.split()[0] for line in listed)
    assert all(path.stat().st_mode & 0o077 == 0 for path in out.rglob("*"))
    run("show", "eval_pack", "--extract", "out").says(1, "is there already")
    run("show", "project", "--extract", "none").says(0, "project has no stored file")
    assert not (applied.root / "none").exists()


def parsed(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture)  # noqa: S314  our own page


def pictures(page: Path) -> list[ElementTree.Element]:
    text = page.read_text(encoding="utf-8")
    assert_inert(text)
    found = re.findall(r"<svg .*?</svg>", text, re.S)
    return [parsed(item) for item in found if 'class="chart"' in item]


@pytest.mark.parametrize("what", ["training_plan", "eval_pack"])
def test_pages_show_the_losses_as_a_picture(what: str, applied: Bench, run: Run) -> None:
    assert run("show", what, "--html", "page.html").code == 0
    page = applied.root / "page.html"
    (picture,) = pictures(page)
    assert len(picture.findall("polyline")) == 3
    labels = [item.text for item in picture.findall("text")]
    assert {"step", "training rows", "validation rows", "learning rate"} <= set(labels)
    title = picture.find("title")
    assert title is not None
    assert title.text == (
        "training loss from 2 at step 1 to 0.2 at step 10;"
        " validation loss from 0.6 at step 5 to 0.3 at step 10"
    )
    assert "stop reason" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "losses",
    [
        [1.0, 1.0, 1.0],
        [float("nan"), 2.0, float("inf"), 1.0],
        [1e-9, 1e9],
        [0.0, -0.0],
        [3.0] * 5000,
    ],
)
def test_a_picture_stays_inside_its_frame(losses: list[float]) -> None:
    points = tuple(Point(step, loss, None, None) for step, loss in enumerate(losses))
    picture = parsed(loss_picture(RecordedRun(points)))
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    (curve,) = picture.findall("polyline")[:1]
    places = [tuple(map(float, item.split(","))) for item in curve.attrib["points"].split()]
    assert all(0 <= x <= width and 0 <= y <= height for x, y in places)
    assert len(places) <= 1001


def test_a_run_without_a_log_has_no_picture() -> None:
    assert loss_picture(RecordedRun()) == ""
    assert loss_picture(RecordedRun((Point(1, 2.0, None, None),))) == ""
