"""Every cause of an action is named, in the words of what changed, and undoing them ends it."""

import pytest

from brewslm.contracts import Category, Operation
from brewslm.plan.action import Action, Cause
from tests.apply.bench import Bench


def _work(bench: Bench) -> dict[str, Action]:
    return {item.address: item for item in bench.built().plan.actions if item.is_work}


@pytest.mark.parametrize(
    ("edit", "address", "reason", "category", "fields"),
    [
        (
            ("learning_rate: 2.0e-3", "learning_rate: 1.0e-3"),
            "training_plan",
            "field_changed",
            Category.RECIPE,
            ("config.learning_rate",),
        ),
        (
            ("threshold: 0.8", "threshold: 0.9"),
            "eval_pack",
            "field_changed",
            Category.GATES,
            ("gates[0].threshold",),
        ),
        (
            ("sorts complaints", "sorts them"),
            "project",
            "metadata_changed",
            Category.METADATA,
            ("description",),
        ),
        (
            ("ngram: 0", "ngram: 8"),
            "dataset",
            "field_changed",
            Category.DATA,
            ("leak_check.ngram",),
        ),
    ],
)
def test_one_edit_is_the_one_cause(
    applied: Bench,
    edit: tuple[str, str],
    address: str,
    reason: str,
    category: Category,
    fields: tuple[str, ...],
) -> None:
    applied.edit(*edit)
    action = _work(applied)[address]
    assert (action.operation, action.reason) == (Operation.UPDATE, reason)
    assert (action.category, action.fields_changed) == (category, fields)
    assert [cause.path for cause in action.causes] == list(fields)
    assert {cause.kind for cause in action.causes} == {"field"}


def test_a_field_cause_has_both_values(applied: Bench) -> None:
    applied.edit("num_epochs: 2", "num_epochs: 3")
    causes = _work(applied)["training_plan"].causes
    assert causes == (Cause(kind="field", path="config.num_epochs", before=2, after=3),)


def test_all_causes_are_listed_and_the_first_reason_wins(applied: Bench) -> None:
    applied.edit("num_epochs: 2", "num_epochs: 3")
    applied.write_rows("rows", range(70))
    action = _work(applied)["training_plan"]
    assert action.reason == "field_changed"
    assert action.category is Category.RECIPE
    assert {(cause.kind, cause.path) for cause in action.causes} >= {
        ("field", "config.num_epochs"),
        ("input", "dataset:train"),
    }


def test_changed_rows_are_a_cause_by_file_and_then_by_digest(applied: Bench) -> None:
    applied.write_rows("rows", range(70))
    work = _work(applied)
    (content,) = work["data_source.rows"].causes
    assert (content.kind, content.path) == ("content", "data/rows.jsonl")
    assert content.before != content.after
    assert work["dataset"].reason == "input_changed"
    assert work["training_plan"].reason == "input_changed"
    assert work["training_plan"].category is Category.DATA
    assert {cause.kind for cause in work["training_plan"].causes} == {"input"}
    assert work["training_plan"].fields_changed == ()


def test_what_waits_for_a_candidate_is_pending_with_its_category(applied: Bench) -> None:
    applied.edit("num_epochs: 2", "num_epochs: 3")
    work = _work(applied)
    for address in ("eval_pack", "export.adapter", "deployment"):
        action = work[address]
        assert (action.reason, action.category) == ("input_pending", Category.RECIPE)
        assert (action.fingerprint, action.facts) == (None, None)
        assert action.may_stop
        paths = [cause.path for cause in action.causes if cause.after is None]
        assert "training_plan:lora_adapter" in paths or "eval_pack:verdict" in paths


def test_a_first_plan_needs_no_cause(bench: Bench) -> None:
    for action in _work(bench).values():
        assert (action.operation, action.reason) == (Operation.CREATE, "not_recorded")
        assert action.causes == ()
        assert action.before is None
        assert not action.may_stop


def test_a_removed_format_is_deleted_as_shown(applied: Bench) -> None:
    applied.edit("[adapter, safetensors]", "[adapter]")
    action = _work(applied)["export.safetensors"]
    assert (action.operation, action.reason) == (Operation.DELETE, "removed_from_manifest")
    assert action.before is not None
    assert action.after is None


def test_what_consumed_a_removed_format_says_so(applied: Bench) -> None:
    applied.edit("[adapter, safetensors]", "[adapter]")
    action = _work(applied)["deployment"]
    assert (action.reason, action.category) == ("input_changed", Category.EXPORT)
    (cause,) = action.causes
    assert (cause.kind, cause.path, cause.after) == ("input", "export.safetensors:files", None)
    assert cause.before is not None


def test_known_changes_are_causes_beside_unknown_ones(applied: Bench) -> None:
    applied.edit("num_epochs: 2", "num_epochs: 3")
    applied.write_rows("gold", range(101, 131))
    action = _work(applied)["eval_pack"]
    assert action.reason == "input_changed"
    causes = action.causes
    known = {cause.path for cause in causes if cause.after is not None}
    assert known == {"dataset:gold_test"}
    assert {cause.path for cause in causes} - known == {"training_plan:lora_adapter"}


def test_a_removed_deployment_exceeds_the_budget(applied: Bench) -> None:
    applied.edit("  deployment: {target_profile_id: cpu_local}\n", "")
    plan = applied.built().plan
    assert not plan.is_applyable
    assert "DELETE_BUDGET_EXCEEDED" in [finding["code"] for finding in plan.findings]
    assert applied.built(max_deletes=4).plan.is_applyable


def test_a_protected_project_deletes_nothing(applied: Bench) -> None:
    applied.edit("  export:", "  workflow: {protect: true}\n  export:")
    applied.apply()
    applied.edit("[adapter, safetensors]", "[adapter]")
    plan = applied.built().plan
    assert not plan.is_applyable
    assert "PROTECTED" in [finding["code"] for finding in plan.findings]


def test_policy_for_gates_that_do_not_say_decides_again_without_a_model(applied: Bench) -> None:
    allowed = "workflow: {gate_policy: {allow_weakening: true}}"
    applied.edit("  model:", f"  {allowed}\n  model:")
    applied.apply()
    applied.edit("weakening: true", "weakening: true, on_inconclusive: warn")
    plan = applied.built().plan
    assert [change.kind for change in plan.gate_changes] == ["inconclusive_allowed"]
    assert _work(applied)["eval_pack"].fields_changed == ("on_inconclusive",)
    applied.apply()
    assert applied.jobs == []
    again = applied.built().plan
    assert (again.has_changes, again.gate_changes) == (False, ())


def test_notes_in_open_maps_are_metadata(applied: Bench) -> None:
    applied.edit("eval_pack:\n", "eval_pack:\n    extra: {asked: {by: ana}}\n")
    (action,) = _work(applied).values()
    assert (action.category, action.reason) == (Category.METADATA, "metadata_changed")
