"""The evidence of a promotion: one chain of digests from the candidate over its predictions and
their metrics to a verdict that comes out the same when it is decided again.

What a state says of a verdict is never believed; each link is read from the artifacts themselves.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from brewslm.address import Address
from brewslm.apply.desk import Desk
from brewslm.artifacts.store import ArtifactReader
from brewslm.contracts import Output
from brewslm.errors import RefusedError
from brewslm.plan.evaluation_shape import EvaluationShape, shape_of
from brewslm.state.records import DeploymentRecord, ResourceRecord
from brewslm.tasks.deciding import decide

_DATASET = Address("dataset")
_EVAL_PACK = Address("eval_pack")
_CANDIDATE, _PROMOTED = "candidate", "promoted"
_DECIDED = ("gate_id", "metric_id", "operator", "threshold", "required", "verdict")


def check_evidence(desk: Desk, candidate: Output) -> Output:
    """Return the verdict on a candidate that passed every required gate.

    Raises: RefusedError with deployment_promote_blocked where a gate did not pass, with
    eval_evidence_mismatch where verdict, metrics or predictions belong to something else;
    ArtifactError.
    """
    output = desk.output(_EVAL_PACK, "verdict")
    verdict = _passed(desk.artifacts, output.digest, candidate.digest)
    metrics_digest = desk.output(_EVAL_PACK, "metrics").digest
    _check("the verdict is on other metrics", verdict.get("metrics_digest"), metrics_digest)
    metrics = _document(desk.artifacts, metrics_digest)
    shape = _shape(desk)
    _check_predictions(desk, shape, metrics, candidate)
    _check_decision(shape, metrics, verdict)
    return output


def check_promotions(
    promotions: Iterable[DeploymentRecord],
    records: Iterable[ResourceRecord],
    known: Iterable[DeploymentRecord],
    artifacts: ArtifactReader,
) -> None:
    """Refuse to take over what a state from outside promotes without evidence.

    promotions: all of that state, the newest first; records: its resources; known: the promotions
    of the state that is here, whose evidence was checked when they were made. Raises: RefusedError
    as `check_evidence` does; ArtifactError when the evidence is not kept here.
    """
    checked = {(item.alias, item.digest, item.evidence_digest) for item in known}
    newest: dict[str, DeploymentRecord] = {}
    for item in promotions:
        newest.setdefault(item.alias, item)
    for item in newest.values():
        if (item.alias, item.digest, item.evidence_digest) not in checked:
            _passed(artifacts, item.evidence_digest, item.digest)
    for record in records:
        output = record.outputs.get("promoted")
        if record.kind == "deployment" and output is not None:
            named = newest.get(str(record.values.get("alias")))
            wrong = "the deployment names another candidate than its promotion"
            _check(wrong, output.digest, named.digest if named else None)


def _check_predictions(
    desk: Desk, shape: EvaluationShape, metrics: Mapping[str, Any], candidate: Output
) -> None:
    """Refuse metrics of other predictions or rows, and predictions of another model: those of the
    candidate, and those of every model that it was compared with.
    """
    files = metrics.get("files", {})
    for (role, name), part in shape.prediction_parts(candidate.digest).items():
        if role == _PROMOTED and part.name not in files:
            continue  # nothing was promoted yet when the candidate was evaluated
        kept = desk.output(_EVAL_PACK, part.name).digest
        whose = "" if role == _CANDIDATE else f" of the {role}"
        wrong = f"the metrics are of other predictions{whose} on {name}"
        _check(wrong, files.get(part.name), kept)
        _check(
            f"the metrics are on other rows of {name}",
            files.get(f"rows.{name}"),
            shape.rows.get(name),
        )
        produced = desk.artifacts.find_produced(part.fingerprint) if part.fingerprint else None
        # A promoted model's answers may have been made while it was a candidate.
        made = next(iter(produced.outputs.values())).digest if produced else "nothing"
        _check(f"another model made the predictions{whose} on {name}", kept, made)


def _check_decision(
    shape: EvaluationShape, metrics: Mapping[str, Any], verdict: Mapping[str, Any]
) -> None:
    """Refuse a verdict that the gates do not come to on these metrics."""
    again = decide(
        shape.gates,
        metrics,
        on_inconclusive=str(shape.policy["on_inconclusive"]),
        dataset=shape.decisive,
        required_metrics=shape.policy["required_metrics"],
    )
    _check("the gates decide otherwise on these metrics", _decided(verdict), _decided(again))
    is_judged = any(gate["required"] and gate["passed"] for gate in again["gates"])
    if not is_judged and not shape.policy["promote_ungated"]:
        raise RefusedError(
            "no required gate has judged the candidate, so nothing is promoted",
            code="deployment_promote_blocked",
            found="no required gate with a verdict",
            expected="PASS of at least one required gate",
            remedy="add a gate to eval_pack.gates, or write "
            "workflow.gate_policy.promote_ungated: true",
        )


def _decided(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Return what counts of a verdict; 1 and 1.0 are one threshold, however they are written."""
    gates = [{name: gate.get(name) for name in _DECIDED} for gate in verdict.get("gates", ())]
    return {"verdict": verdict.get("verdict"), "gates": gates}


def _shape(desk: Desk) -> EvaluationShape:
    prepared = desk.artifacts.listing(desk.output(_DATASET, "prepared").digest)
    manifest = _document(desk.artifacts, prepared["manifest.json"].digest)
    return shape_of(desk.specs, manifest, desk.outputs)


def _passed(artifacts: ArtifactReader, evidence: str, candidate: str) -> dict[str, Any]:
    """Return the verdict that a digest names, which has to be PASS for this candidate."""
    verdict = _document(artifacts, evidence)
    decided_on = verdict.get("candidate_digest")
    _check("the verdict belongs to another candidate", decided_on, candidate)
    if verdict.get("verdict") != "PASS":
        raise RefusedError(
            "a required gate did not pass, so nothing is promoted",
            code="deployment_promote_blocked",
            found=str(verdict.get("verdict")),
            expected="PASS",
            remedy="read the decision note: brewslm show eval_pack",
        )
    return verdict


def _document(artifacts: ArtifactReader, digest: str) -> dict[str, Any]:
    data = artifacts.read_bytes(digest)
    try:
        return dict(json.loads(data))
    except (TypeError, ValueError):
        raise _mismatch("what is named as evidence is no such document", digest) from None


def _check(wrong: str, found: object, expected: object) -> None:
    """Refuse with what is wrong unless both are the same."""
    if found != expected:
        raise _mismatch(wrong, str(found), str(expected))


def _mismatch(wrong: str, found: str, expected: str = "") -> RefusedError:
    return RefusedError(
        wrong,
        code="eval_evidence_mismatch",
        found=found,
        expected=expected,
        remedy="brewslm apply --replace eval_pack evaluates the candidate again",
    )
