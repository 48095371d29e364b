"""The stored schemas: current, and what is printed fits them."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from brewslm.render.schemas import NAMES
from brewslm.render.stream import EventStream
from tests.apply.bench import Bench
from tests.cli.conftest import Run

ROOT = Path(__file__).parents[2]


def _validator(name: str) -> Any:
    return Draft202012Validator(json.loads((ROOT / "schemas" / f"{name}.json").read_text()))


@pytest.mark.parametrize("name", NAMES)
def test_stored_schema_is_what_the_command_prints(name: str, run: Run) -> None:
    assert run("schema", name).out == (ROOT / "schemas" / f"{name}.json").read_text()


def test_writing_makes_all_of_them(empty: Path, run: Run) -> None:
    assert run("schema", "--write", "made").code == 0
    assert sorted(path.name for path in (empty / "made").iterdir()) == [
        "event.json",
        "manifest.json",
        "plan.json",
        "report.json",
        "sync.json",
    ]


def test_plans_fit_their_schema(bench: Bench, run: Run) -> None:
    plan = _validator("plan")
    assert list(plan.iter_errors(run("plan", "--json").document)) == []
    bench.apply()
    bench.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    bench.edit("threshold: 0.8", "threshold: 0.9")
    changed = run("plan", "--json").document
    assert [error.message for error in plan.iter_errors(changed)] == []
    changed["actions"][0]["operation"] = "paint"
    assert not plan.is_valid(changed)


def test_events_fit_their_schema(bench: Bench) -> None:
    bench.apply()
    out = io.StringIO()
    stream = EventStream(out, lambda: "2026-03-01T10:00:00Z")
    for item in bench.events:
        stream(item)
    event = _validator("event")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {"action_start", "action_complete"} <= {line["type"] for line in lines}
    assert [error.message for line in lines for error in event.iter_errors(line)] == []


@pytest.mark.usefixtures("applied")
def test_reports_fit_their_schema(run: Run) -> None:
    assert run("show", "eval_pack", "--report", "r.json").code == 0
    document = json.loads(Path("r.json").read_text())
    report = _validator("report")
    assert [error.message for error in report.iter_errors(document)] == []
    assert document["format_version"] == "1.0"
    document["gates"][0]["verdict"] = "MAYBE"
    assert not report.is_valid(document)
