"""Why a resource has work, by the first reason that holds, with all causes and its weight."""

from typing import Any

import pytest
from msgspec.structs import replace

from brewslm.address import Address
from brewslm.contracts import Category, Kind, Output, Spec, counting_values, spec_values
from brewslm.fingerprint import fingerprint
from brewslm.manifest.project import Wanted
from brewslm.plan.comparison import Draft, causes, difference, heaviest_category
from brewslm.stages.data_source import DataSourceSpec
from brewslm.stages.kinds import KINDS
from brewslm.stages.training_config import TrainingConfig
from brewslm.stages.training_plan import TrainingPlanSpec
from brewslm.state.records import ResourceRecord
from tests.state.states import resource

_TRAINING = Address("training_plan")
_INPUTS: dict[str, str | None] = {
    "model:base": "sha256:b",
    "dataset:train": "sha256:t",
    "dataset:validation": "sha256:v",
}


def _facts(kind: Kind, spec: Spec, **more: Any) -> dict[str, Any]:
    return {"spec": counting_values(spec), "version": kind.version, **more}


def _record(address: Address, spec: Spec, facts: dict[str, Any]) -> ResourceRecord:
    return replace(
        resource(str(address)),
        kind=address.kind,
        spec=spec_values(spec),
        facts=facts,
        fingerprint=fingerprint(facts),
        outputs={"lora_adapter": Output("sha256:a", 1)},
    )


def _spec(**config: Any) -> TrainingPlanSpec:
    return TrainingPlanSpec(config=TrainingConfig(**config))


def _draft(
    spec: Spec | None = None,
    inputs: dict[str, str | None] | None = None,
    was: dict[str, Any] | None = None,
    is_recorded: bool = True,
) -> Draft:
    """Return a training as wanted; recorded with the defaults, but for the facts in `was`."""
    kind, wanted, now = KINDS["training_plan"], spec or _spec(), inputs or _INPUTS
    facts = _facts(kind, _spec(), inputs=_INPUTS) | (was or {})
    record = _record(_TRAINING, _spec(), facts)
    return Draft(
        address=_TRAINING,
        kind=kind,
        spec=wanted,
        wanted=Wanted(_TRAINING, wanted),
        record=record if is_recorded else None,
        facts=None if None in now.values() else _facts(kind, wanted, inputs=now),
        inputs=now,
    )


_OTHER = {**_INPUTS, "model:base": "sha256:c"}
_PENDING = {**_INPUTS, "dataset:train": None}
_GONE = {name: digest for name, digest in _INPUTS.items() if name != "dataset:validation"}


@pytest.mark.parametrize(
    ("draft", "reason", "paths"),
    [
        (_draft(is_recorded=False), "not_recorded", []),
        (_draft(_spec(learning_rate=0.5)), "field_changed", ["config.learning_rate"]),
        (
            _draft(_spec(learning_rate=0.5, num_epochs=9.0), _OTHER),
            "field_changed",
            ["config.learning_rate", "config.num_epochs", "model:base"],
        ),
        (_draft(inputs=_OTHER), "input_changed", ["model:base"]),
        (
            _draft(TrainingPlanSpec(plan_profile="safe"), _OTHER),
            "input_changed",
            ["plan_profile", "model:base"],
        ),
        (_draft(inputs=_GONE), "input_changed", ["dataset:validation"]),
        (
            _draft(inputs={**_INPUTS, "dataset:more": "sha256:m"}),
            "input_changed",
            ["dataset:more"],
        ),
        (_draft(inputs=_PENDING), "input_pending", ["dataset:train"]),
        (
            _draft(inputs={**_OTHER, "dataset:train": None}),
            "input_changed",
            ["model:base", "dataset:train"],
        ),
        (_draft(was={"version": 0}), "version_raised", ["training_plan"]),
        (
            _draft(inputs=_OTHER, was={"version": 0}),
            "version_raised",
            ["training_plan", "model:base"],
        ),
        (_draft(was={"content": "sha256:x", "version": 0}), "content_changed", [
            "training_plan", "training_plan"]),
        (_draft(_spec(learning_rate=0.5), was={"content": "x"}), "field_changed", [
            "config.learning_rate", "training_plan"]),
    ],
)  # fmt: skip
def test_first_reason_and_every_cause(draft: Draft, reason: str, paths: list[str]) -> None:
    assert difference(draft) == reason
    assert [cause.path for cause in causes(draft, ())] == paths
    assert not draft.is_same


def test_causes_hold_what_was_and_what_is() -> None:
    draft = _draft(_spec(learning_rate=0.5), _OTHER, was={"version": 0})
    assert [(item.kind, item.before, item.after) for item in causes(draft, ["run"])] == [
        ("field", _spec().config.learning_rate, 0.5),
        ("artifact", None, None),
        ("version", 0, KINDS["training_plan"].version),
        ("input", "sha256:b", "sha256:c"),
    ]


def test_a_resource_as_it_was_recorded_is_the_same() -> None:
    draft = _draft()
    assert (draft.is_same, causes(draft, ()), draft.fields_changed) == (True, (), [])
    assert not _draft(is_recorded=False).is_same
    pending = _draft(inputs=_PENDING)
    assert (pending.is_same, pending.identity) == (False, None)
    assert [item.path for item in causes(draft, ["run", "lora_adapter"])] == [
        "run",
        "lora_adapter",
    ]


def test_fields_that_are_newer_than_the_record_have_their_defaults() -> None:
    record = _draft().record
    assert record is not None
    config = dict(record.spec["config"])
    del config["plateau_patience"]
    older = replace(record, spec={**record.spec, "config": config})
    draft = _draft(_spec(plateau_patience=0))
    same = Draft(**{**_parts(draft), "record": older})
    assert (same.fields_changed, same.recorded_spec) == ([], record.spec)
    other = Draft(**{**_parts(_draft(_spec(plateau_patience=4))), "record": older})
    assert [(item.before, item.after) for item in causes(other, ())] == [(0, 4)]
    unknown = replace(record, spec={**record.spec, "gone": 1})
    former = Draft(**{**_parts(draft), "record": unknown})
    assert former.fields_changed == ["gone"]
    noted = Draft(**{**_parts(_draft(TrainingPlanSpec(plan_profile="safe"))), "record": unknown})
    assert "plan_profile" in noted.fields_changed
    assert heaviest_category(noted, "field_changed", {}) is Category.RECIPE


def _parts(draft: Draft) -> dict[str, Any]:
    names = ("address", "kind", "spec", "wanted", "record", "facts", "inputs")
    return {name: getattr(draft, name) for name in names}


def test_a_source_names_the_file_whose_bytes_changed() -> None:
    spec = DataSourceSpec(name="rows", type="raw", file_path="data/rows.jsonl")
    kind, address = KINDS["data_source"], Address.parse("data_source.rows")
    record = _record(address, spec, _facts(kind, spec, content="sha256:1"))
    facts = _facts(kind, spec, content="sha256:2")
    missing = Draft(address, kind, spec, Wanted(address, spec), record, None, {})
    assert causes(missing, ()) == (), "nobody knows what is in a file that is not there"
    draft = Draft(address, kind, spec, Wanted(address, spec), record, facts, {})
    assert difference(draft) == "content_changed"
    (cause,) = causes(draft, ())
    assert (cause.kind, cause.path, cause.before, cause.after) == (
        "content",
        "data/rows.jsonl",
        "sha256:1",
        "sha256:2",
    )


@pytest.mark.parametrize(
    ("draft", "reason", "changes", "category"),
    [
        (_draft(_spec(learning_rate=0.5)), "field_changed", {}, Category.RECIPE),
        (
            _draft(TrainingPlanSpec(plan_profile="safe")),
            "field_changed",
            {},
            Category.METADATA,
        ),
        (
            _draft(TrainingPlanSpec(plan_profile="safe", config=TrainingConfig(seed=7))),
            "field_changed",
            {},
            Category.RECIPE,
        ),
        (_draft(inputs=_OTHER), "input_changed", {}, KINDS["model"].category),
        (
            _draft(inputs=_OTHER),
            "input_changed",
            {Address("model"): Category.METADATA},
            Category.METADATA,
        ),
        (
            _draft(TrainingPlanSpec(plan_profile="safe"), _OTHER),
            "input_changed",
            {},
            KINDS["model"].category,
        ),
        (
            _draft(inputs=_PENDING),
            "input_pending",
            {Address("dataset"): Category.METADATA},
            Category.METADATA,
        ),
        (_draft(_spec(observability={"note": 1})), "field_changed", {}, Category.METADATA),
        (_draft(was={"version": 0}), "version_raised", {}, Category.RECIPE),
        (_draft(is_recorded=False), "not_recorded", {}, Category.RECIPE),
    ],
)
def test_a_change_weighs_what_its_heaviest_field_weighs_else_what_it_consumes(
    draft: Draft, reason: str, changes: dict[Address, Category], category: Category
) -> None:
    assert heaviest_category(draft, reason, changes) is category


@pytest.mark.parametrize(
    "reason",
    [
        "replace_requested",
        "not_recorded",
        "content_changed",
        "artifact_missing",
        "artifact_corrupt",
        "version_raised",
    ],
)
def test_work_of_its_own_weighs_what_its_kind_weighs(reason: str) -> None:
    draft = _draft(TrainingPlanSpec(plan_profile="safe"))
    assert heaviest_category(draft, reason, {}) is KINDS["training_plan"].category
