"""The evaluation as a plan sees it: what has to be generated, what the gates will need, and, when
metrics are stored already, the verdict itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from msgspec import Struct, field

from brewslm.address import Address
from brewslm.artifacts.store import ArtifactReader
from brewslm.contracts import Output, Spec
from brewslm.diagnostics import Finding, FindingCode, Severity, finding_code
from brewslm.errors import ArtifactError, BrewError
from brewslm.plan.action import GateChange
from brewslm.plan.deciding_policy import recorded_policy
from brewslm.plan.evaluation import Part
from brewslm.plan.evaluation_shape import EvaluationShape, shape_of
from brewslm.plan.gold_rows import rows_changed
from brewslm.plan.slices import slice_rows
from brewslm.state.records import ResourceRecord
from brewslm.tasks.deciding import decide
from brewslm.tasks.gate import Gate
from brewslm.tasks.gate_checks import GateProblem, gate_problems
from brewslm.tasks.weakening import weakenings

_DATASET = Address("dataset")
_EVAL_PACK = Address("eval_pack")
_OTHER_WAY = "; or put the rows back; new rows can be shown beside the old ones as type gold_dev"


class Judgement(Struct, frozen=True):
    """What a plan says about the evaluation."""

    findings: tuple[Finding, ...] = ()
    changes: tuple[GateChange, ...] = ()
    part_names: tuple[str, ...] = ()
    """Names of the predictions and scores that the evaluation yields."""
    rows_to_generate: dict[str, int] = field(default_factory=dict)
    """Prediction parts that are not there yet, with their rows."""
    verdict: str | None = None
    """Decided at plan time from stored metrics; None when that is not possible."""
    failing: tuple[str, ...] = ()
    """Names of the required gates that this verdict finds not passed."""
    known: dict[str, Output] = field(default_factory=dict)
    """Pieces that are there already: predictions, and scores and metrics when all of them are."""
    facts: dict[str, Any] = field(default_factory=dict)


def judge(
    specs: Mapping[Address, Spec],
    prepared: Mapping[str, Any],
    outputs: Mapping[Address, Mapping[str, Output]],
    record: ResourceRecord | None,
    workflow: ResourceRecord | None,
    artifacts: ArtifactReader,
    *,
    candidate_is_known: bool,
    is_redone: bool = False,
    is_same_data: bool = False,
    prepared_folder: Path | None = None,
) -> Judgement:
    """Return what can be said about the evaluation before anything runs.

    prepared_folder: the prepared rows where this plan made them; is_same_data: whether sources and
    data specs are those of the record.
    candidate_is_known: whether the candidate and all rows are known by digest; is_redone: whether
    everything is made again, whatever is kept of it.
    """
    try:
        shape = shape_of(specs, prepared, outputs)
    except BrewError as error:
        code = finding_code(error.code, FindingCode.EVAL_PACK_FILE)
        return Judgement(findings=(_error(code, error),))
    rows = {name: int(prepared["splits"].get(name, 0)) for name in shape.sets}
    findings = [
        _finding(problem)
        for problem in gate_problems(
            shape.gates,
            shape.profile,
            shape.contract,
            rows=rows.get(shape.decisive),
            slice_rows=None
            if _is_known(shape, record)
            else slice_rows(
                shape,
                prepared_folder,
                outputs.get(_DATASET, {}).get("prepared"),
                artifacts,
            ),
            has_deployment=Address("deployment") in specs,
            has_champion=shape.promoted_digest is not None,
            promotes_ungated=bool(shape.policy["promote_ungated"]),
            required_metrics=shape.policy["required_metrics"],
        )
    ]
    if not shape.decisive and prepared["splits"].get("train"):
        findings.append(_no_rows())
    rows_now = rows_changed(
        shape,
        record,
        prepared_folder,
        outputs.get(_DATASET, {}).get("prepared"),
        artifacts,
        is_same_data=is_same_data,
    )
    changes = _changes(shape, record, workflow)
    changes = (*([rows_now.change] if rows_now else []), *changes)
    findings += _weakened(changes, workflow)
    missing, names, known = _parts(shape, outputs, artifacts, rows, is_redone=is_redone)
    verdict = _verdict(shape, known.get("metrics"), artifacts) if candidate_is_known else None
    facts: dict[str, Any] = {
        "tiers": {
            "predictions": "reused" if not missing else "generated",
            "rows": sum(missing.values()) or None,
        },
        "gates": {
            "required": sum(gate.required for gate in shape.gates),
            "optional": sum(not gate.required for gate in shape.gates) or None,
            "decide on": f"{shape.decisive}, {rows.get(shape.decisive, 0)} rows",
            "answers compared as": shape.normaliser,
        },
        "gold": rows_now.facts if rows_now else None,
    }
    if verdict is not None:
        facts["predicted"] = {
            "verdict": verdict["verdict"],
            **{gate["gate_id"]: gate["verdict"] for gate in verdict["gates"]},
        }
    return Judgement(
        findings=tuple(findings),
        changes=changes,
        part_names=names,
        known=known,
        rows_to_generate=missing,
        verdict=verdict["verdict"] if verdict else None,
        failing=tuple(verdict["blocking"]) if verdict else (),
        facts=facts,
    )


def failing_gates(outcomes: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of the required gates that were decided and did not pass."""
    return tuple(
        str(gate["gate_id"])
        for gate in outcomes
        if gate.get("required") and gate.get("verdict") not in (None, "PASS")
    )


def _parts(
    shape: EvaluationShape,
    outputs: Mapping[Address, Mapping[str, Output]],
    artifacts: ArtifactReader,
    rows: Mapping[str, int],
    *,
    is_redone: bool,
) -> tuple[dict[str, int], tuple[str, ...], dict[str, Output]]:
    """Return the prediction parts that have to be generated, the names of all parts, and the parts
    that are there.
    """
    candidate = outputs.get(Address("training_plan"), {}).get("lora_adapter")
    missing: dict[str, int] = {}
    names: list[str] = []
    known: dict[str, Output] = {}
    parts = shape.prediction_parts(candidate.digest if candidate else None)
    for (_, name), part in parts.items():
        names += [part.name, part.name.replace("predictions", "scores", 1)]
        kept = {} if is_redone else _kept(part, artifacts)
        if kept:
            known[part.name] = next(iter(kept.values()))
        else:
            missing[part.name] = rows[name]
    if not missing:
        metrics = shape.metrics({name: output.digest for name, output in known.items()})
        known |= _kept(metrics, artifacts)
    return missing, tuple(sorted(names)), known


def _kept(part: Part, artifacts: ArtifactReader) -> dict[str, Output]:
    """Return what a piece yielded before, nothing when it has to be made."""
    identity = part.fingerprint
    produced = artifacts.find_produced(identity) if identity else None
    if produced is None or not all(map(artifacts.is_present, produced.outputs.values())):
        return {}
    return produced.outputs


def _verdict(
    shape: EvaluationShape, metrics: Output | None, artifacts: ArtifactReader
) -> dict[str, Any] | None:
    """Return the verdict of the gates on stored metrics of this candidate; apply decides the same
    by the same rules.
    """
    if metrics is None:
        return None
    try:
        document = orjson.loads(artifacts.read_bytes(metrics.digest))
    except (ArtifactError, ValueError):
        return None
    return decide(
        shape.gates,
        document,
        on_inconclusive=str(shape.policy["on_inconclusive"]),
        dataset=shape.decisive,
        required_metrics=shape.policy["required_metrics"],
        was_ever_promoted=shape.promoted_digest is not None,
    )


def _changes(
    shape: EvaluationShape, record: ResourceRecord | None, workflow: ResourceRecord | None
) -> tuple[GateChange, ...]:
    recorded = record.values.get("contract_of_gates") if record else None
    if record is None or not recorded:
        return ()
    before = recorded_policy(record, workflow, shape.profile)
    changes = weakenings(_gates(recorded), before, shape.gates, shape.policy)
    return tuple(
        GateChange(
            kind=item.kind,
            address=str(_EVAL_PACK),
            path=item.path,
            before=item.before,
            after=item.after,
            weakened=item.weakened,
        )
        for item in changes
    )


def _gates(recorded: Mapping[str, Any]) -> list[Gate]:
    return [Gate.model_validate(item, strict=False) for item in recorded["gates"]]


def _is_known(shape: EvaluationShape, record: ResourceRecord | None) -> bool:
    """Return whether these gates were decided on these rows, so that no slice was without any."""
    recorded = record.values.get("contract_of_gates") if record else None
    if record is None or not recorded:
        return False
    rows = record.facts.get("inputs", {}).get(f"{_DATASET}:{shape.decisive}")
    is_same_rows = rows is not None and rows == shape.rows.get(shape.decisive)
    return is_same_rows and _gates(recorded) == list(shape.gates)


def _weakened(changes: Sequence[GateChange], workflow: ResourceRecord | None) -> list[Finding]:
    """Refuse weakenings unless the policy of the last apply allows them."""
    policy = (workflow.spec.get("gate_policy") or {}) if workflow else {}
    weakened = [change for change in changes if change.weakened]
    if not weakened or policy.get("allow_weakening"):
        return []
    return [
        Finding(
            code=FindingCode.GATE_WEAKENED,
            severity=Severity.ERROR,
            message=f"a gate became weaker: {change.kind.replace('_', ' ')}",
            actionable_fix="apply gate_policy.allow_weakening: true by itself first"
            + (_OTHER_WAY if change.kind == "eval_rows_changed" else ""),
            field=change.path,
            address=str(_EVAL_PACK),
            found=str(change.after),
            expected=str(change.before),
        )
        for change in weakened
    ]


def _finding(problem: GateProblem) -> Finding:
    at = f"gates[{problem.gate_index}]." if problem.gate_index >= 0 else ""
    return Finding(
        code=problem.code,
        severity=Severity(problem.severity),
        message=problem.message,
        actionable_fix=problem.remedy,
        field=f"{at}{problem.field}",
        address=str(_EVAL_PACK),
        expected=problem.expected,
        suggestions=problem.suggestions,
    )


def _no_rows() -> Finding:
    return Finding(
        code=FindingCode.EVAL_SET_EMPTY,
        severity=Severity.ERROR,
        message="no set that is evaluated has a row, so nothing can be decided after training",
        actionable_fix="add a data source of type gold_test, or give spec.dataset.split.test a "
        "share, such as 0.1 taken from train",
        field="datasets",
        address=str(_EVAL_PACK),
        found="0 rows",
        expected="rows of a gold source or of the test split",
    )


def _error(code: FindingCode, error: BrewError) -> Finding:
    return Finding(
        code=code,
        severity=Severity.ERROR,
        message=error.message,
        actionable_fix=error.remedy,
        field="pack_id",
        address=str(_EVAL_PACK),
        found=error.found,
        expected=error.expected,
    )
