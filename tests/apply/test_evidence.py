"""The chain from a candidate to its verdict: a link that belongs to something else breaks it."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from brewslm.address import Address
from brewslm.apply.clock import SystemClock
from brewslm.apply.desk import Desk
from brewslm.apply.evidence import check_evidence, check_promotions
from brewslm.apply.interruption import Stop
from brewslm.apply.scripted import ScriptedWorker
from brewslm.contracts import Output, Spec
from brewslm.errors import ExitCode, RefusedError
from brewslm.stages.eval_pack import EvalPackSpec
from brewslm.stages.workflow import WorkflowSpec
from brewslm.state.records import DeploymentRecord, ResourceRecord
from brewslm.tasks.gate import Gate
from tests.apply.bench import Bench
from tests.conftest import copied

Json = dict[str, Any]
EVAL_PACK, WORKFLOW = Address("eval_pack"), Address("workflow")
MISMATCH, BLOCKED = "eval_evidence_mismatch", "deployment_promote_blocked"
OTHER = "sha256:" + "0" * 64
CANDIDATES, BASELINES = "predictions.candidate.gold_test", "predictions.baseline.gold_test"


@dataclasses.dataclass(frozen=True)
class Recorded:
    """An applied project, read once."""

    bench: Bench
    specs: Mapping[Address, Spec]
    records: Mapping[str, ResourceRecord]

    @classmethod
    def of(cls, bench: Bench) -> "Recorded":
        """Read a project."""
        return cls(bench, bench.built().specs, bench.records())


class Evidence:
    """What an apply recorded of its candidate, and what a forger makes of it."""

    def __init__(self, recorded: Recorded) -> None:
        self.bench = bench = recorded.bench
        self.records = dict(recorded.records)
        outputs = {Address(name): dict(item.outputs) for name, item in self.records.items()}
        outputs.pop(Address("deployment"), None)
        self.desk = Desk(
            root=bench.root,
            home=bench.home,
            artifacts=bench.artifacts(),
            worker=ScriptedWorker(bench.answer),
            tell=lambda _: None,
            clock=SystemClock(),
            stop=Stop(),
            specs=recorded.specs,
            outputs=outputs,
            values={},
            base_folder=None,
            prepare=lambda: bench.root,
        )
        self.candidate = outputs[Address("training_plan")]["lora_adapter"]
        self.metrics, self.verdict = self.document("metrics"), self.document("verdict")

    def document(self, name: str) -> Json:
        digest = self.outputs[name].digest
        return dict(json.loads(self.desk.artifacts.read_bytes(digest)))

    @property
    def outputs(self) -> dict[str, Output]:
        """What is recorded of the evaluation."""
        return self.desk.outputs[EVAL_PACK]

    def respecify(self, address: Address, spec: Spec) -> None:
        """Let the project ask for something else."""
        self.desk = dataclasses.replace(self.desk, specs={**self.desk.specs, address: spec})

    def gated(self, *gates: Gate) -> None:
        """Let the project have other gates."""
        spec = self.desk.specs[EVAL_PACK]
        assert isinstance(spec, EvalPackSpec)
        self.respecify(EVAL_PACK, spec.model_copy(update={"gates": gates}))

    def put(self, document: object) -> Output:
        return self.desk.artifacts.put_bytes(json.dumps(document).encode())

    def check(self) -> Output:
        """Check the documents as they are now, the verdict naming these metrics."""
        own = self.document("metrics")
        if self.metrics != own:
            self.outputs["metrics"] = self.put(self.metrics)
            self.verdict["metrics_digest"] = self.outputs["metrics"].digest
        self.outputs["verdict"] = self.put(self.verdict)
        return check_evidence(self.desk, self.candidate)

    def refusal(self) -> RefusedError:
        with pytest.raises(RefusedError) as refused:
            self.check()
        return refused.value


@pytest.fixture(scope="module")
def recorded(promoted: Path, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Return a project whose candidate was promoted; forged documents are added, none replaced."""
    return Recorded.of(copied(promoted, tmp_path_factory.mktemp("evidence") / "applied"))


@pytest.fixture
def evidence(recorded: Recorded) -> Evidence:
    """Return the evidence of that candidate, to be forged."""
    return Evidence(recorded)


def test_whole_chain_is_taken(evidence: Evidence) -> None:
    assert evidence.check() == evidence.outputs["verdict"]
    evidence.outputs["metrics"] = evidence.put(evidence.metrics)
    evidence.verdict["metrics_digest"] = evidence.outputs["metrics"].digest
    assert evidence.check() == evidence.outputs["verdict"]


def _swap_answers(evidence: Evidence) -> None:
    evidence.outputs[CANDIDATES] = evidence.outputs[BASELINES]
    evidence.metrics["files"][CANDIDATES] = evidence.outputs[BASELINES].digest


def _swap_baseline(evidence: Evidence) -> None:
    evidence.outputs[BASELINES] = evidence.outputs[CANDIDATES]
    evidence.metrics["files"][BASELINES] = evidence.outputs[CANDIDATES].digest


def _ask_otherwise(evidence: Evidence) -> None:
    spec = evidence.desk.specs[EVAL_PACK]
    assert isinstance(spec, EvalPackSpec)
    longer = spec.generation.model_copy(update={"max_new_tokens": 9})
    evidence.respecify(EVAL_PACK, spec.model_copy(update={"generation": longer}))


def _set_gate(name: str, value: object) -> Callable[[Evidence], None]:
    return lambda evidence: evidence.verdict["gates"][0].update({name: value})


def _raise_bar(evidence: Evidence) -> None:
    evidence.gated(Gate(gate_id="right", metric_id="accuracy", threshold=0.9))


def _add_gate(evidence: Evidence) -> None:
    more = Gate(metric_id="mcc", threshold=0.1)
    evidence.gated(Gate(gate_id="right", metric_id="accuracy", threshold=0.8), more)


@pytest.mark.case("DEP-01", "EVA-08", "EVA-12")
@pytest.mark.parametrize(
    ("forge", "code", "said"),
    [
        (lambda e: e.verdict.update(candidate_digest=OTHER), MISMATCH, "another candidate"),
        (lambda e: e.verdict.pop("candidate_digest"), MISMATCH, "another candidate"),
        (lambda e: e.verdict.update(verdict="FAIL"), BLOCKED, "did not pass"),
        (lambda e: e.verdict.update(verdict="ERROR"), BLOCKED, "did not pass"),
        (lambda e: e.verdict.update(verdict="INCONCLUSIVE"), BLOCKED, "did not pass"),
        (lambda e: e.verdict.update(metrics_digest=OTHER), MISMATCH, "verdict is on other metrics"),
        (lambda e: e.verdict.pop("metrics_digest"), MISMATCH, "verdict is on other metrics"),
        (
            lambda e: e.metrics["files"].update({"rows.gold_test": OTHER}),
            MISMATCH,
            "metrics are on other rows of gold_test",
        ),
        (
            lambda e: e.metrics["files"].pop("rows.gold_test"),
            MISMATCH,
            "metrics are on other rows of gold_test",
        ),
        (lambda e: e.metrics.pop("files"), MISMATCH, "other predictions"),
        (
            lambda e: e.metrics["files"].pop(CANDIDATES),
            MISMATCH,
            "metrics are of other predictions on gold_test",
        ),
        (
            lambda e: e.metrics["files"].pop(BASELINES),
            MISMATCH,
            "metrics are of other predictions of the baseline on gold_test",
        ),
        (_swap_answers, MISMATCH, "another model made the predictions on gold_test"),
        (
            _swap_baseline,
            MISMATCH,
            "another model made the predictions of the baseline on gold_test",
        ),
        (_ask_otherwise, MISMATCH, "another model made the predictions"),
        *[
            (_set_gate(name, value), MISMATCH, "the gates decide otherwise")
            for name, value in (
                ("gate_id", "left"),
                ("metric_id", "mcc"),
                ("operator", "lte"),
                ("threshold", 0.7),
                ("required", False),
                ("verdict", "FAIL"),
            )
        ],
        (lambda e: e.verdict.update(gates=[]), MISMATCH, "the gates decide otherwise"),
        (_raise_bar, MISMATCH, "the gates decide otherwise"),
        (_add_gate, MISMATCH, "the gates decide otherwise"),
    ],
)
def test_link_to_something_else_is_refused(
    forge: Callable[[Evidence], object], code: str, said: str, evidence: Evidence
) -> None:
    forge(evidence)
    refused = evidence.refusal()
    assert (refused.code, said in refused.message) == (code, True), refused.message


def test_metrics_that_say_less_do_not_pass_under_an_old_verdict(evidence: Evidence) -> None:
    own = evidence.metrics["sets"]["gold_test"]["roles"]["candidate"]["metrics"]["accuracy"]
    own.update({"k": own["n"] // 2, "value": 0.5})
    assert "the gates decide otherwise" in evidence.refusal().message


@pytest.mark.parametrize("written", ["[1]", "7", "{", '"PASS"'])
def test_anything_but_a_document_is_no_evidence(written: str, evidence: Evidence) -> None:
    evidence.outputs["verdict"] = evidence.desk.artifacts.put_bytes(written.encode())
    with pytest.raises(RefusedError, match="no such document") as refused:
        check_evidence(evidence.desk, evidence.candidate)
    assert refused.value.code == MISMATCH


@pytest.mark.case("EVA-11")
@pytest.mark.parametrize(
    "unjudged",
    [
        {"metric_id": "accuracy", "threshold": 0.8, "required": False},
        {"metric_id": "accuracy", "baseline": "champion", "max_regression": 0.0},
    ],
)
def test_only_a_required_gate_that_passed_promotes(unjudged: Json, evidence: Evidence) -> None:
    gate = Gate(gate_id="right", **unjudged)
    evidence.gated(gate)
    said = evidence.verdict["gates"][0]
    said.update(required=gate.required, threshold=gate.threshold)
    said.update(verdict=None if gate.required else "PASS")
    refused = evidence.refusal()
    assert (refused.code, refused.expected) == (BLOCKED, "PASS of at least one required gate")
    workflow = evidence.desk.specs[WORKFLOW]
    assert isinstance(workflow, WorkflowSpec)
    open_to_all = workflow.gate_policy.model_copy(update={"promote_ungated": True})
    evidence.respecify(WORKFLOW, workflow.model_copy(update={"gate_policy": open_to_all}))
    assert evidence.check() == evidence.outputs["verdict"]


_PACK = """\
contract_version: slm.evaluation-pack/v2
pack_id: desk
extensions: [brewslm/gates-1]
task_specs:
  - task_profile: classification
    required_metric_ids: [macro_f1]
    gates: [{gate_id: right, metric_id: accuracy, threshold: 0.8}]
"""


def test_required_metric_without_a_value_is_no_pass(bench: Bench) -> None:
    (bench.root / "pack.yaml").write_text(_PACK)
    gates = (
        "    gates:\n      - {gate_id: right, metric_id: accuracy, threshold: 0.8, operator: gte}"
    )
    bench.edit(gates, "    path: pack.yaml")
    bench.apply()
    evidence = Evidence(Recorded.of(bench))
    evidence.check()
    own = evidence.metrics["sets"]["gold_test"]["roles"]["candidate"]["metrics"]
    own["macro_f1"]["value"] = None
    assert "the gates decide otherwise" in evidence.refusal().message


PROMOTED = "predictions.promoted.gold_test"
_CHAMPION_GATE = (
    "    gates:\n",
    "    gates:\n      - {gate_id: kept, metric_id: accuracy, baseline: champion, "
    "max_regression: 0.0}\n",
)


def test_answers_of_the_promoted_model_are_its_own_where_there_was_one(bench: Bench) -> None:
    bench.edit(*_CHAMPION_GATE)
    assert bench.apply().exit_code is ExitCode.DONE
    evidence = Evidence(Recorded.of(bench))
    promoted = {"promoted": evidence.candidate}
    evidence.desk.outputs[Address("deployment")] = promoted
    assert PROMOTED not in evidence.metrics["files"]
    assert evidence.check() == evidence.outputs["verdict"], "nothing was promoted at that time"
    bench.edit("2.0e-3", "1.0e-3")
    assert bench.apply().exit_code is ExitCode.DONE
    evidence = Evidence(Recorded.of(bench))
    evidence.desk.outputs[Address("deployment")] = promoted
    assert evidence.check() == evidence.outputs["verdict"]
    files = evidence.metrics["files"]
    files[PROMOTED] = OTHER
    said = "the metrics are of other predictions of the promoted on gold_test"
    assert said in evidence.refusal().message
    files[PROMOTED] = evidence.outputs[BASELINES].digest
    evidence.outputs[PROMOTED] = evidence.outputs[BASELINES]
    said = "another model made the predictions of the promoted on gold_test"
    assert said in evidence.refusal().message


class Promotions:
    """What a state from outside says was promoted."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        (self.real,) = evidence.bench.deployments()
        self.records = evidence.records

    def taken(self, *promotions: DeploymentRecord, known: tuple[DeploymentRecord, ...] = ()) -> str:
        """Return the code of the refusal, nothing where the state is taken over."""
        artifacts = self.evidence.desk.artifacts
        try:
            check_promotions(promotions, self.records.values(), known, artifacts)
        except RefusedError as error:
            return error.code
        return ""

    def on(self, **verdict: Any) -> DeploymentRecord:
        """Return the promotion on a verdict that says something else."""
        forged: Mapping[str, Any] = self.evidence.verdict | verdict
        return replace(self.real, evidence_digest=self.evidence.put(forged).digest)


@pytest.fixture
def promotions(evidence: Evidence) -> Promotions:
    """Return the promotions of an applied project, to be forged."""
    return Promotions(evidence)


@pytest.mark.case("DEP-01")
def test_promotions_from_outside_need_evidence_of_their_own(promotions: Promotions) -> None:
    real = promotions.real
    failed, foreign = promotions.on(verdict="FAIL"), promotions.on(candidate_digest=OTHER)
    assert promotions.taken(real) == ""
    assert promotions.taken(failed) == BLOCKED
    assert promotions.taken(foreign) == MISMATCH
    assert promotions.taken(failed, known=(real,)) == BLOCKED, "another verdict than the known one"
    assert promotions.taken(foreign, known=(real,)) == MISMATCH
    unkept = replace(real, evidence_digest=OTHER)
    assert promotions.taken(unkept, known=(unkept,)) == "", "checked when it was made"


@pytest.mark.case("DEP-01")
def test_only_the_newest_promotion_of_each_alias_is_checked(promotions: Promotions) -> None:
    real, failed = promotions.real, promotions.on(verdict="FAIL")
    assert promotions.taken(real, failed) == ""
    assert promotions.taken(failed, real) == BLOCKED
    assert promotions.taken(real, replace(failed, alias="second")) == BLOCKED


@pytest.mark.case("DEP-01")
def test_record_names_what_was_promoted(promotions: Promotions) -> None:
    assert promotions.taken() == MISMATCH, "a record that nothing promoted"
    kept = promotions.records["deployment"]
    other = replace(kept.outputs["promoted"], digest=OTHER)
    promotions.records["deployment"] = replace(kept, outputs=kept.outputs | {"promoted": other})
    assert promotions.taken(promotions.real) == MISMATCH
    promotions.records["deployment"] = replace(kept, outputs={})
    assert promotions.taken(promotions.real) == ""
    promotions.records["deployment"] = replace(kept, kind="export")
    assert promotions.taken() == "", "what another kind names is no promotion"
