"""What decides beside the gates: read from specs, recorded, and read again from old records."""

from typing import Any

import pytest

from brewslm.fingerprint import digest_value
from brewslm.plan.deciding_policy import (
    deciding_policy,
    pack_of,
    recorded_policy,
    workflow_policy,
)
from brewslm.stages.eval_pack import EvalPackContentSpec, EvalPackSpec
from brewslm.stages.workflow import WorkflowSpec
from brewslm.state.records import ResourceRecord

PACK: dict[str, Any] = {
    "contract_version": "slm.evaluation-pack/v2",
    "extensions": ["brewslm/gates-1"],
    "pack_id": "desk",
    "task_specs": [
        {
            "task_profile": "classification",
            "required_metric_ids": ["macro_f1"],
            "options": {"json_mode": "strict"},
            "gates": [{"metric_id": "accuracy", "threshold": 0.7}],
        }
    ],
}
SCHEMA = {"type": "object"}
CONTRACT = {
    "json_schema": SCHEMA,
    "allowed_labels": ["a", "b"],
    "required_fields": ["x"],
    "labels": ["a"],
    "scoring_mode": "exact",
}


def _spec(**fields: Any) -> EvalPackContentSpec:
    return EvalPackContentSpec.model_validate(fields, strict=False)


def _record(kind: str, spec: dict[str, Any], **policy: Any) -> ResourceRecord:
    values = {"contract_of_gates": {"policy": policy}}
    return ResourceRecord(kind, kind, 1, spec, {}, "", values=values)


def test_every_part_of_the_policy_is_read() -> None:
    spec = _spec(
        compare_to="champion",
        epochs=3,
        seeds=[4, 5, 6],
        pack=PACK,
        generation={"max_new_tokens": 9, "temperature": 0.5, "batch_size": 2},
    )
    found = deciding_policy(spec, pack_of(spec), "classification", CONTRACT)
    asked = found.pop("generation")
    assert (asked["max_new_tokens"], asked["temperature"]) == (9, 0.5)
    assert "batch_size" not in asked, "how many rows at once decides nothing"
    options = found.pop("options")
    assert (options["json_mode"], options["normaliser"]) == ("strict", "label")
    assert found == {
        "compare_to": "champion",
        "pack_id": "desk",
        "epochs": 3,
        "seeds": [4, 5, 6],
        "contract": {
            "json_schema": digest_value(SCHEMA),
            "allowed_labels": ["a", "b"],
            "required_fields": ["x"],
        },
        "required_metrics": ["macro_f1"],
    }


def test_form_that_a_pack_names_goes_before_that_of_the_task() -> None:
    task: dict[str, Any] = PACK["task_specs"][0]
    options = {"options": {"normaliser": "words"}}
    spec = _spec(pack=PACK | {"task_specs": [task | options]})
    found = deciding_policy(spec, pack_of(spec), "classification", {})
    assert found["options"]["normaliser"] == "words"


def test_without_a_task_the_pack_counts_by_its_content() -> None:
    spec = _spec(pack=PACK)
    found = deciding_policy(spec, pack_of(spec), None, {})
    other = _spec(pack=PACK | {"pack_id": "other"})
    assert found["pack"] != deciding_policy(other, pack_of(other), None, {})["pack"]
    assert not {"required_metrics", "options"} & found.keys()
    assert "pack" not in deciding_policy(_spec(), None, None, {})


def test_without_a_pack_only_the_form_of_the_task_is_an_option() -> None:
    found = deciding_policy(EvalPackSpec(), None, "classification", {})
    assert (found["pack_id"], found["required_metrics"]) == (None, [])
    assert found["options"] == {"normaliser": "label"}
    assert deciding_policy(EvalPackSpec(), None, "unheard_of", {})["options"] == {
        "normaliser": None
    }


def test_workflow_says_all_but_its_own_leave() -> None:
    policy = {"on_inconclusive": "warn", "allow_weakening": True, "promote_ungated": True}
    found = workflow_policy(WorkflowSpec.model_validate({"gate_policy": policy}, strict=False))
    assert found["on_inconclusive"] == "warn"
    assert (found["require_baseline"], found["promote_ungated"]) == (False, True)
    assert "allow_weakening" not in found


def test_what_was_recorded_wins_over_what_its_spec_says_now() -> None:
    recorded = {"epochs": 2, "later": 1, "on_inconclusive": "block"}
    evaluation = _record(
        "eval_pack", {"epochs": 3, "pack_id": "evalpack.fast.iteration"}, **recorded
    )
    workflow = _record("workflow", {"gate_policy": {"on_inconclusive": "warn"}})
    found = recorded_policy(evaluation, workflow, "classification")
    assert (found["epochs"], found["later"]) == (2, 1)
    assert found["pack_id"] == "evalpack.fast.iteration", "an older program did not record it"
    assert found["on_inconclusive"] == "warn"
    assert "contract" not in found, "only the data of that time knew it"
    alone = recorded_policy(evaluation, None, "classification")
    assert alone["on_inconclusive"] == "block", "the workflow's own record says it otherwise"


@pytest.mark.parametrize("spec", [{"epochs": "many"}, {"pack_id": "evalpack.unheard.of"}])
def test_unreadable_spec_leaves_what_was_recorded(spec: dict[str, Any]) -> None:
    broken = _record("workflow", {"gate_policy": {"on_inconclusive": 7}})
    found = recorded_policy(_record("eval_pack", spec, epochs=2), broken, "classification")
    assert found == {"epochs": 2}
