"""What a plan says of an evaluation before anything runs: its gates, its pieces, what weakened."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from brewslm.address import Address
from brewslm.artifacts.memory import MemoryArtifacts
from brewslm.artifacts.store import Produced
from brewslm.contracts import Output, spec_values
from brewslm.manifest.host import HostFacts
from brewslm.manifest.load import load_manifest
from brewslm.plan.evaluation_shape import shape_of
from brewslm.plan.judging import Judgement, failing_gates, judge
from brewslm.state.records import ResourceRecord
from brewslm.tasks.gate import Gate
from tests.apply.bench import Bench
from tests.state.states import resource

_GATE = "{gate_id: right, metric_id: accuracy, threshold: 0.8, operator: gte}"
_DEPLOYMENT = "  deployment: {target_profile_id: cpu_local}\n"
_CANDIDATE = Output("sha256:candidate", 1, is_folder=True)
_ROWS = "dataset:gold_test"
_ROLES = ("baseline", "candidate")


class Asked:
    """A project and what is known of it, without a state."""

    def __init__(self, root: Path) -> None:
        self.bench = Bench.make(root / "project")
        self.artifacts = MemoryArtifacts()
        self.prepared = {
            "task_profile": "classification",
            "contract": {"labels": ["late", "lost", "torn"], "scoring_mode": "auto"},
            "splits": {"gold_test": 30},
        }
        self.outputs = {
            Address("model"): {"base": Output("sha256:base", 1, is_folder=True)},
            Address("dataset"): {"gold_test": Output("sha256:rows", 1)},
            Address("training_plan"): {"lora_adapter": _CANDIDATE},
        }
        self.record: ResourceRecord | None = None
        self.workflow: ResourceRecord | None = None
        self.folder: Path | None = None
        self.gates: tuple[Gate, ...] | None = None
        """In place of those of the manifest."""

    def gate(self, gate: str) -> None:
        """Ask for another gate."""
        self.bench.edit(_GATE, gate)

    def judged(self, **more: bool) -> Judgement:
        """Return what the plan says."""
        specs = dict(load_manifest(self.bench.root, host=HostFacts()).specs())
        if self.gates is not None:
            pack = Address("eval_pack")
            specs[pack] = specs[pack].model_copy(update={"gates": self.gates})
        return judge(
            specs,
            self.prepared,
            self.outputs,
            self.record,
            self.workflow,
            self.artifacts,
            prepared_folder=self.folder,
            **({"candidate_is_known": True, "is_same_data": True} | more),
        )

    def told(self) -> dict[str, str]:
        """Return the severity of each finding by code, that of small samples left out."""
        found = {str(item.code): item.severity.value for item in self.judged().findings}
        return {code: level for code, level in found.items() if code != "GATE_POWER"}

    def evaluated(self, rows: str = "sha256:rows", **gate: Any) -> None:
        """Record an evaluation by one gate."""
        was = Gate.model_validate({"gate_id": "right", "metric_id": "accuracy"} | gate)
        self.record = resource(
            "eval_pack",
            kind="eval_pack",
            spec={"datasets": []},
            facts={"inputs": {_ROWS: rows}},
            values={"contract_of_gates": {"gates": [spec_values(was)], "policy": {}}},
            outputs={},
        )


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def test_candidate_that_nothing_can_refuse_is_not_promoted(asked: Asked) -> None:
    assert asked.told() == {}
    asked.gates = (Gate(metric_id="accuracy", threshold=0.8, required=False),)
    assert asked.told() == {"NO_REQUIRED_GATE": "error"}
    asked.bench.edit(_DEPLOYMENT, "")
    assert asked.told() == {"NO_REQUIRED_GATE": "warning"}
    asked.bench.edit("spec:\n", f"spec:\n{_DEPLOYMENT}")
    assert asked.told() == {"NO_REQUIRED_GATE": "error"}
    asked.bench.edit("spec:\n", "spec:\n  workflow: {gate_policy: {promote_ungated: true}}\n")
    assert asked.told() == {}


def test_comparison_with_a_champion_refuses_once_there_is_one(asked: Asked) -> None:
    asked.gate("{metric_id: accuracy, baseline: champion, max_regression: 0.0}")
    assert asked.told() == {"NO_REQUIRED_GATE": "error"}
    asked.outputs[Address("deployment")] = {"promoted": _CANDIDATE}
    assert asked.told() == {}


def test_required_metric_that_the_task_does_not_produce_is_an_error(
    asked: Asked, metrics: dict[str, Any]
) -> None:
    pack = {
        "contract_version": "slm.evaluation-pack/v2",
        "extensions": ["brewslm/gates-1"],
        "pack_id": "desk",
        "task_specs": [
            {
                "task_profile": "classification",
                "required_metric_ids": ["schema_valid_rate"],
                "gates": [{"metric_id": "accuracy", "threshold": 0.8}],
            }
        ],
    }
    (asked.bench.root / "pack.yaml").write_text(json.dumps(pack))
    asked.bench.edit(f"    gates:\n      - {_GATE}", "    path: pack.yaml")
    assert asked.told() == {"GATE_METRIC_UNKNOWN": "error"}
    _keep(asked, metrics)
    judged = asked.judged()
    assert (judged.verdict, judged.failing) == ("INCONCLUSIVE", ("schema_valid_rate",))


def test_slice_without_rows_is_an_error_unless_it_was_decided_on_them(
    asked: Asked, tmp_path: Path
) -> None:
    asked.folder = tmp_path
    row = {"row_id": "1", "messages": [{"role": "user", "content": "x"}], "completion_from": 1,
           "inputs": {"text": "x"}, "reference": {"label": "late"}, "tags": {}}  # fmt: skip
    (tmp_path / "gold_test.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "index.jsonl").write_text('{"row_id": "1", "source": "gold"}\n')
    asked.gate(_GATE.replace("}", ", slice: region=north}"))
    assert asked.told() == {"GATE_OPTIONS": "error"}
    asked.evaluated(threshold=0.8, slice="region=north")
    assert asked.told() == {}
    asked.evaluated("sha256:others", threshold=0.8, slice="region=north")
    assert asked.told() == {"GATE_OPTIONS": "error"}
    asked.evaluated(threshold=0.8, slice="region=south")
    assert "GATE_OPTIONS" in asked.told()
    asked.evaluated(threshold=0.8, slice="region=north")
    asked.prepared["splits"] = {"test": 30}
    (tmp_path / "gold_test.jsonl").rename(tmp_path / "test.jsonl")
    assert "GATE_OPTIONS" in asked.told(), "another set decides, of a digest that is not known yet"


def test_only_what_is_kept_whole_is_not_generated_again(asked: Asked) -> None:
    wanted = {f"predictions.{role}.gold_test": 30 for role in _ROLES}
    judged = asked.judged()
    assert judged.rows_to_generate == wanted
    assert judged.facts["tiers"] == {"predictions": "generated", "rows": 60}
    scores = [name.replace("predictions", "scores") for name in wanted]
    assert judged.part_names == tuple(sorted([*wanted, *scores]))
    specs = load_manifest(asked.bench.root, host=HostFacts()).specs()
    shape = shape_of(specs, asked.prepared, asked.outputs)
    part = shape.prediction_parts(_CANDIDATE.digest)["baseline", "gold_test"]
    outputs = {name: asked.artifacts.put_bytes(name.encode()) for name in (part.name, "the rest")}
    assert part.fingerprint is not None
    asked.artifacts.record_produced(Produced(part.fingerprint, "eval_pack", {}, outputs))
    judged = asked.judged()
    assert judged.rows_to_generate == {"predictions.candidate.gold_test": 30}
    assert judged.known == {part.name: outputs[part.name]}
    assert (judged.verdict, judged.failing) == (None, ())
    assert asked.judged(is_redone=True).rows_to_generate == wanted
    asked.artifacts.trash(outputs["the rest"].digest)
    assert asked.judged().rows_to_generate == wanted


@pytest.mark.parametrize(("was", "is_weaker"), [(0.9, True), (0.7, False)])
def test_weaker_gate_is_refused_unless_the_recorded_policy_allows_it(
    asked: Asked, was: float, is_weaker: bool
) -> None:
    asked.evaluated(threshold=was)
    (change,) = [item for item in asked.judged().changes if "threshold" in item.path]
    assert (change.before, change.after, change.weakened) == (was, 0.8, is_weaker)
    refused = {"GATE_WEAKENED": "error"} if is_weaker else {}
    assert asked.told() == refused
    told = [item for item in asked.judged().findings if item.code == "GATE_WEAKENED"]
    assert [(item.found, item.expected) for item in told] == [("0.8", str(was))] * is_weaker
    assert not any("put the rows back" in item.actionable_fix for item in told)
    for allows in (False, True):
        policy = {"gate_policy": {"allow_weakening": allows}}
        asked.workflow = resource("workflow", kind="workflow", spec=policy)
        assert asked.told() == ({} if allows else refused)


@pytest.fixture(scope="module")
def metrics(promoted: Path) -> dict[str, Any]:
    """Return the metrics of a candidate that got every row right, without a champion."""
    bench = Bench(promoted)
    digest = bench.records()["eval_pack"].outputs["metrics"].digest
    return dict(json.loads(bench.artifacts().read_bytes(digest)))


def _keep(asked: Asked, metrics: dict[str, Any] | str) -> None:
    """Keep metrics as those of this evaluation, with all predictions that they are of."""
    specs = dict(load_manifest(asked.bench.root, host=HostFacts()).specs())
    shape = shape_of(specs, asked.prepared, asked.outputs)
    known = {}
    for part in shape.prediction_parts(_CANDIDATE.digest).values():
        assert part.fingerprint is not None
        known[part.name] = asked.artifacts.put_bytes(part.fingerprint.encode())
        produced = Produced(part.fingerprint, "eval_pack", {}, {part.name: known[part.name]})
        asked.artifacts.record_produced(produced)
    fingerprint = shape.metrics({name: output.digest for name, output in known.items()}).fingerprint
    assert fingerprint is not None
    text = metrics if isinstance(metrics, str) else json.dumps(metrics)
    kept = {"metrics": asked.artifacts.put_bytes(text.encode())}
    asked.artifacts.record_produced(Produced(fingerprint, "eval_pack", {}, kept))


def test_verdict_is_told_from_kept_metrics(asked: Asked, metrics: dict[str, Any]) -> None:
    assert asked.judged().verdict is None
    _keep(asked, metrics)
    judged = asked.judged()
    assert (judged.verdict, judged.failing, judged.rows_to_generate) == ("PASS", (), {})
    assert judged.facts["predicted"] == {"verdict": "PASS", "right": "PASS"}
    own = metrics["sets"]["gold_test"]["roles"]["candidate"]["metrics"]
    worse = json.loads(json.dumps(metrics))
    assert own["accuracy"]["value"] == 1.0
    worse["sets"]["gold_test"]["roles"]["candidate"]["metrics"]["accuracy"].update(
        value=0.5, k=own["accuracy"]["n"] // 2
    )
    _keep(asked, worse)
    assert (asked.judged().verdict, asked.judged().failing) == ("FAIL", ("right",))


def test_metrics_of_a_champion_are_missed_only_where_there_is_one(
    asked: Asked, metrics: dict[str, Any]
) -> None:
    asked.gate(_GATE.replace("}", ", baseline: champion, max_regression: 0.0}"))
    _keep(asked, metrics)
    assert asked.judged().verdict == "PASS"
    asked.outputs[Address("deployment")] = {"promoted": _CANDIDATE}
    _keep(asked, metrics)
    judged = asked.judged()
    assert judged.verdict not in (None, "PASS")
    assert judged.failing == ("right",)


def test_gates_are_counted_by_what_they_do(asked: Asked) -> None:
    bar = Gate(metric_id="accuracy", threshold=0.8)
    asked.gates = (bar, bar.model_copy(update={"gate_id": "wish", "required": False}))
    assert asked.judged().facts["gates"] == {
        "required": 1,
        "optional": 1,
        "decide on": "gold_test, 30 rows",
        "answers compared as": "label",
    }
    asked.gates = (bar,)
    assert asked.judged().facts["gates"]["optional"] is None


def test_only_the_rows_of_the_set_that_decides_are_enough(asked: Asked) -> None:
    asked.prepared["splits"] = {"gold_test": 30, "gold_dev": 40}
    asked.bench.edit("    gates:", "    datasets: [gold_test, gold_dev]\n    gates:")
    asked.gate(_GATE.replace("}", ", min_n: 50}"))
    judged = asked.judged()
    assert judged.facts["gates"]["decide on"] == "gold_test, 30 rows"
    assert judged.rows_to_generate["predictions.candidate.gold_dev"] == 40
    (told,) = [item for item in judged.findings if item.code == "GATE_UNDERPOWERED"]
    assert (told.field, told.expected) == ("gates[0].min_n", "at most 30")


def test_rows_to_train_on_without_any_to_decide_on_are_an_error(asked: Asked) -> None:
    asked.prepared["splits"] = {"train": 5}
    assert asked.told() == {"EVAL_SET_EMPTY": "error"}
    asked.prepared["splits"] = {}
    assert asked.told() == {}, "that nothing can be trained is told elsewhere"


def test_pack_without_gates_for_the_task_is_an_error(asked: Asked) -> None:
    asked.bench.edit(f"    gates:\n      - {_GATE}", "    pack_id: evalpack.domain.legal")
    assert asked.told() == {"EVAL_PACK_FILE": "error"}


def test_no_verdict_is_told_without_a_candidate_or_readable_metrics(
    asked: Asked, metrics: dict[str, Any]
) -> None:
    _keep(asked, metrics)
    assert asked.judged().verdict == "PASS"
    judged = asked.judged(candidate_is_known=False)
    assert (judged.verdict, judged.failing, "predicted" in judged.facts) == (None, (), False)
    _keep(asked, "{")
    assert asked.judged().verdict is None


@pytest.mark.parametrize("is_same_data", [True, False])
def test_rows_that_only_another_version_reads_otherwise_weaken_nothing(
    asked: Asked, is_same_data: bool
) -> None:
    specs = load_manifest(asked.bench.root, host=HostFacts()).specs()
    shape = shape_of(specs, asked.prepared, asked.outputs)
    asked.evaluated("sha256:others", threshold=0.8)
    assert asked.record is not None
    asked.record = replace(
        asked.record,
        spec={"datasets": list(shape.datasets)},
        values=asked.record.values | {"dataset": "gold_test"},
    )
    judged = asked.judged(is_same_data=is_same_data)
    (change,) = [item for item in judged.changes if item.kind == "eval_rows_changed"]
    assert change.weakened is not is_same_data
    refused = [item for item in judged.findings if item.code == "GATE_WEAKENED"]
    assert len(refused) == (not is_same_data)
    assert all("or put the rows back" in item.actionable_fix for item in refused)


def test_required_gates_that_were_decided_and_did_not_pass_are_named() -> None:
    outcomes = [
        {"gate_id": "a", "required": True, "verdict": "FAIL"},
        {"gate_id": "b", "required": False, "verdict": "FAIL"},
        {"gate_id": "c", "required": True, "verdict": None},
        {"gate_id": "d", "required": True, "verdict": "PASS"},
        {"gate_id": "e", "required": True, "verdict": "INCONCLUSIVE"},
    ]
    assert failing_gates(outcomes) == ("a", "e")
