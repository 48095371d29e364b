"""Gate checks, packs and weakenings: what a plan says before anything runs."""

from typing import Any

import pytest

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
