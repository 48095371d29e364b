"""Nothing is promoted on evidence that does not belong to it, whatever a state says."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from brewslm.contracts import Output
from brewslm.fingerprint import digest_value
from tests.apply.bench import Bench
from tests.cli.conftest import Doubles, Run

Document = dict[str, Any]
_EXPORTED = ["brewslm.engine.export:run"] * 2
"""What may follow a verdict before the pointer moves."""


@pytest.fixture
def failed(applied: Bench) -> Bench:
    """Return a project whose candidate was promoted and whose next one failed its gate."""
    applied.edit("2.0e-3", "1.0e-3")
    applied.skill = lambda _index: False
    assert applied.apply().exit_code == 3
    return applied


def _push(bench: Bench, run: Run, change: Callable[[Document], None]) -> int:
    """Put an edited state in the place of the one that is there, its digest made to fit."""
    document = run("state", "pull").document
    change(document)
    document["serial"] += 1
    body = {name: value for name, value in document.items() if name != "digest"}
    (bench.root / "edited.json").write_text(json.dumps({**body, "digest": digest_value(body)}))
    return run("state", "push", "edited.json").code


def _eval_pack(document: Document) -> Document:
    records: list[Document] = document["resources"]
    return next(item for item in records if item["address"] == "eval_pack")


def _as_passed(document: Document) -> None:
    record = _eval_pack(document)
    record["status"], record["reason"] = "current", ""
    record["values"]["verdict"] = "PASS"
    for gate in record["values"]["gates"]:
        gate["verdict"] = "PASS"


@pytest.mark.case("DEP-01", "EVA-12")
def test_verdict_that_failed_promotes_nothing_though_its_record_says_pass(
    failed: Bench, run: Run, doubles: Doubles
) -> None:
    promoted = failed.promoted()
    assert _push(failed, run, _as_passed) == 0
    answer = run("apply", "--auto-approve")
    answer.says(6, "deployment_promote_blocked")
    assert (failed.promoted(), doubles.doors) == (promoted, _EXPORTED)


@pytest.mark.case("DEP-01", "EVA-12")
def test_verdict_on_another_candidate_promotes_nothing(
    failed: Bench, run: Run, doubles: Doubles
) -> None:
    promoted = failed.promoted()

    def change(document: Document) -> None:
        _as_passed(document)
        evidence = document["deployments"][-1]["evidence_digest"]
        _eval_pack(document)["outputs"]["verdict"]["digest"] = evidence

    assert _push(failed, run, change) == 0
    answer = run("apply", "--auto-approve")
    answer.says(6, "eval_evidence_mismatch")
    assert (failed.promoted(), doubles.doors) == (promoted, _EXPORTED)


def _forged(bench: Bench, digest: str, **changes: Any) -> Document:
    """Keep a verdict that says something else, and return what a state says of it."""
    verdict = json.loads(bench.artifacts().read_bytes(digest)) | changes
    return _named(bench.artifacts().put_bytes(json.dumps(verdict).encode()))


def _named(kept: Output) -> Document:
    return {"digest": kept.digest, "size_bytes": kept.size_bytes}


@pytest.mark.parametrize("threshold", ["0", "0.0", "1", "1.0", "5e-1"])
@pytest.mark.usefixtures("doubles")
def test_any_way_to_write_a_threshold_promotes(threshold: str, bench: Bench, run: Run) -> None:
    bench.edit("metric_id: accuracy, threshold: 0.8", f"metric_id: mcc, threshold: {threshold}")
    run("apply", "--auto-approve").says(0)
    assert bench.promoted() is not None


@pytest.mark.case("EVA-08")
@pytest.mark.usefixtures("doubles")
def test_predictions_are_no_verdict(failed: Bench, run: Run) -> None:
    promoted = failed.promoted()

    def change(document: Document) -> None:
        _as_passed(document)
        outputs = _eval_pack(document)["outputs"]
        outputs["verdict"] = outputs["predictions.candidate.gold_test"]

    assert _push(failed, run, change) == 0
    run("apply", "--auto-approve").says(6, "eval_evidence_mismatch", "no such document")
    assert failed.promoted() == promoted


@pytest.mark.case("EVA-08", "EVA-12", "DEP-01")
@pytest.mark.parametrize(
    ("borrowed", "said"),
    [
        ((), "the verdict is on other metrics"),
        (("metrics",), "the metrics are of other predictions on gold_test"),
        (("metrics", "predictions"), "another model made the predictions on gold_test"),
    ],
    ids=["verdict", "metrics", "predictions"],
)
def test_evidence_of_another_candidate_promotes_nothing(
    borrowed: tuple[str, ...], said: str, applied: Bench, run: Run, doubles: Doubles
) -> None:
    theirs = applied.records()["eval_pack"].outputs
    applied.edit("2.0e-3", "1.0e-3")
    applied.skill = lambda _index: False
    assert applied.apply().exit_code == 3
    promoted = applied.promoted()
    candidate = applied.records()["training_plan"].outputs["lora_adapter"].digest
    forged = _forged(applied, theirs["verdict"].digest, candidate_digest=candidate)

    def change(document: Document) -> None:
        _as_passed(document)
        outputs = _eval_pack(document)["outputs"]
        outputs["verdict"] |= forged
        for name in outputs:
            if name.partition(".")[0] in borrowed:
                outputs[name] |= _named(theirs[name])

    assert _push(applied, run, change) == 0
    run("apply", "--auto-approve").says(6, "eval_evidence_mismatch", said)
    assert (applied.promoted(), doubles.doors) == (promoted, _EXPORTED)
    assert len(applied.deployments()) == 1


def _comparing(bench: Bench) -> None:
    """Gate on the difference to the base model and to what is promoted."""
    bench.edit(
        "threshold: 0.8, operator: gte}",
        "threshold: 0.8, baseline: base_model, max_regression: 0}\n"
        "      - {metric_id: macro_f1, baseline: champion, max_regression: 0}",
    )


@pytest.mark.case("EVA-08", "DEP-01")
@pytest.mark.parametrize("role", ["baseline", "promoted"])
def test_answers_of_a_weaker_model_to_compare_with_promote_nothing(
    role: str, applied: Bench, run: Run, doubles: Doubles
) -> None:
    _comparing(applied)
    applied.edit("2.0e-3", "1.0e-3")
    applied.skill = lambda index: index % 3 != 0
    assert applied.apply().exit_code == 3
    promoted = applied.promoted()
    doubles.answer = applied.answer

    def change(document: Document) -> None:
        _as_passed(document)
        outputs = _eval_pack(document)["outputs"]
        candidates = outputs["predictions.candidate.gold_test"]
        metrics = json.loads(applied.artifacts().read_bytes(outputs["metrics"]["digest"]))
        metrics["files"][f"predictions.{role}.gold_test"] = candidates["digest"]
        ours = metrics["sets"]["gold_test"]["roles"]["candidate"]["metrics"]
        for values in (ours["accuracy"], ours["macro_f1"]):
            values |= {"value": 1.0, "k": values["n"]}
        for compared in metrics["sets"]["gold_test"]["comparisons"].values():
            for values in compared["metrics"].values():
                values |= {"delta": 0.0, "mcnemar": None}
        made = applied.artifacts().put_bytes(json.dumps(metrics).encode())
        verdict = json.loads(applied.artifacts().read_bytes(outputs["verdict"]["digest"]))
        for gate in verdict["gates"]:
            gate |= {"verdict": "PASS", "passed": True}
        passed = {"verdict": "PASS", "metrics_digest": made.digest, "gates": verdict["gates"]}
        outputs["metrics"] |= _named(made)
        outputs["verdict"] |= _forged(applied, outputs["verdict"]["digest"], **passed)
        outputs[f"predictions.{role}.gold_test"] |= {**candidates}

    assert _push(applied, run, change) == 0
    said = f"another model made the predictions of the {role} on gold_test"
    run("apply", "--auto-approve").says(6, "eval_evidence_mismatch", said)
    assert applied.promoted() == promoted


@pytest.mark.case("EVA-12")
def test_verdict_that_its_own_metrics_contradict_promotes_nothing(
    failed: Bench, run: Run, doubles: Doubles
) -> None:
    promoted = failed.promoted()
    kept = failed.records()["eval_pack"].outputs["verdict"].digest
    gates = json.loads(failed.artifacts().read_bytes(kept))["gates"]
    passed = [gate | {"verdict": "PASS", "passed": True} for gate in gates]
    forged = _forged(failed, kept, verdict="PASS", gates=passed)

    def change(document: Document) -> None:
        _as_passed(document)
        _eval_pack(document)["outputs"]["verdict"] |= forged

    assert _push(failed, run, change) == 0
    answer = run("apply", "--auto-approve")
    answer.says(6, "eval_evidence_mismatch", "apply --replace eval_pack")
    assert (failed.promoted(), doubles.doors) == (promoted, _EXPORTED)
    doubles.answer = failed.answer
    run("apply", "--auto-approve", "--replace", "eval_pack").says(3)
    assert failed.promoted() == promoted


def _promotion_of(document: Document, digest: str, evidence: str) -> None:
    """Let a state say that a candidate was promoted last, on this evidence."""
    row = max(document["deployments"], key=lambda item: int(item["sequence"]))
    sequence = row["sequence"] + 1
    forged = {**row, "digest": digest, "evidence_digest": evidence, "sequence": sequence}
    document["deployments"].append(forged)
    record = next(item for item in document["resources"] if item["kind"] == "deployment")
    record["outputs"]["promoted"]["digest"] = digest


@pytest.mark.case("DEP-01")
@pytest.mark.parametrize(
    ("said", "is_borrowed", "is_promotion"),
    [
        ("deployment_promote_blocked", False, True),
        ("eval_evidence_mismatch", True, True),
        ("eval_evidence_mismatch", True, False),
    ],
    ids=["own verdict", "verdict of another", "record alone"],
)
def test_state_that_promotes_what_did_not_pass_is_not_pushed(
    said: str, is_borrowed: bool, is_promotion: bool, failed: Bench, run: Run
) -> None:
    promoted, records = failed.promoted(), failed.records()
    candidate = records["training_plan"].outputs["lora_adapter"].digest
    own = records["eval_pack"].outputs["verdict"].digest
    evidence = failed.deployments()[0].evidence_digest if is_borrowed else own

    def change(document: Document) -> None:
        _promotion_of(document, candidate, evidence)
        if not is_promotion:
            document["deployments"].pop()

    assert _push(failed, run, change) == 6
    run("state", "push", "edited.json").says(6, said)
    assert (failed.promoted(), failed.records()) == (promoted, records)
    assert not (failed.home / "backups").exists()


@pytest.mark.case("DEP-01")
def test_candidate_without_a_verdict_is_not_promoted(
    failed: Bench, run: Run, doubles: Doubles
) -> None:
    promoted = failed.promoted()

    def change(document: Document) -> None:
        _as_passed(document)
        del _eval_pack(document)["outputs"]["verdict"]

    assert _push(failed, run, change) == 0
    remedy = "brewslm apply --replace eval_pack"
    run("apply", "--auto-approve").says(1, "state_corrupt", remedy)
    assert (failed.promoted(), doubles.doors) == (promoted, _EXPORTED)


@pytest.mark.case("DEP-01")
def test_candidate_that_nobody_can_judge_is_not_promoted(applied: Bench, run: Run) -> None:
    promoted = applied.promoted()
    applied.edit("2.0e-3", "1.0e-3")
    applied.edit("operator: gte", "operator: gte, decide_on: lower")
    applied.skill = lambda index: index > 2
    assert applied.apply().exit_code == 3
    assert "INCONCLUSIVE  right" in run("show").out
    assert applied.promoted() == promoted
