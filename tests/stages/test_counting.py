from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brewslm.contracts import (
    Category,
    Later,
    Spec,
    categories_by_path,
    category_of,
    counting_values,
    spec_values,
)
from brewslm.fingerprint import fingerprint
from brewslm.stages.eval_pack import EvalPackSpec, GenerationSpec
from brewslm.stages.kinds import KINDS
from brewslm.stages.training_config import TrainingConfig
from brewslm.stages.training_plan import TrainingPlanSpec
from brewslm.tasks.gate import Gate

METADATA = sorted(
    name
    for name, info in TrainingConfig.model_fields.items()
    if category_of(info) is Category.METADATA
)
COUNTING = sorted(set(TrainingConfig.model_fields) - set(METADATA))


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_no_metadata_field_counts(kind: Any) -> None:
    required: dict[str, Any] = {
        "project": {"name": "n"},
        "data_source": {"name": "n", "type": "raw"},
        "adapter": {"name": "n"},
        "export": {"format": "adapter"},
    }.get(kind.name, {})
    spec: Spec = kind.spec.model_validate(required)
    fields = kind.spec.model_fields
    left_out = {
        name
        for name, info in fields.items()
        if category_of(info) is Category.METADATA or Later.FIELD in info.metadata
    }
    assert set(counting_values(spec)) == set(fields) - left_out


@pytest.mark.case("PLN-13")
@settings(deadline=None)
@given(st.sampled_from(METADATA), st.integers(1, 9))
def test_metadata_of_a_recipe_never_moves_its_fingerprint(name: str, value: int) -> None:
    plain = TrainingPlanSpec()
    changed = plain.model_copy(update={"config": plain.config.model_copy(update={name: value})})
    assert fingerprint(counting_values(changed)) == fingerprint(counting_values(plain))


@pytest.mark.case("PLN-13")
@settings(deadline=None)
@given(st.sampled_from(COUNTING))
def test_every_other_field_of_a_recipe_does(name: str) -> None:
    plain = TrainingPlanSpec()
    changed = plain.model_copy(update={"config": plain.config.model_copy(update={name: "other"})})
    assert fingerprint(counting_values(changed)) != fingerprint(counting_values(plain))


def test_metadata_inside_lists_and_sections_is_left_out() -> None:
    gate = Gate(metric_id="f1", threshold=0.5, weight=3.0, source="desk", severity="info")
    pack = EvalPackSpec(
        gates=(gate,), generation=GenerationSpec(batch_size=99), extra={"note": "x"}
    )
    plain = EvalPackSpec(gates=(Gate(metric_id="f1", threshold=0.5),))
    assert counting_values(pack) == counting_values(plain)
    assert spec_values(pack) != spec_values(plain)


def test_leaves_are_told_with_their_category() -> None:
    pack = EvalPackSpec(gates=(Gate(metric_id="f1", threshold=0.5),))
    told = categories_by_path(pack, Category.GATES)
    assert told["gates[0].threshold"] is Category.GATES
    assert told["gates[0].weight"] is Category.METADATA
    assert told["generation.batch_size"] is Category.METADATA
