"""An evaluation does again what a change asks for, and no more."""

import json

import pytest

from brewslm.errors import ExitCode
from brewslm.manifest.load import FindingsError
from brewslm.state.records import Status
from tests.apply.bench import Bench

_GATE = "      - {gate_id: right, metric_id: accuracy, threshold: 0.8, operator: gte}\n"
_MORE = _GATE + "      - {gate_id: even, metric_id: macro_f1, threshold: 0.7, operator: gte}\n"


@pytest.mark.case("EVA-07")
def test_other_metric_is_decided_on_what_was_scored(applied: Bench) -> None:
    applied.edit("metric_id: accuracy", "metric_id: macro_f1")
    applied.edit("deployment:", "workflow: {gate_policy: {allow_weakening: true}}\n  deployment:")
    assert applied.apply().exit_code is ExitCode.DONE
    assert applied.jobs == []


@pytest.mark.case("EVA-07")
def test_other_way_to_answer_is_asked_anew(applied: Bench) -> None:
    applied.edit("  eval_pack:\n", "  eval_pack:\n    generation: {max_new_tokens: 9}\n")
    applied.skill = lambda index: index != 3
    assert applied.apply().exit_code is ExitCode.DONE
    assert applied.doors() == ["generate baseline", "generate candidate", "score"]


@pytest.mark.case("EVA-13")
def test_gate_that_is_added_decides_although_nothing_is_trained(applied: Bench) -> None:
    applied.edit(_GATE, _MORE)
    outcome = applied.apply()
    assert outcome.exit_code is ExitCode.DONE
    assert applied.jobs == []
    assert outcome.gates["pass"] == 2


@pytest.mark.case("EVA-13")
def test_gate_that_is_added_and_not_passed_blocks(bench: Bench) -> None:
    bench.skill = lambda index: index % 6 != 0
    assert bench.apply().exit_code is ExitCode.DONE
    promoted = bench.promoted()
    bench.edit(_GATE, _MORE.replace("threshold: 0.7", "threshold: 0.95"))
    outcome = bench.apply()
    assert outcome.exit_code is ExitCode.GATE_NOT_PASSED
    assert bench.jobs == []
    assert outcome.gates["fail"] == 1
    assert bench.records()["eval_pack"].status is Status.QUARANTINED
    assert bench.promoted() == promoted


@pytest.mark.case("EVA-11")
def test_nothing_is_promoted_unjudged_unless_the_manifest_says_so(bench: Bench) -> None:
    bench.edit(f"    gates:\n{_GATE}", "    datasets: [gold]\n")
    with pytest.raises(FindingsError) as refused:
        bench.built()
    errors = [item for item in refused.value.findings if item.severity == "error"]
    assert [str(item.code) for item in errors] == ["NO_REQUIRED_GATE"]
    assert "promote_ungated: true" in errors[0].actionable_fix
    bench.edit("deployment:", "workflow: {gate_policy: {promote_ungated: true}}\n  deployment:")
    assert bench.apply().exit_code is ExitCode.DONE
    assert bench.promoted() is not None


def test_rows_that_change_places_between_gold_sources_are_scored_again(bench: Bench) -> None:
    """The same rows and answers, but the slices by source hold others."""
    bench.edit(
        "  dataset:",
        "    - {name: later, type: gold_test, file_path: data/later.jsonl}\n  dataset:",
    )
    bench.edit("deployment:", "workflow: {gate_policy: {allow_weakening: true}}\n  deployment:")
    bench.skill = lambda index: index % 10 != 0
    places = {"gold": range(100, 115), "later": range(115, 140)}
    for name, numbers in places.items():
        bench.write_rows(name, numbers)
    assert bench.apply().exit_code is ExitCode.DONE
    before = _accuracy_by_source(bench)
    for (name, _), numbers in zip(places.items(), reversed(places.values()), strict=True):
        bench.write_rows(name, numbers)
    assert bench.apply().exit_code is ExitCode.DONE
    assert bench.doors() == ["score"]
    after = _accuracy_by_source(bench)
    assert after == {"gold": before["later"], "later": before["gold"]}
    assert before["gold"] != before["later"]


def _accuracy_by_source(bench: Bench) -> dict[str, object]:
    """Return source to rows and accuracy of the candidate, as the newest metrics have them."""
    digest = bench.records()["eval_pack"].outputs["metrics"].digest
    metrics = json.loads(bench.artifacts().read_bytes(digest))
    slices = metrics["sets"]["gold_test"]["roles"]["candidate"]["slices"]
    return {
        name.removeprefix("source="): (
            place["metrics"]["accuracy"]["n"],
            place["metrics"]["accuracy"]["value"],
        )
        for name, place in slices.items()
        if name.startswith("source=")
    }
