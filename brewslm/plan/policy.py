"""The policy of the base commit: what any change may do, decided where the change can't reach."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct
from pydantic import ValidationError

from brewslm.address import Address
from brewslm.contracts import Operation, Spec
from brewslm.diagnostics import Finding, FindingCode, Place, Severity, sorted_findings
from brewslm.endpoint import server_in
from brewslm.fingerprint import digest_bytes
from brewslm.manifest.project import Manifest
from brewslm.manifest.yaml_file import read_yaml
from brewslm.plan.against import gates_in, profile_in
from brewslm.plan.plan import Plan
from brewslm.rows.source import find_source
from brewslm.stages.data_source import DataSourceSpec, source_path
from brewslm.stages.eval_pack import EvalPackSpec
from brewslm.stages.model import ModelSpec
from brewslm.stages.workflow import WorkflowSpec

POLICY_FILE = "brewslm.policy.yaml"
_START = Place(POLICY_FILE, 1, 1)
APPROVAL = "promotion.require_approval"
_T = TypeVar("_T")


class Rule(Spec, Generic[_T]):
    """One rule and how much it weighs."""

    level: Literal["advisory", "mandatory"] = "mandatory"
    """advisory warns; mandatory refuses, with exit code 6."""
    value: _T
    """What is allowed."""


class ModelRules(Spec):
    """Which base models may be trained on."""

    allow: Rule[tuple[str, ...]] | None = None
    """`org/name@COMMIT` for the Hub, `builtin:nano` or `./folder`."""


class LicenseRules(Spec):
    """Which licences a base model may have."""

    allow: Rule[tuple[str, ...]] | None = None
    """Names as in `model.license`; a model without one is refused."""


class GateRules(Spec):
    """What evaluation has to ask."""

    weakening: Rule[Literal["refuse"]] | None = None
    """refuse: no gate becomes weaker, whatever the manifest allows."""
    required: Rule[tuple[str, ...]] | None = None
    """Metrics that a required gate has to stand on."""


class PriceRules(Spec):
    """What one apply may cost by its estimate."""

    max_wall: Rule[float] | None = None
    """Seconds."""
    max_memory: Rule[int] | None = None
    """Bytes."""


class DeleteRules(Spec):
    """How much may go."""

    max: Rule[int] | None = None
    """Resources."""


class DataRules(Spec):
    """Where rows may come from."""

    allowed_roots: Rule[tuple[str, ...]] | None = None
    """Folders of the project, such as `data`."""


class EndpointRules(Spec):
    """Which servers may be named."""

    allow: Rule[tuple[str, ...]] | None = None
    """`scheme://host`, with a port where one is written, or `s3://bucket`."""


class PromotionRules(Spec):
    """What has to come before a promotion."""

    require_approval: Rule[Literal[True]] | None = None
    """true: a person says yes on a terminal, or a reviewed plan is applied by its digest."""


class PolicyFile(Spec):
    """`brewslm.policy.yaml`."""

    models: ModelRules = ModelRules()
    licenses: LicenseRules = LicenseRules()
    gates: GateRules = GateRules()
    price: PriceRules = PriceRules()
    deletes: DeleteRules = DeleteRules()
    data: DataRules = DataRules()
    endpoints: EndpointRules = EndpointRules()
    promotion: PromotionRules = PromotionRules()


class _Breach(Struct, frozen=True):
    """What a rule does not allow."""

    address: str
    found: str
    expected: str
    is_certain: bool = True
    """False where the plan can't know, so that nothing is refused for it."""
    code: FindingCode = FindingCode.POLICY_REFUSED


def with_policy(
    plan: Plan, manifest: Manifest, ref: str, written: bytes | None, own: bytes | None
) -> Plan:
    """Return a plan with the decision of the policy that a commit holds.

    written: that commit's policy file; own: the one of the work tree, which decides nothing and is
    reported where it differs. A policy that can't be read refuses everything, also one that would
    only decide once it is merged.
    """
    findings = list(plan.finding_values)
    if written != own:
        findings.append(_changed(ref, has_base=written is not None))
        if own is not None:
            findings += _read(own, "the policy of this change")[1]
    policy: dict[str, Any] | None = None
    if written is not None:
        results, found = _decided(plan, manifest, written)
        findings += found
        decisions = {item["decision"] for item in results} | {_decision(item) for item in found}
        worst = next((word for word in ("refuse", "warn") if word in decisions), "allow")
        digest = digest_bytes(written)
        policy = {"ref": ref, "digest": digest, "decision": worst, "results": results}
    if policy is None and len(findings) == len(plan.findings):
        return plan
    has_errors = any(finding.severity is Severity.ERROR for finding in findings)
    return plan.model_copy(
        update={
            "policy": policy,
            "findings": tuple(item.to_json() for item in sorted_findings(findings)),
            "is_applyable": plan.is_applyable and not has_errors,
        }
    ).sealed()


def _decided(
    plan: Plan, manifest: Manifest, written: bytes
) -> tuple[list[dict[str, Any]], list[Finding]]:
    policy, problems = _read(written, "the policy of the base")
    if policy is None:
        return [], problems
    results: list[dict[str, Any]] = []
    findings: list[Finding] = []
    for name, rule, check in _rules(policy):
        if rule is None:
            continue
        breach = check(plan, manifest.specs(), rule.value)
        decision = "allow"
        if breach is not None:
            is_refused = rule.level == "mandatory" and breach.is_certain
            decision = "refuse" if is_refused else "warn"
            findings.append(_breached(name, breach, is_refused=is_refused))
        results.append({"rule": name, "level": rule.level, "decision": decision})
    return results, findings


def _read(written: bytes, whose: str) -> tuple[PolicyFile | None, list[Finding]]:
    """Return a policy, None with an error for everything in it that cannot be read."""
    source = read_yaml(written, POLICY_FILE)
    if source.findings or not source.is_whole:
        told = [_unreadable(whose, item.message, item.place) for item in source.findings]
        return None, told or [_unreadable(whose, "expected a mapping", _START)]
    try:
        return PolicyFile.model_validate(_tuples(source.value), strict=True), []
    except ValidationError as error:
        return None, [
            _unreadable(whose, _told(item), source.place(item["loc"])) for item in error.errors()
        ]


def _tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


_Check = Callable[[Plan, Mapping[Address, Spec], Any], _Breach | None]


def _rules(policy: PolicyFile) -> Iterator[tuple[str, Rule[Any] | None, _Check]]:
    yield "models.allow", policy.models.allow, _model
    yield "licenses.allow", policy.licenses.allow, _license
    yield "gates.weakening", policy.gates.weakening, _weakening
    yield "gates.required", policy.gates.required, _required
    yield "price.max_wall", policy.price.max_wall, _wall
    yield "price.max_memory", policy.price.max_memory, _memory
    yield "deletes.max", policy.deletes.max, _deletes
    yield "data.allowed_roots", policy.data.allowed_roots, _roots
    yield "endpoints.allow", policy.endpoints.allow, _endpoints
    yield APPROVAL, policy.promotion.require_approval, _approval


def _model(_: Plan, specs: Mapping[Address, Spec], allowed: tuple[str, ...]) -> _Breach | None:
    model = specs.get(Address("model"))
    if not isinstance(model, ModelSpec):
        return None
    name = f"{model.base_model}@{model.revision}" if model.revision else model.base_model
    return None if name in allowed else _Breach("model", name, _one_of(allowed))


def _license(_: Plan, specs: Mapping[Address, Spec], allowed: tuple[str, ...]) -> _Breach | None:
    model = specs.get(Address("model"))
    if not isinstance(model, ModelSpec) or model.license in allowed:
        return None
    return _Breach("model", model.license or "no licence written", _one_of(allowed))


def _weakening(plan: Plan, _: Mapping[Address, Spec], __: str) -> _Breach | None:
    paths = [change.path for change in plan.gate_changes if change.weakened]
    there = (plan.against or {}).get("gate_changes", ())
    paths += [change["path"] for change in there if change["weakened"]]
    found = ", ".join(sorted(set(paths)))
    return _Breach("eval_pack", found, "no gate becomes weaker") if found else None


def _required(_: Plan, specs: Mapping[Address, Spec], wanted: tuple[str, ...]) -> _Breach | None:
    held = {gate.metric_id for gate in gates_in(specs) if gate.required}
    missing = [metric_id for metric_id in wanted if metric_id not in held]
    if not missing:
        return None
    found = f"no required gate on {', '.join(missing)}"
    is_certain = profile_in(specs) is not None or not _has_pack(specs)
    return _Breach("eval_pack", found, f"required gates on {', '.join(wanted)}", is_certain)


def _has_pack(specs: Mapping[Address, Spec]) -> bool:
    spec = specs.get(Address("eval_pack"))
    return isinstance(spec, EvalPackSpec) and bool(spec.pack_id or spec.path)


def _wall(plan: Plan, _: Mapping[Address, Spec], limit_s: float) -> _Breach | None:
    return _above("wall time", plan.estimate.wall_s.value, limit_s, "s")


def _memory(plan: Plan, _: Mapping[Address, Spec], limit_bytes: int) -> _Breach | None:
    return _above("peak memory", plan.estimate.memory_bytes.value, limit_bytes, "bytes")


def _above(what: str, value: float | None, limit: float, unit: str) -> _Breach | None:
    if value is None:
        return _Breach("project", f"{what} unknown", f"at most {limit:g} {unit}", is_certain=False)
    if value <= limit:
        return None
    return _Breach("project", f"{what} {value:.0f} {unit}", f"at most {limit:g} {unit}")


def _deletes(plan: Plan, _: Mapping[Address, Spec], limit: int) -> _Breach | None:
    gone = [item.address for item in plan.actions if item.operation is Operation.DELETE]
    if len(gone) <= limit:
        return None
    return _Breach(gone[0], f"{len(gone)} deletes", f"at most {limit}")


def _roots(_: Plan, specs: Mapping[Address, Spec], roots: tuple[str, ...]) -> _Breach | None:
    for address, spec in sorted(specs.items()):
        path = source_path(spec) if isinstance(spec, DataSourceSpec) else ""
        steps = _steps(path)
        if path and not any(steps[: len(_steps(root))] == _steps(root) for root in roots):
            return _Breach(str(address), path, f"a file below {_one_of(roots)}")
    return None


def _endpoints(_: Plan, specs: Mapping[Address, Spec], allowed: tuple[str, ...]) -> _Breach | None:
    for address, endpoint in _named_endpoints(specs):
        if endpoint not in allowed:
            return _Breach(
                address=str(address),
                found=endpoint or "a secret",
                expected=_one_of(allowed),
                is_certain=bool(endpoint),
                code=FindingCode.ENDPOINT_NOT_ALLOWED,
            )
    return None


def _named_endpoints(specs: Mapping[Address, Spec]) -> Iterator[tuple[Address, str]]:
    """Return the servers that a manifest names, certain ones first; empty for one that a secret
    holds.
    """
    found: list[tuple[Address, str]] = []
    for address, spec in sorted(specs.items()):
        if isinstance(spec, DataSourceSpec):
            locator = spec.locator or ""
            source = find_source(locator.partition(":")[0])
            if source is not None and source.remote is not None:
                found.append((address, server_in(source.remote.server or locator)))
        if isinstance(spec, WorkflowSpec):
            urls = [url for url in (spec.backend.state, spec.backend.artifacts) if url]
            found += [(address, server_in(url)) for url in urls]
    yield from sorted(found, key=lambda item: not item[1])


def _approval(_: Plan, __: Mapping[Address, Spec], ___: bool) -> _Breach | None:
    """Find nothing: how a plan is approved is known when it is applied."""
    return None


def requires_approval(policy: Mapping[str, Any] | None) -> str:
    """Return how much a decided policy's wish for an approval weighs, empty without one."""
    results = (policy or {}).get("results", ())
    return next((str(item["level"]) for item in results if item["rule"] == APPROVAL), "")


def promotes(plan: Plan) -> bool:
    """Return whether a plan would let a pointer name another candidate."""
    return any(
        action.target == "deployment"
        and action.operation in (Operation.CREATE, Operation.UPDATE)
        and action.is_work
        and not action.is_repair
        for action in plan.actions
    )


def _steps(path: str) -> list[str]:
    return [step for step in path.split("/") if step not in ("", ".")]


def _one_of(values: tuple[str, ...]) -> str:
    return "one of " + ", ".join(values) if values else "none"


def _breached(name: str, breach: _Breach, *, is_refused: bool) -> Finding:
    return Finding(
        code=breach.code,
        severity=Severity.ERROR if is_refused else Severity.WARNING,
        message=f"the policy's {name} does not allow this",
        actionable_fix=f"change it, or change {POLICY_FILE} in a merge of its own first",
        field=name,
        address=breach.address,
        found=breach.found,
        expected=breach.expected,
    )


def _changed(ref: str, *, has_base: bool) -> Finding:
    return Finding(
        code=FindingCode.POLICY_CHANGED,
        severity=Severity.WARNING,
        message=f"{POLICY_FILE} is another one here than at {ref}, and decides nothing",
        actionable_fix="merge the policy by itself first",
        place=Place(POLICY_FILE, 1, 1),
        expected="the policy of the base" if has_base else "no policy, as in the base",
    )


def _unreadable(whose: str, message: str, place: Place) -> Finding:
    return Finding(
        code=FindingCode.POLICY_REFUSED,
        severity=Severity.ERROR,
        message=f"{whose} can't be read: {message}",
        actionable_fix=f"correct {POLICY_FILE} in {whose.rpartition('of ')[2]}",
        place=place,
    )


def _told(item: Mapping[str, Any]) -> str:
    return f"{'.'.join(map(str, item['loc']))}: {item['msg']}"


def _decision(finding: Finding) -> str:
    return "refuse" if finding.severity is Severity.ERROR else "warn"
