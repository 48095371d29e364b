"""Nothing but a measured pass lets a candidate through: not an error, not a gap, not a slip."""

import json
import random
from pathlib import Path

import pytest

from tests.apply.bench import Bench, row
from tests.cli.conftest import Answer, Doubles, Run

_GATE = "{gate_id: right, metric_id: accuracy, threshold: 0.8, operator: gte}"


@pytest.fixture
def judged(bench: Bench, run: Run, doubles: Doubles) -> "Judged":
    """Return what applies a project and tells what its gate came to."""
    return Judged(bench, run, doubles)


class Judged:
    """A project, applied by the program with scripted work."""

    def __init__(self, bench: Bench, run: Run, doubles: Doubles) -> None:
        self.bench, self._run, self._doubles = bench, run, doubles

    def apply(self) -> Answer:
        """Plan and apply."""
        self._doubles.answer = self.bench.answer
        return self._run("apply", "--auto-approve")

    def shown(self) -> dict[str, object]:
        """Return the recorded values of the evaluation."""
        values = self._run("show", "eval_pack", "--json").document["values"]
        return dict(values)

    def gate(self) -> tuple[str, str]:
        """Return verdict and reason of the only gate."""
        shown = self.shown()["gates"]
        assert isinstance(shown, list)
        (gate,) = shown
        return gate["verdict"], gate["reason"]


@pytest.mark.case("EVA-01")
def test_answers_that_all_failed_are_no_verdict(judged: Judged) -> None:
    judged.bench.speech = lambda _index, _right: ("", "error")
    assert judged.apply().code == 3
    assert judged.gate() == ("INCONCLUSIVE", "too_many_errors")
    assert judged.bench.promoted() is None


@pytest.mark.case("EVA-01")
def test_metric_that_is_no_number_is_no_verdict(judged: Judged) -> None:
    judged.bench.write_rows("gold", range(99, 190, 3))
    judged.bench.edit(_GATE, "{gate_id: right, metric_id: mcc, threshold: 0.8, operator: gte}")
    assert judged.apply().code == 3
    assert judged.gate() == ("INCONCLUSIVE", "not_a_number")
    assert judged.bench.promoted() is None


@pytest.mark.case("EVA-01")
def test_gold_set_without_rows_judges_nothing(judged: Judged, doubles: Doubles) -> None:
    judged.bench.write_rows("gold", [])
    answer = judged.apply()
    assert answer.code == 1
    assert 'nothing in "gold" can be read as a row' in answer.out + answer.err
    assert (judged.bench.promoted(), doubles.doors) == (None, [])


@pytest.mark.case("EVA-02")
@pytest.mark.parametrize(
    ("gate", "code", "said"),
    [
        ("{metric_id: acuracy, threshold: 0.5}", "GATE_METRIC_UNKNOWN", "accuracy"),
        ("{metric_id: overall_em, threshold: 0.5}", "GATE_METRIC_UNKNOWN", "accuracy"),
        ("{metric_id: accuracy, threshold: 1.2}", "GATE_THRESHOLD", "from 0 to 1"),
        (
            "{metric_id: accuracy, threshold: 0.5, slice: label=lat}",
            "GATE_OPTIONS",
            "label=late",
        ),
        (
            "{metric_id: accuracy, threshold: 0.5, operator: worst_slice_gte, slice_name: lable}",
            "GATE_OPTIONS",
            "label",
        ),
        ("{metric_id: accuracy, baseline: champoin, max_regression: 0}", "", "champion"),
    ],
)
def test_gate_that_asks_for_nothing_is_found_by_the_plan(
    gate: str, code: str, said: str, bench: Bench, run: Run, doubles: Doubles
) -> None:
    bench.edit(_GATE, f"{_GATE}\n      - {gate}")
    for words in (("plan",), ("apply", "--auto-approve")):
        answer = run(*words)
        text = answer.out + answer.err
        assert answer.code == 1
        assert f"error[{code}]" in text if code else "error[" in text
        assert said in text
    assert (doubles.started, (bench.home / "state.db").exists()) == ([], False)


@pytest.mark.case("EVA-02")
def test_gate_against_the_direction_of_its_metric_warns(bench: Bench, run: Run) -> None:
    bench.edit(_GATE, "{metric_id: unparseable_rate, threshold: 0.1, operator: gte}")
    answer = run("plan")
    assert (answer.code, "warning[GATE_DIRECTION]" in answer.out) == (0, True)


@pytest.mark.case("EVA-03")
def test_too_few_gold_rows_are_told_with_how_many_it_takes(judged: Judged, run: Run) -> None:
    bench = judged.bench
    bench.write_rows("gold", range(100, 112))
    bench.edit("operator: gte", "operator: gte, decide_on: lower")
    answer = run("plan")
    assert answer.code == 1
    assert "no result of 12 rows can pass 0.8" in answer.out
    bench.edit("threshold: 0.8", "threshold: 0.7")
    bench.skill = lambda index: index > 1
    applied = judged.apply()
    assert applied.code == 3
    assert judged.gate() == ("INCONCLUSIVE", "bound_crosses_threshold")
    assert bench.promoted() is None
    shown = judged.shown()["gates"]
    assert isinstance(shown, list)
    assert shown[0]["rows_needed"] > 12
    assert f"{shown[0]['rows_needed']}" in run("show", "eval_pack").out + applied.out + applied.err


@pytest.mark.parametrize(
    ("policy", "has_rows", "has_warning"),
    [("block", False, False), ("need_more", True, False), ("warn", False, True)],
)
def test_undecided_optional_gate_does_what_its_policy_says(
    policy: str, has_rows: bool, has_warning: bool, judged: Judged, run: Run
) -> None:
    bench = judged.bench
    bench.edit("spec:\n", f"spec:\n  workflow: {{gate_policy: {{on_inconclusive: {policy}}}}}\n")
    careful = "{gate_id: careful, metric_id: accuracy, threshold: 0.8, decide_on: lower"
    bench.edit(_GATE, f"{_GATE}\n      - {careful}, required: false}}")
    bench.skill = lambda index: index % 9 > 0
    applied = judged.apply()
    assert (applied.code, bench.promoted() is not None) == (0, True)
    assert ("rows would decide)" in applied.out + applied.err) is has_rows
    events = run("events", "--code", "eval_inconclusive").out
    assert ("warning" in events and "careful" in events) is has_warning
    page = bench.root / "page.html"
    assert run("show", "eval_pack", "--html", str(page)).code == 0
    assert ("optional gate careful could not be decided" in page.read_text()) is has_warning


@pytest.mark.parametrize("gate", [f"{_GATE[:-1]}, required: false}}", ""])
def test_note_claims_no_gate_that_was_not_there(gate: str, judged: Judged, run: Run) -> None:
    bench = judged.bench
    bench.edit("spec:\n", "spec:\n  workflow: {gate_policy: {promote_ungated: true}}\n")
    bench.edit(f"- {_GATE}", f"- {gate}" if gate else "[]")
    assert judged.apply().code == 0
    note = run("show", "eval_pack", "--log", "decision.md").out
    assert "Next: promote only what you checked yourself: no required gate judged" in note
    assert "every required gate" not in note + run("events").out
    assert "- promoted: nothing yet\n" in note


@pytest.mark.case("EVA-04")
@pytest.mark.parametrize("layer", ["exact", "near", "group", "second source", "validation"])
def test_gold_row_that_is_trained_on_is_refused_before_anything_runs(
    layer: str, bench: Bench, run: Run, doubles: Doubles
) -> None:
    words = " ".join(f"word{number}" for number in range(24))
    gold = {"text": f"it says {words} there", "label": "late"}
    data = bench.root / "data"
    _append(data / "gold.jsonl", gold)
    bench.edit("leak_check: {near: null, ngram: 0}", "leak_check: {}")
    target, said = data / "rows.jsonl", "leak_exact"
    copy = dict(gold)
    match layer:
        case "near":
            copy["text"], said = gold["text"].replace("word11", "another"), "leak_ngram"
        case "group":
            copy, said = {**row(400), "case": "7"}, "leak_group"
            _number_cases(data / "rows.jsonl", 100)
            _number_cases(data / "gold.jsonl", 200)
            _append(data / "gold.jsonl", {**row(401), "case": "7"})
            bench.edit("leak_check: {}", "leak_check: {}, split: {group_by: [case]}")
        case "second source" | "validation":
            kind = "validation" if layer == "validation" else "raw"
            target = data / "more.jsonl"
            more = f"    - {{name: more, type: {kind}, file_path: data/more.jsonl}}\n"
            bench.edit("  dataset:", f"{more}  dataset:")
            for number in range(200, 212):
                _append(target, row(number))
    _append(target, copy)
    before = sorted(bench.root.iterdir())
    for command in (("plan",), ("apply", "--auto-approve")):
        answer = run(*command)
        text = answer.out + answer.err
        assert answer.code == 6, text
        assert "error[LEAK_FOUND]" in text
        assert said in text
        lines = len(target.read_text().splitlines())
        assert f"{target.relative_to(bench.root)}:{lines}" in text, "the row is named"
        assert "word11" not in text, "its words are not"
    assert doubles.started == []
    assert not (bench.home / "state.db").exists()
    assert {*before} >= {item for item in bench.root.iterdir() if item.name != ".brewslm"}


def _number_cases(path: Path, first: int) -> None:
    """Give each row a case of its own."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [json.dumps({**item, "case": str(first + at)}) for at, item in enumerate(rows)]
    path.write_text("".join(f"{line}\n" for line in lines))


def _append(path: Path, line: dict[str, str]) -> None:
    text = path.read_text() if path.exists() else ""
    path.write_text(f"{text}{json.dumps(line)}\n")


@pytest.mark.case("EVA-09")
def test_answers_that_say_nothing_count_and_are_shown_apart(judged: Judged) -> None:
    def speech(index: int, right: str) -> tuple[str, str]:
        if index < 6:
            return "it goes on and on and", "length"
        return ("purple" if index < 9 else right), "stop"

    judged.bench.speech = speech
    assert judged.apply().code == 3
    shown = judged.shown()
    metrics = shown["metrics"]
    assert isinstance(metrics, dict)
    found = metrics["candidate"]
    assert found["accuracy"] == pytest.approx(21 / 30)
    assert found["truncated_rate"] == pytest.approx(6 / 30)
    assert found["unparseable_rate"] == pytest.approx(9 / 30)
    assert judged.gate() == ("FAIL", "below_threshold")
    assert judged.bench.promoted() is None


@pytest.mark.case("EVA-10")
def test_gold_rows_in_another_order_give_the_same_metrics(
    applied: Bench, run: Run, doubles: Doubles
) -> None:
    before = applied.records()["eval_pack"].outputs
    path = applied.root / "data" / "gold.jsonl"
    lines = path.read_text().splitlines()
    random.Random(3).shuffle(lines)  # noqa: S311  an order, no secret
    path.write_text("".join(f"{line}\n" for line in lines))
    assert run("apply", "--auto-approve").code == 0
    assert doubles.doors == []
    run("apply", "--auto-approve", "--replace", "eval_pack").says(0)
    after = applied.records()["eval_pack"].outputs
    assert doubles.doors != []
    told = {name for name in before if name != "decision"}
    assert {name: after[name] for name in told} == {name: before[name] for name in told}
