"""What an evaluation was decided on, read back from what was recorded and kept.

Every byte is verified by its digest, and the documents have to name each other. No model is loaded,
nothing is scored again, and no file of the project is looked at.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

import orjson
from msgspec import Struct

from brewslm.artifacts.store import ArtifactReader
from brewslm.errors import ArtifactError, PlanError
from brewslm.fingerprint import digest_value
from brewslm.rows.index import first_occurrences
from brewslm.rows.record import Split
from brewslm.state.records import ResourceRecord
from brewslm.state.store import StateReader
from brewslm.tasks import report as values
from brewslm.tasks.comparing import STORED_CONFIDENCE
from brewslm.tasks.deciding import CANDIDATE
from brewslm.tasks.note import decision_note, failure_clusters
from brewslm.tasks.report_items import ReportItem, items_of
from brewslm.tasks.reporting import (
    comparisons_of,
    datasets_of,
    metrics_of,
    named_metrics_of,
    slice_metrics_of,
    warnings_of,
)

ADDRESS = "eval_pack"
_ROWS, _PROMOTED = "rows.", "predictions.promoted."
_TRAINED_ON = ("train", "validation")


class RecordedEvaluation(Struct, frozen=True):
    """A recorded evaluation with its metrics and its verdict."""

    records: Mapping[str, ResourceRecord]
    artifacts: ArtifactReader
    metrics: Mapping[str, Any]
    verdict: Mapping[str, Any]

    @classmethod
    def of(cls, state: StateReader, artifacts: ArtifactReader) -> "RecordedEvaluation":
        """Read what was evaluated last.

        Raises: PlanError when nothing was, ArtifactError when what is kept is gone, corrupt, or of
        several evaluations.
        """
        records = state.resources()
        record = records.get(ADDRESS)
        if record is None or "verdict" not in record.outputs:
            raise PlanError(
                "nothing was evaluated yet",
                code="unknown_address",
                found="no record of an evaluation",
                expected="a candidate that was trained and evaluated",
                remedy="brewslm apply",
            )
        with _read_by_this_version():
            metrics = orjson.loads(_kept(record, artifacts, "metrics"))
            verdict = orjson.loads(_kept(record, artifacts, "verdict"))
            _check_same(record, metrics, verdict)
        return cls(records, artifacts, metrics, verdict)

    @property
    def record(self) -> ResourceRecord:
        """What was recorded of the evaluation."""
        return self.records[ADDRESS]

    @property
    def deciding(self) -> str:
        """The set that gates were decided on."""
        return str(self.verdict["dataset"])

    def report(self) -> values.Report:
        """Return the evaluation as one value.

        Raises: ArtifactError.
        """
        with _read_by_this_version():
            return _report(self)

    def items(self) -> list[ReportItem]:
        """Return every item with its texts, those of the deciding set first.

        Raises: ArtifactError.
        """
        with _read_by_this_version():
            names = sorted(self.metrics["sets"], key=lambda name: (name != self.deciding, name))
            return [item for name in names for item in self._items_of(name)]

    def lines(self, name: str) -> list[dict[str, Any]]:
        """Return the stored lines of predictions or scores.

        Raises: ArtifactError.
        """
        return _lines(_kept(self.record, self.artifacts, name))

    def _items_of(self, name: str) -> list[ReportItem]:
        roles = self.metrics["sets"][name]["roles"]
        rows = _object(self.artifacts, self.metrics["files"][f"{_ROWS}{name}"], f"{_ROWS}{name}")
        return items_of(
            name,
            _lines(rows),
            self._places(name),
            {role: self.lines(f"predictions.{role}.{name}") for role in roles},
            {role: self.lines(f"scores.{role}.{name}") for role in roles},
        )

    def _places(self, name: str) -> dict[str, tuple[str, int]]:
        """Return row_id to source and line of its first occurrence, as long as the prepared rows
        are those that were evaluated.
        """
        hashes = self.prepared.get("file_hashes", {})
        if hashes.get(Split(name).file) != self.metrics["files"][f"{_ROWS}{name}"]:
            return {}
        index = _lines(_object(self.artifacts, hashes["index.jsonl"], "index of the rows"))
        return first_occurrences(index, itemgetter("source", "line"))

    @property
    def prepared(self) -> Mapping[str, Any]:
        """The manifest of the rows that are prepared now."""
        record = self.records.get("dataset")
        manifest: Mapping[str, Any] = record.values.get("manifest", {}) if record else {}
        return manifest

    def has_current_rows(self) -> bool:
        """Return whether the prepared rows are still those that were evaluated."""
        hashes = self.prepared.get("file_hashes", {})
        return all(
            hashes.get(Split(name).file) == self.metrics["files"][f"{_ROWS}{name}"]
            for name in self.metrics["sets"]
        )

    def has_current_candidate(self) -> bool:
        """Return whether the recorded LoRA adapter is still the one that was evaluated."""
        training = self.records.get("training_plan")
        trained = training.outputs.get("lora_adapter") if training else None
        return trained is not None and trained.digest == self.verdict["candidate_digest"]

    def has_current_training_rows(self) -> bool:
        """Return whether the prepared rows are still those that the candidate was trained on."""
        training = self.records.get("training_plan")
        if training is None or not self.has_current_candidate():
            return False
        hashes, inputs = self.prepared.get("file_hashes", {}), training.facts["inputs"]
        return all(
            hashes.get(Split(name).file) == inputs.get(f"dataset:{name}") for name in _TRAINED_ON
        )


def _report(evaluation: RecordedEvaluation) -> values.Report:
    record, metrics, verdict = evaluation.record, evaluation.metrics, evaluation.verdict
    deciding = evaluation.deciding
    datasets, statuses = datasets_of(metrics, deciding)
    per_class, per_field = named_metrics_of(metrics, deciding)
    clusters = failure_clusters(evaluation.lines(f"scores.{CANDIDATE}.{deciding}"))
    generation = _generation(record)
    comparison = comparisons_of(metrics, deciding)
    project = evaluation.records.get("project")
    return values.Report(
        project=str(project.spec.get("name", "")) if project else "",
        revision=record.revision,
        status=str(record.status),
        verdict=verdict["verdict"],
        blocking=verdict["blocking"],
        looks=verdict["looks"],
        confidence=STORED_CONFIDENCE,
        gates=tuple(values.GateOutcome(**gate) for gate in verdict["gates"]),
        decision=values.Decision(**decision_note(verdict, metrics, clusters=clusters)),
        pack=_pack(record, verdict["verdict"]),
        models=_models(evaluation),
        contract_digest=record.facts["inputs"].get("dataset:contract"),
        datasets=datasets,
        statuses=statuses,
        metrics=metrics_of(metrics, deciding),
        per_class=per_class,
        per_field=per_field,
        per_slice=slice_metrics_of(metrics, deciding),
        comparison=comparison,
        clusters=tuple(values.Cluster(**item) for item in clusters),
        generation=generation,
        leaks=_leaks(evaluation),
        lock=values.Lock(
            statistics_version=metrics["statistics_version"],
            profile=metrics["profile"],
            profile_version=metrics["profile_version"],
            metrics=metrics["lock"],
        ),
        evidence=metrics["files"]
        | {name: record.outputs[name].digest for name in ("metrics", "verdict")},
        warnings=(
            *_moved_on(evaluation),
            *warnings_of(statuses, comparison, generation, verdict["gates"]),
        ),
    )


def _models(evaluation: RecordedEvaluation) -> values.Models:
    candidate = evaluation.verdict["candidate_digest"]
    parts = evaluation.record.parts
    answered = (part["fingerprint"] for name, part in parts.items() if name.startswith(_PROMOTED))
    fingerprint = next(answered, None)
    produced = evaluation.artifacts.find_produced(fingerprint) if fingerprint else None
    return values.Models(
        baseline=evaluation.record.facts["inputs"]["model:base"],
        candidate=candidate,
        promoted=produced.facts.get("lora_adapter") if produced else None,
        is_promoted=any(
            record.outputs["promoted"].digest == candidate
            for record in evaluation.records.values()
            if record.kind == "deployment" and "promoted" in record.outputs
        ),
    )


def _pack(record: ResourceRecord, verdict: values.Verdict) -> values.PackIdentity | None:
    content, pack_id = record.spec.get("pack"), record.spec.get("pack_id")
    if content is not None:
        return values.PackIdentity(
            pack_id=content["pack_id"],
            version=content.get("version"),
            digest=digest_value(content),
            verdict=verdict,
        )
    return values.PackIdentity(pack_id=pack_id, verdict=verdict) if pack_id else None


def _generation(record: ResourceRecord) -> values.Generation:
    return values.Generation(
        settings=record.spec["generation"],
        epochs=record.spec["epochs"],
        seeds=record.spec["seeds"],
        roles={
            role: values.Answering(**item)
            for role, item in sorted(record.values.get("generation", {}).items())
        },
    )


def _leaks(evaluation: RecordedEvaluation) -> dict[str, Any] | None:
    """Return the leaks between what the candidate was trained on and what it was evaluated on."""
    if not (evaluation.has_current_rows() and evaluation.has_current_training_rows()):
        return None
    return evaluation.prepared.get("leaks")


def _moved_on(evaluation: RecordedEvaluation) -> Iterator[values.ReportWarning]:
    """Yield what was recorded since, so that the numbers are of something else."""
    if not evaluation.has_current_candidate():
        yield values.ReportWarning(
            code="candidate_moved_on",
            message="the recorded LoRA adapter is another one than was evaluated;"
            " brewslm apply evaluates it",
        )
    elif not evaluation.has_current_training_rows():
        yield values.ReportWarning(
            code="training_rows_moved_on",
            message="the prepared rows for training are others than the candidate was trained on,"
            " so leaks are not told; brewslm apply trains on them",
        )
    if not evaluation.has_current_rows():
        yield values.ReportWarning(
            code="rows_moved_on",
            message="the prepared rows are others than were evaluated;"
            " brewslm apply evaluates on them",
        )


def _check_same(
    record: ResourceRecord, metrics: Mapping[str, Any], verdict: Mapping[str, Any]
) -> None:
    """Refuse documents that are not of one evaluation."""
    named = {"metrics": verdict["metrics_digest"]}
    named |= {
        name: digest for name, digest in metrics["files"].items() if not name.startswith(_ROWS)
    }
    for name, digest in named.items():
        output = record.outputs.get(name)
        if output is None or output.digest != digest:
            raise ArtifactError(
                f"{name} of {ADDRESS} is not what the verdict was decided on",
                code="eval_evidence_mismatch",
                found=output.digest if output else "nothing",
                expected=str(digest),
                remedy=f"brewslm apply --replace {ADDRESS}",
            )


@contextmanager
def _read_by_this_version() -> Iterator[None]:
    """Tell of documents that are whole and mean nothing to this version of the program."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, StopIteration) as error:
        raise ArtifactError(
            f"what is kept of {ADDRESS} is not what this version writes",
            code="eval_evidence_mismatch",
            found=type(error).__name__,
            expected="metrics and verdict of format 1.x",
            remedy=f"brewslm apply --replace {ADDRESS}",
        ) from error


def _kept(record: ResourceRecord, artifacts: ArtifactReader, name: str) -> bytes:
    return _object(artifacts, record.outputs[name].digest, name)


def _object(artifacts: ArtifactReader, digest: str, name: str) -> bytes:
    """Return verified bytes; what is wrong with them is told with their name."""
    try:
        return artifacts.read_bytes(digest)
    except ArtifactError as error:
        raise ArtifactError(
            f"{name} of {ADDRESS}: {error.message}",
            code=error.code,
            found=error.found,
            expected=error.expected,
            remedy=error.remedy,
        ) from error


def _lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines() if line.strip()]
