"""Nothing is promoted on evidence that does not belong to it, whatever a state says."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from brewslm.fingerprint import digest_value
from tests.apply.bench import Bench
from tests.cli.conftest import Doubles, Run

Document = dict[str, Any]
_EXPORTED = [f"brewslm.engine.formats.{name}:run" for name in ("adapter", "safetensors")]
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


@pytest.mark.case("DEP-01")
def test_candidate_that_nobody_can_judge_is_not_promoted(applied: Bench, run: Run) -> None:
    promoted = applied.promoted()
    applied.edit("2.0e-3", "1.0e-3")
    applied.edit("operator: gte", "operator: gte, decide_on: lower")
    applied.skill = lambda index: index > 2
    assert applied.apply().exit_code == 3
    assert "INCONCLUSIVE  right" in run("show").out
    assert applied.promoted() == promoted
