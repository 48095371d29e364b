"""Gate checks, packs and weakenings: what a plan says before anything runs."""

from typing import Any

import pytest

from brewslm.contracts import Category, category_of
from brewslm.tasks.builtin_packs import BUILTIN_PACKS, builtin_pack
from brewslm.tasks.gate import Gate
from brewslm.tasks.gate_checks import gate_problems
from brewslm.tasks.metrics import known_metric_ids, resolve_metric
from brewslm.tasks.packs import PackError, gates_of, pack_from
from brewslm.tasks.task import TASKS
from brewslm.tasks.weakening import weakenings

LABELS: dict[str, Any] = {"allowed_labels": ["a", "b"]}


def codes(*gates: Gate, **facts: Any) -> list[tuple[str, str]]:
    found = gate_problems(gates, "classification", LABELS, **facts)
    return [(problem.code, problem.severity) for problem in found]


@pytest.mark.case("EVA-02", "EVA-03", "EVA-11")
@pytest.mark.parametrize(
    ("fields", "code", "severity"),
    [
        ({"metric_id": "acuracy", "threshold": 0.5}, "GATE_METRIC_UNKNOWN", "error"),
        ({"metric_id": "overall_em", "threshold": 0.5}, "GATE_METRIC_UNKNOWN", "error"),
        (
            {"metric_id": "safety_pass_rate", "threshold": 0.5, "required": False},
            "METRIC_NOT_PRODUCED",
            "warning",
        ),
        ({"metric_id": "accuracy"}, "GATE_THRESHOLD", "error"),
        ({"metric_id": "accuracy", "threshold": 1.5}, "GATE_THRESHOLD", "error"),
        (
            {"metric_id": "accuracy", "threshold": 0.5, "operator": "lte"},
            "GATE_DIRECTION",
            "warning",
        ),
        (
            {"metric_id": "accuracy", "threshold": 0.5, "decide_on": "upper"},
            "GATE_DIRECTION",
            "warning",
        ),
        ({"metric_id": "accuracy", "max_regression": 0.1}, "GATE_OPTIONS", "error"),
        (
            {"metric_id": "accuracy", "threshold": 0.5, "on_inconclusive": "warn"},
            "GATE_OPTIONS",
            "error",
        ),
        (
            {"metric_id": "accuracy", "threshold": 0.85, "decide_on": "lower"},
            "GATE_UNDERPOWERED",
            "error",
        ),
        ({"metric_id": "accuracy", "threshold": 0.5, "min_n": 21}, "GATE_UNDERPOWERED", "error"),
        ({"metric_id": "accuracy", "threshold": 0.0}, "GATE_UNDERPOWERED", "info"),
        ({"metric_id": "mean_new_tokens", "threshold": 3.0}, "GATE_METRIC_UNKNOWN", "error"),
    ],
)
def test_each_problem_has_its_code(fields: dict[str, Any], code: str, severity: str) -> None:
    sound = Gate(gate_id="sound", metric_id="accuracy", threshold=0.5)
    assert codes(sound, Gate(**fields), rows=20) == [(code, severity)]


BASE: dict[str, Any] = {"baseline": "base_model", "max_regression": 0.1}
WORST: dict[str, Any] = {"operator": "worst_slice_gte", "slice_name": "site"}
HALF: dict[str, Any] = {"metric_id": "accuracy", "threshold": 0.5}
RATE: dict[str, Any] = {"metric_id": "unparseable_rate", "operator": "lte"}
OPTIONAL: dict[str, Any] = {"required": False, "threshold": 3.0}


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (WORST | HALF | {"slice": "site=north"}, "GATE_OPTIONS error slice"),
        (HALF | {"operator": "worst_slice_gte"}, "GATE_OPTIONS error slice_name"),
        (HALF | {"slice_name": "site"}, "GATE_OPTIONS error slice_name"),
        (WORST | HALF | {"slice_name": "sites"}, "GATE_OPTIONS error slice_name"),
        *[(WORST | HALF | {"slice_name": name}, "") for name in ("site", "length", "label")],
        (HALF | {"baseline": "champion"}, "GATE_OPTIONS error max_regression"),
        (HALF | {"max_regression": 0.1}, "GATE_OPTIONS error baseline"),
        (HALF | {"on_inconclusive": "warn"}, "GATE_OPTIONS error on_inconclusive"),
        (HALF | {"on_inconclusive": "warn", "required": False}, ""),
        (HALF | BASE | {"test": "none", "decide_on": "lower"}, "GATE_OPTIONS error test"),
        (HALF | BASE | {"test": "none"}, ""),
        (HALF | {"test": "none", "decide_on": "lower"}, ""),
        ({"metric_id": "accuracy"} | WORST | BASE, "GATE_THRESHOLD error threshold"),
        ({"metric_id": "accuracy"} | BASE, ""),
        ({"metric_id": "accuracy", "operator": "lte"} | BASE, ""),
        (RATE | {"threshold": 0.2}, ""),
        (RATE | {"threshold": 0.2, "operator": "gte"}, "GATE_DIRECTION warning operator"),
        ({"metric_id": "mean_new_tokens", "operator": "gte"} | OPTIONAL, ""),
        ({"metric_id": "mean_new_tokens", "operator": "lte"} | OPTIONAL, ""),
        (HALF | {"decide_on": "upper"}, "GATE_DIRECTION warning decide_on"),
        (HALF | {"decide_on": "lower"}, ""),
        (RATE | {"threshold": 0.5, "decide_on": "lower"}, "GATE_DIRECTION warning decide_on"),
        (RATE | {"threshold": 0.5, "decide_on": "upper"}, ""),
        (HALF | {"min_n": 20}, ""),
        (HALF | {"min_n": 21}, "GATE_UNDERPOWERED error min_n"),
        (HALF | {"min_n": 21, "required": False}, "GATE_UNDERPOWERED info min_n"),
        (HALF | {"min_n": 9, "slice": "site=north"}, ""),
        (HALF | {"min_n": 10, "slice": "site=north"}, "GATE_UNDERPOWERED error min_n"),
        (HALF | {"threshold": 0.0}, "GATE_UNDERPOWERED info threshold"),
        (HALF | {"threshold": 0.0} | WORST, ""),
        (HALF | {"threshold": 0.0} | BASE, ""),
        (RATE | {"threshold": 1.0}, "GATE_UNDERPOWERED info threshold"),
        (HALF | {"threshold": 1.0}, ""),
        (HALF | {"threshold": 0.85, "decide_on": "lower"}, "GATE_UNDERPOWERED error decide_on"),
        (HALF | {"threshold": 0.85, "decide_on": "lower", "confidence": 0.5}, ""),
        (HALF | {"threshold": 0.85, "decide_on": "lower", "metric_id": "macro_f1"}, ""),
        (RATE | {"threshold": 0.01, "decide_on": "upper"}, "GATE_UNDERPOWERED error decide_on"),
        (RATE | {"threshold": 0.2, "decide_on": "upper"}, ""),
    ],
)
def test_each_option_is_refused_where_it_cannot_work_and_nowhere_else(
    fields: dict[str, Any], found: str
) -> None:
    sound = Gate(gate_id="sound", metric_id="accuracy", threshold=0.5)
    problems = gate_problems(
        [sound, Gate(**fields)],
        "classification",
        LABELS,
        rows=20,
        slice_rows={"site=north": 9, "site=south": 11},
    )
    assert [f"{item.code} {item.severity} {item.field}" for item in problems] == [found][
        : len(found)
    ]
    assert {item.gate_index for item in problems} <= {1}


@pytest.mark.parametrize(
    ("fields", "message", "remedy"),
    [
        (HALF | {"operator": "lte"}, "higher is better for accuracy", "write operator: gte"),
        (
            WORST | RATE | {"threshold": 0.5, "operator": "worst_slice_gte"},
            "lower is better for unparseable_rate",
            "write operator: worst_slice_lte",
        ),
        (HALF | {"decide_on": "upper"}, "decide_on: upper lets", "write decide_on: lower"),
        (
            RATE | {"threshold": 0.5, "decide_on": "lower"},
            "decide_on: lower lets",
            "write decide_on: upper",
        ),
    ],
)
def test_remedy_of_a_wrong_direction_removes_the_finding(
    fields: dict[str, Any], message: str, remedy: str
) -> None:
    (problem,) = gate_problems([Gate(**fields)], "classification", LABELS)
    assert message in problem.message
    assert problem.remedy == remedy
    name, value = remedy.removeprefix("write ").split(": ")
    assert codes(Gate(**fields | {name: value})) == []


def test_a_set_without_rows_is_one_problem() -> None:
    gate = Gate(metric_id="accuracy", threshold=0.5, decide_on="lower")
    assert codes(gate, rows=0) == [("GATE_UNDERPOWERED", "error")]


def test_gates_of_one_name_are_refused_whatever_their_case() -> None:
    def named(*gates: Gate) -> list[tuple[str, int]]:
        found = gate_problems(gates, "classification", LABELS)
        return [(item.code, item.gate_index) for item in found]

    first, second = (
        Gate(gate_id=name, metric_id="accuracy", threshold=0.5) for name in ("Main", "mAIN")
    )
    assert named(first, second) == [("DUPLICATE_GATE_ID", 1)]
    unnamed = Gate(metric_id="accuracy", threshold=0.5)
    assert named(unnamed, unnamed) == [("DUPLICATE_GATE_ID", 1)]
    assert named(unnamed, Gate(metric_id="macro_f1", threshold=0.5)) == []


def test_required_metrics_are_known_by_any_of_their_names() -> None:
    gate = Gate(metric_id="accuracy", threshold=0.5)

    def problems(*names: str) -> list[tuple[str, str, str]]:
        found = gate_problems([gate], "classification", LABELS, required_metrics=names)
        return [(item.code, item.severity, item.remedy) for item in found]

    assert problems("macro_f1", "f1", "error_rate") == []
    assert problems("acuracy") == [
        ("GATE_METRIC_UNKNOWN", "error", "write required_metric_ids: [accuracy]")
    ]


@pytest.mark.case("EVA-02")
def test_close_match_is_offered() -> None:
    gate = Gate(metric_id="acuracy", threshold=0.5)
    (problem,) = gate_problems([gate], "classification", LABELS)
    assert problem.suggestions[0] == "accuracy"
    assert "accuracy" in problem.remedy


@pytest.mark.case("EVA-02")
def test_slices_without_rows_are_errors() -> None:
    gate = Gate(metric_id="accuracy", threshold=0.5, slice="site=noth")
    assert codes(gate, slice_rows={"site=north": 9}) == [("GATE_OPTIONS", "error")]


@pytest.mark.case("EVA-11")
def test_nothing_required_blocks_a_deployment() -> None:
    gate = Gate(metric_id="accuracy", threshold=0.5, required=False)
    assert codes(gate) == [("NO_REQUIRED_GATE", "warning")]
    assert codes(gate, has_deployment=True) == [("NO_REQUIRED_GATE", "error")]
    assert codes(has_deployment=True) == [("NO_REQUIRED_GATE", "error")]
    assert codes(gate, has_deployment=True, promotes_ungated=True) == []
    assert codes(gate, promotes_ungated=True) == [("NO_REQUIRED_GATE", "warning")]
    assert codes() == []


def test_gate_that_can_refuse_nobody_is_none() -> None:
    error = ("NO_REQUIRED_GATE", "error")
    vacuous = Gate(metric_id="accuracy", threshold=0.0)
    assert error in codes(vacuous, has_deployment=True)
    compared = Gate(metric_id="accuracy", baseline="champion", max_regression=0.0)
    assert codes(compared, has_deployment=True, has_champion=False) == [error]
    assert codes(compared, has_deployment=True, has_champion=True) == []
    against_base = compared.model_copy(update={"baseline": "base_model"})
    assert codes(against_base, has_deployment=True, has_champion=False) == []
    optional = compared.model_copy(update={"required": False})
    assert codes(optional, has_deployment=True) == [error]


def test_gates_on_metrics_of_other_tasks_are_errors() -> None:
    for task in TASKS.all().values():
        for sample in task.samples:
            for metric_id in known_metric_ids():
                if resolve_metric(task.name, sample.contract, metric_id) is None:
                    gate = Gate(metric_id=metric_id, threshold=0.5)
                    found = gate_problems([gate], task.name, sample.contract)
                    assert [item.code for item in found] == ["GATE_METRIC_UNKNOWN"]


@pytest.mark.parametrize("pack_id", BUILTIN_PACKS)
def test_builtin_packs_are_sound_or_say_what_is_missing(pack_id: str) -> None:
    pack = builtin_pack(pack_id)
    for profile in set(pack.profiles()) & set(TASKS.names()):
        for sample in TASKS.load(profile).samples:
            gates = gates_of(pack, profile, sample.contract)
            assert gates
            for problem in gate_problems(gates, profile, sample.contract):
                assert problem.code in (
                    "GATE_METRIC_UNKNOWN",
                    "METRIC_NOT_PRODUCED",
                    "NO_REQUIRED_GATE",
                )


def test_offline_pack_is_whole_for_every_task_here() -> None:
    pack = builtin_pack("evalpack.local.offline")
    for task in TASKS.all().values():
        for sample in task.samples:
            gates = gates_of(pack, task.name, sample.contract)
            assert gate_problems(gates, task.name, sample.contract) == []


def test_release_pack_decides_on_bounds_in_both_directions() -> None:
    gates = gates_of(builtin_pack("evalpack.release.bounded"), "classification", LABELS)
    assert {gate.decide_on for gate in gates} == {"lower"}
    assert all(gate.on_inconclusive == "need_more" for gate in gates if gate.required)


def test_inline_gate_replaces_the_packs_of_its_id() -> None:
    inline = Gate(metric_id="accuracy", threshold=0.9)
    gates = gates_of(builtin_pack("evalpack.fast.iteration"), "classification", LABELS, [inline])
    assert [(gate.name, gate.threshold) for gate in gates] == [
        ("min_accuracy", 0.9),
        ("min_macro_f1", 0.45),
        ("min_score_above_chance", 0.25),
    ]


def test_unknown_pack_and_profile_are_refused() -> None:
    with pytest.raises(PackError) as caught:
        builtin_pack("evalpack.general.defualt")
    assert caught.value.code == "UNKNOWN_EVAL_PACK"
    with pytest.raises(PackError):
        gates_of(builtin_pack("evalpack.domain.legal"), "classification", LABELS)


def pack_values(**changes: Any) -> dict[str, Any]:
    return {
        "contract_version": "slm.evaluation-pack/v2",
        "pack_id": "own",
        "task_specs": [
            {
                "task_profile": "classification",
                "gates": [{"metric_id": "accuracy", "threshold": 0.7}],
            }
        ],
    } | changes


def test_pack_file_is_read() -> None:
    loaded = pack_from(pack_values())
    assert loaded.problems == ()
    assert gates_of(loaded.pack, "classification", LABELS)[0].threshold == 0.7


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"contract_version": "v1"}, "contract_version"),
        ({"surprise": 1}, "surprise"),
        ({"defaults": {"decide_on": "lower"}}, "extensions"),
        ({"task_profiles": ["qa"]}, "task_profiles"),
    ],
)
def test_problems_of_a_pack_file_are_named(changes: dict[str, Any], path: str) -> None:
    loaded = pack_from(pack_values(**changes))
    assert loaded.pack is None
    assert path in [problem.path for problem in loaded.problems]


@pytest.mark.parametrize(
    ("before", "after", "kind", "weakened"),
    [
        ({}, {"threshold": 0.7}, "threshold_lowered", True),
        ({}, {"threshold": 0.9}, "threshold_raised", False),
        ({"operator": "lte"}, {"operator": "lte", "threshold": 0.9}, "threshold_lowered", True),
        ({}, {"required": False}, "gate_optional", True),
        ({}, {"metric_id": "macro_f1"}, "metric_swapped", True),
        ({"min_n": 9}, {}, "sample_reduced", True),
        ({"decide_on": "lower"}, {}, "confidence_reduced", True),
        ({"confidence": 0.99}, {}, "confidence_reduced", True),
        ({"slice": "a=b"}, {}, "slice_removed", True),
        (
            {"baseline": "base_model", "max_regression": 0.0},
            {"baseline": "base_model", "max_regression": 0.1},
            "tolerance_widened",
            True,
        ),
    ],
)
def test_weakenings_are_named(
    before: dict[str, Any], after: dict[str, Any], kind: str, weakened: bool
) -> None:
    common: dict[str, Any] = {"gate_id": "g", "metric_id": "accuracy", "threshold": 0.8}
    (change,) = weakenings([Gate(**common | before)], {}, [Gate(**common | after)], {})
    assert (change.kind, change.weakened) == (kind, weakened)


def test_removed_gates_and_looser_policy_are_weakenings() -> None:
    gate = Gate(metric_id="accuracy", threshold=0.8)
    found = weakenings(
        [gate],
        {"on_inconclusive": "block", "pack_id": "a"},
        [],
        {"on_inconclusive": "warn", "pack_id": "b"},
    )
    assert [change.kind for change in found if change.weakened] == [
        "gate_removed",
        "pack_swapped",
        "inconclusive_allowed",
    ]
    assert weakenings([gate], {}, [gate], {}) == []


_OTHER: dict[str, Any] = {
    "gate_id": "other",
    "metric_id": "macro_f1",
    "operator": "lte",
    "threshold": 0.7,
    "required": False,
    "slice_name": "site",
    "min_slice_support": 4,
    "variance_policy": "mean",
    "slice": "site=north",
    "min_n": 4,
    "confidence": 0.9,
    "decide_on": "upper",
    "baseline": "champion",
    "max_regression": 0.2,
    "test": "none",
    "on_inconclusive": "warn",
}


def test_no_field_of_a_gate_changes_without_a_word() -> None:
    gate = Gate(
        gate_id="g",
        metric_id="accuracy",
        threshold=0.8,
        min_n=5,
        baseline="base_model",
        max_regression=0.1,
    )
    counting = {
        name
        for name, info in Gate.model_fields.items()
        if category_of(info) is not Category.METADATA
    }
    assert counting == _OTHER.keys(), "give every field that counts a looser value"
    for name, value in _OTHER.items():
        found = weakenings([gate], {}, [gate.model_copy(update={name: value})], {})
        assert [change.weakened for change in found][:1] == [True], name


def test_policy_of_any_key_is_compared_and_weaker_unless_known_to_be_stricter() -> None:
    def weaker(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
        return [item.path for item in weakenings([], before, [], after) if item.weakened]

    assert weaker({"rule_of_tomorrow": 1}, {"rule_of_tomorrow": 2}) == ["policy.rule_of_tomorrow"]
    assert weaker({"rule_of_tomorrow": 1}, {}) == ["policy.rule_of_tomorrow"]
    assert weaker({}, {"rule_of_tomorrow": 1}) == [], "an older program did not speak of it"
    assert weaker({"options": {"a": 1}}, {"options": {"b": 1}}) == ["options.a", "options.b"]
    assert weaker({"compare_to": "champion"}, {"compare_to": "none"}) == ["policy.compare_to"]
    assert weaker({"compare_to": "none"}, {"compare_to": "champion"}) == []
    assert weaker({"epochs": 5}, {"epochs": 1}) == ["policy.epochs"]
    assert weaker({"epochs": 1}, {"epochs": 5}) == []
    assert weaker({"contract": {"json_schema": None}}, {"contract": {"json_schema": "x"}}) == []
    assert weaker({"promote_ungated": False}, {"promote_ungated": True}) == [
        "policy.promote_ungated"
    ]
