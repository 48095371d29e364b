"""A report says what was recorded and kept, or refuses; nothing is evaluated for it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from brewslm.contracts import Output
from brewslm.errors import ArtifactError, PlanError
from brewslm.plan.recorded_evaluation import RecordedEvaluation
from brewslm.state.empty import EmptyState
from brewslm.state.records import ResourceRecord
from tests.apply.bench import Bench


class Remembered(EmptyState):
    """A state that holds records and nothing else."""

    def __init__(self, records: Mapping[str, ResourceRecord]) -> None:
        self._records = dict(records)

    def resources(self) -> dict[str, ResourceRecord]:
        return self._records


def recorded(bench: Bench, **changed: Any) -> RecordedEvaluation:
    """Return what was recorded of a project, the evaluation's record changed."""
    records = bench.records()
    if changed:
        records["eval_pack"] = replace(records["eval_pack"], **changed)
    return RecordedEvaluation.of(Remembered(records), bench.artifacts())


@contextmanager
def refused(code: str, found: str = "") -> Iterator[None]:
    with pytest.raises(ArtifactError) as caught:
        yield
    assert caught.value.code == code
    assert found in f"{caught.value.message} {caught.value.found}"
    assert "brewslm apply" in caught.value.remedy


def test_the_report_says_what_the_state_says(applied: Bench) -> None:
    records = applied.records()
    record = records["eval_pack"]
    report = recorded(applied).report()
    assert (report.project, report.verdict, report.status) == ("parcels", "PASS", "current")
    assert report.revision == record.revision
    assert report.models.candidate == records["training_plan"].outputs["lora_adapter"].digest
    assert report.models.baseline == records["model"].outputs["base"].digest
    assert report.models.is_promoted
    assert report.deciding.digest == records["dataset"].outputs["gold_test"].digest
    assert [gate.gate_id for gate in report.gates] == ["right"]
    assert report.gates[0].actual == record.values["gates"][0]["actual"] == 1.0
    values = {item.metric_id: item.roles["candidate"].value for item in report.metrics}
    assert values == record.values["metrics"]["candidate"]
    assert report.evidence["verdict"] == record.outputs["verdict"].digest
    assert report.leaks is not None
    assert report.leaks["blocking"] == 0
    assert report.warnings == ()


def test_classes_and_slices_have_their_own_numbers(bench: Bench) -> None:
    bench.skill = lambda index: index % 6 != 0
    bench.apply()
    report = recorded(bench).report()
    classes = {item.name for item in report.per_class}
    assert classes == {"late", "lost", "torn"}
    assert {item.metric_id for item in report.per_class} == {"precision", "recall", "f1", "support"}
    own = [item for item in report.per_slice if item.slice == "label=late"]
    accuracy = next(item for item in own if item.metric_id == "accuracy").roles["candidate"]
    assert accuracy.n == own[0].rows == 10
    comparison = report.comparison[0]
    assert (comparison.role, comparison.is_comparable) == ("baseline", True)
    assert len(comparison.flips.gained) == 25
    assert comparison.flips.both_wrong == 5
    assert sum(item.failure_count for item in report.clusters) == 5
    change = next(item for item in comparison.metrics if item.metric_id == "accuracy")
    assert change.change == "improved"
    assert change.delta == pytest.approx(25 / 30)


def test_a_gate_that_fails_is_named(bench: Bench) -> None:
    bench.skill = lambda index: index % 2 == 0
    bench.apply()
    report = recorded(bench).report()
    assert (report.verdict, report.blocking, report.status) == ("FAIL", ("right",), "quarantined")
    assert not report.models.is_promoted
    assert report.decision.decision == "iterate"


def test_the_champion_is_named_by_digest(applied: Bench) -> None:
    earlier = applied.records()["deployment"].outputs["promoted"].digest
    applied.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    applied.edit("  eval_pack:\n", "  eval_pack:\n    compare_to: champion\n")
    assert applied.apply().exit_code == 0
    report = recorded(applied).report()
    assert report.models.promoted == earlier != report.models.candidate
    assert [item.role for item in report.comparison] == ["baseline", "promoted"]


def test_every_row_and_role_is_an_item_with_its_place(applied: Bench) -> None:
    items = recorded(applied).items()
    assert len(items) == 60
    assert [item.role for item in items[:2]] == ["baseline", "candidate"]
    assert items[0].row_id == items[1].row_id
    assert sorted(item.line or 0 for item in items if item.role == "candidate") == [*range(1, 31)]
    lines = (applied.root / "data" / "gold.jsonl").read_text().splitlines()
    for item in items:
        assert item.source == "gold"
        assert f'"label": "{item.reference}"' in lines[(item.line or 0) - 1]
        assert item.output == (item.reference if item.role == "candidate" else "no idea")
        assert item.score == float(item.role == "candidate")
        assert item.is_failure == (item.role == "baseline")


def test_rows_that_moved_on_are_told_and_have_no_place(applied: Bench) -> None:
    records = applied.records()
    manifest = records["dataset"].values["manifest"]
    hashes = manifest["file_hashes"] | {"gold_test.jsonl": "sha256:" + "0" * 64}
    records["dataset"] = replace(
        records["dataset"], values={"manifest": manifest | {"file_hashes": hashes}}
    )
    records["training_plan"] = replace(
        records["training_plan"], outputs={"lora_adapter": Output("sha256:" + "1" * 64, 1)}
    )
    found = RecordedEvaluation.of(Remembered(records), applied.artifacts())
    report = found.report()
    assert [item.code for item in report.warnings] == ["candidate_moved_on", "rows_moved_on"]
    assert report.leaks is None
    assert {(item.source, item.line) for item in found.items()} == {("", None)}


@pytest.mark.parametrize("name", ["train.jsonl", "val.jsonl"])
def test_leaks_of_other_training_rows_are_not_told(name: str, applied: Bench) -> None:
    records = applied.records()
    manifest = records["dataset"].values["manifest"]
    hashes = manifest["file_hashes"] | {name: "sha256:" + "0" * 64}
    records["dataset"] = replace(
        records["dataset"], values={"manifest": manifest | {"file_hashes": hashes}}
    )
    found = RecordedEvaluation.of(Remembered(records), applied.artifacts())
    report = found.report()
    assert [item.code for item in report.warnings] == ["training_rows_moved_on"]
    assert report.leaks is None
    assert {item.source for item in found.items()} == {"gold"}, "the evaluated rows are the same"


def test_nothing_evaluated_is_said(bench: Bench) -> None:
    with pytest.raises(PlanError) as caught:
        RecordedEvaluation.of(EmptyState(), bench.artifacts())
    assert (caught.value.code, caught.value.remedy) == ("unknown_address", "brewslm apply")


@pytest.mark.parametrize(
    "name", ["metrics", "scores.candidate.gold_test", "predictions.baseline.gold_test"]
)
def test_files_of_another_evaluation_are_refused(name: str, applied: Bench) -> None:
    outputs = applied.records()["eval_pack"].outputs
    other = applied.artifacts().put_bytes(b'{"sets": {}, "files": {}}\n')
    with refused("eval_evidence_mismatch", name):
        recorded(applied, outputs={**outputs, name: other})
    left = {key: value for key, value in outputs.items() if key != name}
    with refused("eval_evidence_mismatch"):
        recorded(applied, outputs=left)


@pytest.mark.parametrize(
    "document", [b"[]", b"{}", b"no json", b'{"metrics_digest": 7, "dataset": null}']
)
def test_documents_that_mean_nothing_here_are_refused(document: bytes, applied: Bench) -> None:
    outputs = applied.records()["eval_pack"].outputs
    other = applied.artifacts().put_bytes(document)
    with refused("eval_evidence_mismatch"):
        recorded(applied, outputs={**outputs, "verdict": other})


@pytest.mark.parametrize("name", ["metrics", "verdict", "scores.candidate.gold_test"])
def test_kept_bytes_that_are_gone_or_changed_are_named(name: str, applied: Bench) -> None:
    digest = applied.records()["eval_pack"].outputs[name].digest.removeprefix("sha256:")
    (path,) = [item for item in applied.home.rglob(f"*{digest[2:]}*") if item.is_file()]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b" ")
    with refused("artifact_corrupt", name):
        recorded(applied).report()
    path.unlink()
    with refused("artifact_missing", name):
        recorded(applied).report()
