"""Checks of the evaluation: what is evaluated, which metrics, and gates against what the task
declares.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from brewslm.diagnostics import Finding, FindingCode, Severity, finding_code
from brewslm.manifest.pack_file import read_pack
from brewslm.manifest.schema import ManifestFile
from brewslm.manifest.shape import Shaped
from brewslm.manifest.speaker import Say
from brewslm.manifest.yaml_file import Path as YamlPath
from brewslm.registry import closest
from brewslm.rows.mapper import DEFAULT_MAPPER_ID, MAPPERS
from brewslm.stages.adapter import AdapterSpec
from brewslm.stages.eval_pack import EvalPackSpec
from brewslm.tasks.builtin_packs import builtin_pack
from brewslm.tasks.gate import Gate
from brewslm.tasks.gate_checks import GateProblem, gate_problems
from brewslm.tasks.metrics import produced_metrics, resolve_metric
from brewslm.tasks.packs import Pack, PackError, gates_of
from brewslm.tasks.task import TASKS

ROLES = ("raw", "cleaned", "synthetic", "train", "validation", "test", "gold_dev", "gold_test")
_PREPARED = ("train", "validation", "test")
_PACK: YamlPath = ("spec", "eval_pack")
_OF_METRIC = (FindingCode.GATE_METRIC_UNKNOWN, FindingCode.METRIC_NOT_PRODUCED)
_BY_NAME = ("per_class.", "per_field.", "precision_")
"""Metrics of one label, field or type: which ones there are may only be known from rows."""


def check_evaluation(
    file: ManifestFile, shaped: Shaped, bound: Mapping[str, str | None], root: Path, say: Say
) -> Iterator[Finding]:
    """Yield what is wrong with the evaluation and its gates."""
    yield from _rows(file, say)
    yield from _fallback(file, shaped, say)
    yield from _greedy(file, shaped, say)
    profile = _profile(file, bound)
    contract = _contract(file, bound)
    if profile is not None and "spec.eval_pack.eval_types" in shaped.written:
        yield from _metrics(file, profile, contract, say)
    yield from _gates(file, profile, contract, root, say)


def _profile(file: ManifestFile, bound: Mapping[str, str | None]) -> str | None:
    """Return the task profile, None where rows decide it or nothing evaluates it."""
    own = file.spec.dataset.task_profile
    profiles = {own} if own else {_profile_of(item) for item in _serving(file, bound)}
    profile = profiles.pop() if len(profiles) == 1 else None
    return profile if profile in TASKS.names() else None


def _serving(file: ManifestFile, bound: Mapping[str, str | None]) -> list[AdapterSpec | None]:
    by_name = {adapter.name: adapter for adapter in file.spec.adapters}
    return [by_name.get(name) if name else None for name in bound.values()]


def _profile_of(adapter: AdapterSpec | None) -> str | None:
    if adapter is None or adapter.task_profile is not None:
        return None if adapter is None else adapter.task_profile
    if adapter.base_adapter_id == DEFAULT_MAPPER_ID:
        return None
    return MAPPERS.load(adapter.base_adapter_id).task_profile


def _contract(file: ManifestFile, bound: Mapping[str, str | None]) -> dict[str, Any]:
    contract = file.spec.dataset.contract
    schema = contract.json_schema
    modes = {_scoring_mode(adapter) for adapter in _serving(file, bound)}
    return {
        "allowed_labels": None if contract.allowed_labels is None else [*contract.allowed_labels],
        "required_fields": [*contract.required_fields],
        "json_schema": schema if isinstance(schema, dict) else None,
        "scoring_mode": modes.pop() if len(modes) == 1 else "auto",
        "labels": [],
    }


def _scoring_mode(adapter: AdapterSpec | None) -> str:
    if adapter is None:
        return "auto"
    written = adapter.output_contract.get("scoring_mode", "auto")
    if written != "auto" or adapter.base_adapter_id == DEFAULT_MAPPER_ID:
        return str(written)
    return MAPPERS.load(adapter.base_adapter_id).scoring_mode


def _metrics(
    file: ManifestFile, profile: str, contract: Mapping[str, Any], say: Say
) -> Iterator[Finding]:
    known = sorted(produced_metrics(profile, contract))
    for index, name in enumerate(file.spec.eval_pack.eval_types):
        if resolve_metric(profile, contract, name) is None and not name.startswith(_BY_NAME):
            near = closest(name, known)
            yield say(
                FindingCode.METRIC_NOT_PRODUCED,
                (*_PACK, "eval_types", index),
                f'task "{profile}" does not produce the metric "{name}"',
                f"write {near[0]}" if near else "delete it; [] reports every metric of the task",
                name,
                ", ".join(known),
                severity=Severity.WARNING,
                suggestions=near,
            )


def _gates(
    file: ManifestFile, profile: str | None, contract: Mapping[str, Any], root: Path, say: Say
) -> Iterator[Finding]:
    pack = file.spec.eval_pack
    gates: tuple[Gate, ...] = pack.gates
    chosen, findings = _pack(pack, root, say)
    yield from findings
    if chosen is not None and profile is not None:
        try:
            gates = gates_of(chosen, profile, contract, pack.gates)
        except PackError as error:
            yield _pack_finding(error, pack, say)
    if pack.compare_to == "none":
        yield from _without_base(gates, profile, contract, say)
    written = {gate.name: index for index, gate in enumerate(pack.gates)}
    has_deployment = file.spec.deployment is not None and file.can_train
    for problem in gate_problems(
        gates,
        profile or _ANY_PROFILE,
        contract,
        has_deployment=has_deployment,
        promotes_ungated=file.spec.workflow.gate_policy.promote_ungated,
        required_metrics=_required_metrics(chosen, profile),
    ):
        is_said_already = problem.code == FindingCode.DUPLICATE_GATE_ID
        is_open = profile is None and not _is_known_of_any_task(problem, chosen)
        if not (is_open or is_said_already or _is_known_from_rows(problem, gates, contract)):
            yield _gate_finding(problem, gates, written, say, is_shipped=pack.path is None)


def _required_metrics(pack: Pack | None, profile: str | None) -> tuple[str, ...]:
    if pack is None or profile not in pack.profiles():
        return ()
    return pack.spec_for(profile).required_metric_ids


def _is_known_of_any_task(problem: GateProblem, pack: Pack | None) -> bool:
    """Return whether a problem is there whatever the task, which only rows tell."""
    if problem.code == FindingCode.NO_REQUIRED_GATE:
        return pack is None
    return problem.code == FindingCode.GATE_OPTIONS


def _without_base(
    gates: tuple[Gate, ...], profile: str | None, contract: Mapping[str, Any], say: Say
) -> Iterator[Finding]:
    """Yield a finding for the gates that need a base model which is not evaluated."""
    names = []
    for gate in gates:
        metric = resolve_metric(profile, contract, gate.metric_id) if profile else None
        if gate.baseline == "base_model" or (metric is not None and "baseline" in metric.needs):
            names.append(gate.name)
    if names:
        yield say(
            FindingCode.BASELINE_REQUIRED,
            (*_PACK, "compare_to"),
            "compare_to: none evaluates no base model, and gates compare with it",
            "write compare_to: base_model",
            ", ".join(names),
            "gates that need no base model",
        )


def _pack(pack: EvalPackSpec, root: Path, say: Say) -> tuple[Pack | None, list[Finding]]:
    if pack.path is not None:
        return read_pack(root, pack.path, pack.pack_id, say)
    if pack.pack_id is None:
        return None, []
    try:
        return builtin_pack(pack.pack_id), []
    except PackError as error:
        return None, [_pack_finding(error, pack, say)]


def _pack_finding(error: PackError, pack: EvalPackSpec, say: Say) -> Finding:
    return say(
        finding_code(error.code, FindingCode.EVAL_PACK_FILE),
        (*_PACK, "pack_id" if pack.pack_id is not None else "path"),
        error.message,
        error.remedy,
        pack.pack_id or "",
        error.expected,
    )


_ANY_PROFILE = TASKS.names()[0]
"""Gate options that exclude each other do so in every task."""


def _is_known_from_rows(
    problem: GateProblem, gates: tuple[Gate, ...], contract: Mapping[str, Any]
) -> bool:
    if problem.code not in _OF_METRIC or contract["allowed_labels"] or contract["json_schema"]:
        return False
    return gates[problem.gate_index].metric_id.startswith(_BY_NAME)


def _gate_finding(
    problem: GateProblem,
    gates: tuple[Gate, ...],
    written: Mapping[str, int],
    say: Say,
    *,
    is_shipped: bool,
) -> Finding:
    path: YamlPath = (*_PACK, "gates") if gates else ("spec", "deployment")
    remedy = problem.remedy
    found = ""
    if problem.gate_index >= 0:
        gate = gates[problem.gate_index]
        value = getattr(gate, problem.field)
        found = "" if value is None else str(value)
        if gate.name in written:
            path = (*path, written[gate.name], problem.field)
        else:
            path = (*_PACK, "pack_id" if is_shipped else "path")
            remedy = f"choose another pack, or write a gate of your own with gate_id: {gate.name}"
    return say(
        finding_code(problem.code, FindingCode.GATE_OPTIONS),
        path,
        problem.message,
        remedy,
        found,
        problem.expected,
        severity=Severity(problem.severity),
        suggestions=problem.suggestions,
    )


def _greedy(file: ManifestFile, shaped: Shaped, say: Say) -> Iterator[Finding]:
    """Yield settings of sampling that greedy answers do not use."""
    pack = file.spec.eval_pack
    for field in ("generation.top_p", "seeds"):
        if pack.generation.temperature == 0 and f"spec.eval_pack.{field}" in shaped.written:
            yield say(
                FindingCode.FIELD_UNUSED,
                (*_PACK, *field.split(".")),
                "answers are greedy, so nothing is sampled",
                "delete the line, or write a temperature",
                severity=Severity.WARNING,
            )


def _fallback(file: ManifestFile, shaped: Shaped, say: Say) -> Iterator[Finding]:
    """Yield that the prepared test set is evaluated, where nothing that is named has rows."""
    names = {item.name for item in file.spec.data_sources}
    carried = names | {item.type for item in file.spec.data_sources} | {*_PREPARED}
    datasets = file.spec.eval_pack.datasets
    is_asked = bool(names) and all(name in (*names, *ROLES) for name in datasets)
    if is_asked and not carried & {*datasets}:
        is_written = "spec.eval_pack.datasets" in shaped.written
        yield say(
            FindingCode.AUTOFIX_EVAL_DATASETS,
            (*_PACK, "datasets"),
            "no source has these roles, so the prepared test set is evaluated",
            "write datasets: [test], or add a gold source",
            ", ".join(datasets),
            "test",
            severity=Severity.WARNING if is_written else Severity.INFO,
        )


def _rows(file: ManifestFile, say: Say) -> Iterator[Finding]:
    pack = file.spec.eval_pack
    path: YamlPath = ("spec", "eval_pack")
    names = {item.name: item.type for item in file.spec.data_sources}
    for index, name in enumerate(pack.datasets):
        if name not in names and name not in ROLES:
            near = closest(name, [*names, *ROLES])
            yield say(
                FindingCode.UNKNOWN_EVAL_DATASET,
                (*path, "datasets", index),
                f'"{name}" is neither a source nor a role',
                f"write {near[0]}" if near else "name a gold source",
                name,
                ", ".join([*names, *ROLES]),
                suggestions=near,
            )
        elif names.get(name, name) in ("train", "raw", "cleaned", "synthetic"):
            yield say(
                FindingCode.EVAL_ON_TRAIN_ROWS,
                (*path, "datasets", index),
                "these rows are trained on",
                "write datasets: [test], or name a gold source",
                name,
            )
    if pack.compare_to == "none" and file.spec.workflow.gate_policy.require_baseline:
        yield say(
            FindingCode.BASELINE_REQUIRED,
            (*path, "compare_to"),
            "the gate policy asks for a comparison",
            "write compare_to: base_model",
        )
    if pack.epochs > 1 and pack.generation.temperature == 0:
        yield say(
            FindingCode.REPEATS_ARE_EQUAL,
            (*path, "epochs"),
            "greedy answers are the same every time",
            "write a temperature, or epochs: 1",
            severity=Severity.INFO,
        )
    if pack.seeds and len(pack.seeds) != pack.epochs:
        yield say(
            FindingCode.OUT_OF_RANGE,
            (*path, "seeds"),
            "there have to be as many seeds as epochs",
            f"write {pack.epochs} seeds, or none",
            str(len(pack.seeds)),
            str(pack.epochs),
        )
