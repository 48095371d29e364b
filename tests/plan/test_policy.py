"""What each rule of a policy allows, up to its limit and not beyond."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from brewslm.address import Address
from brewslm.contracts import Operation, Spec
from brewslm.fingerprint import digest_bytes
from brewslm.manifest.project import Manifest, Wanted
from brewslm.plan.action import Action, Estimate, GateChange, Price
from brewslm.plan.plan import Plan, ProjectFacts
from brewslm.plan.policy import promotes, requires_approval, with_policy
from brewslm.rows.dataset import DatasetSpec
from brewslm.stages.data_source import DataSourceSpec
from brewslm.stages.eval_pack import EvalPackSpec
from brewslm.stages.model import ModelSpec
from brewslm.stages.workflow import WorkflowSpec

_MANDATORY, _ADVISORY = "mandatory", "advisory"


def _manifest(specs: dict[str, Spec]) -> Manifest:
    resources = {
        Address.parse(name): Wanted(Address.parse(name), spec) for name, spec in specs.items()
    }
    return Manifest(Path(), "brewslm.yaml", "parcels", resources, {}, "sha256:m")


def _action(address: str, operation: Operation, **changes: Any) -> Action:
    values: dict[str, Any] = {"target": address.partition(".")[0], "reason": "field_changed"}
    return Action(address=address, operation=operation, **values | changes)


def _plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "tool_version": "1",
        "project": ProjectFacts(name="parcels", lineage="", serial=0),
        "effective_manifest": {},
        "manifest_digest": "sha256:m",
    }
    return Plan(**values | changes).sealed()


def _written(rule: str, value: Any, level: str = _MANDATORY) -> bytes:
    section, name = rule.split(".")
    return json.dumps({section: {name: {"level": level, "value": value}}}).encode()


def _decision(
    rule: str,
    value: Any,
    specs: dict[str, Spec] | None = None,
    plan: Plan | None = None,
    level: str = _MANDATORY,
) -> str:
    """Return what a policy of one rule decides; all that a plan says of it has to agree."""
    policy = _written(rule, value, level)
    decided = with_policy(plan or _plan(), _manifest(specs or {}), "HEAD", policy, policy)
    assert decided.policy is not None
    (result,) = decided.policy["results"]
    assert (result["rule"], result["level"]) == (rule, level)
    assert decided.policy["digest"] == digest_bytes(policy)
    decision = str(decided.policy["decision"])
    assert decision == result["decision"]
    severities = {"allow": [], "warn": ["warning"], "refuse": ["error"]}[decision]
    assert [item.severity.value for item in decided.finding_values] == severities
    assert all(item.field == rule for item in decided.finding_values)
    assert decided.is_applyable is (decision != "refuse")
    assert decided.digest == decided.sealed().digest
    return decision


_MODEL = ModelSpec(base_model="org/name", revision="c0ffee", license="mit")


@pytest.mark.parametrize(
    ("rule", "value", "specs", "decision"),
    [
        ("models.allow", ["org/name@c0ffee"], {"model": _MODEL}, "allow"),
        ("models.allow", ["org/name"], {"model": _MODEL}, "refuse"),
        ("models.allow", [], {"model": _MODEL}, "refuse"),
        ("models.allow", ["builtin:nano"], {"model": ModelSpec(base_model="builtin:nano")},
         "allow"),
        ("models.allow", [], {}, "allow"),
        ("licenses.allow", ["mit"], {"model": _MODEL}, "allow"),
        ("licenses.allow", ["apache-2.0"], {"model": _MODEL}, "refuse"),
        ("licenses.allow", ["mit"], {"model": ModelSpec(base_model="builtin:nano")}, "refuse"),
    ],
)  # fmt: skip
def test_base_models_and_licences(
    rule: str, value: list[str], specs: dict[str, Spec], decision: str
) -> None:
    assert _decision(rule, value, specs) == decision
    advised = "warn" if decision == "refuse" else "allow"
    assert _decision(rule, value, specs, level=_ADVISORY) == advised


def _pack(*gates: tuple[str, bool], **more: Any) -> EvalPackSpec:
    document = [
        {"metric_id": name, "threshold": 0.5, "operator": "gte", "required": required}
        for name, required in gates
    ]
    return EvalPackSpec.model_validate({"gates": document, **more}, strict=False)


@settings(max_examples=40)
@given(
    st.dictionaries(st.sampled_from("abc"), st.booleans()).map(lambda gates: [*gates.items()]),
    st.lists(st.sampled_from("abc"), unique=True),
)
def test_only_required_gates_are_what_a_policy_requires(
    gates: list[tuple[str, bool]], wanted: list[str]
) -> None:
    specs: dict[str, Spec] = {
        "eval_pack": _pack(*gates),
        "dataset": DatasetSpec(task_profile="classification"),
    }
    is_held = all((name, True) in gates for name in wanted)
    assert _decision("gates.required", wanted, specs) == ("allow" if is_held else "refuse")
    assert _decision("gates.required", wanted) == ("refuse" if wanted else "allow")


def test_gates_of_a_pack_that_only_rows_tell_refuse_nothing() -> None:
    specs: dict[str, Spec] = {"eval_pack": _pack(path="pack.yaml")}
    assert _decision("gates.required", ["accuracy"], specs) == "warn"
    assert _decision("gates.required", ["accuracy"], {"eval_pack": _pack()}) == "refuse"


@pytest.mark.parametrize("here", [None, False, True])
@pytest.mark.parametrize("there", [None, False, True])
def test_a_gate_that_became_weaker_here_or_since_the_ref(
    here: bool | None, there: bool | None
) -> None:
    changes = (GateChange(kind="gate", address="eval_pack", path="gates.a", weakened=bool(here)),)
    against = {"gate_changes": [{"path": "gates.b", "weakened": there}]}
    plan = _plan(
        gate_changes=() if here is None else changes, against=None if there is None else against
    )
    decision = _decision("gates.weakening", "refuse", plan=plan)
    assert decision == ("refuse" if here or there else "allow")


@settings(max_examples=40)
@given(st.integers(0, 5) | st.none(), st.integers(0, 5), st.sampled_from(["wall", "memory"]))
def test_prices_up_to_the_limit_are_allowed_and_unknown_ones_warn(
    value: int | None, limit: int, what: str
) -> None:
    price = Estimate() if value is None else Estimate.exact(value)
    other = Estimate.exact(1e9)
    wall_s, memory = (price, other) if what == "wall" else (other, price)
    plan = _plan(estimate=Price(wall_s=wall_s, memory_bytes=memory))
    decision = _decision(f"price.max_{what}", float(limit) if what == "wall" else limit, plan=plan)
    assert decision == ("warn" if value is None else "allow" if value <= limit else "refuse")


@settings(max_examples=40)
@given(st.lists(st.sampled_from(list(Operation)), max_size=5), st.integers(0, 4))
def test_deletes_are_counted(operations: list[Operation], limit: int) -> None:
    actions = tuple(_action(f"adapter.a{n}", item) for n, item in enumerate(operations))
    decision = _decision("deletes.max", limit, plan=_plan(actions=actions))
    assert decision == ("allow" if operations.count(Operation.DELETE) <= limit else "refuse")


@pytest.mark.parametrize(
    ("path", "roots", "decision"),
    [
        ("data/rows.jsonl", ["data"], "allow"),
        ("data/rows.jsonl", ["./data/"], "allow"),
        ("data/a/rows.jsonl", ["other", "data/a"], "allow"),
        ("data/rows.jsonl", ["data/a"], "refuse"),
        ("database/rows.jsonl", ["data"], "refuse"),
        ("other/data/rows.jsonl", ["data"], "refuse"),
        ("data/rows.jsonl", [], "refuse"),
        ("data/rows.jsonl", ["."], "allow"),
    ],
)
def test_rows_come_from_below_an_allowed_folder(path: str, roots: list[str], decision: str) -> None:
    inside = DataSourceSpec(name="b", type="raw", file_path=f"{roots[0] if roots else 'x'}/b.jsonl")
    source = DataSourceSpec(name="c", type="raw", file_path=path)
    specs: dict[str, Spec] = {"data_source.c": source}
    assert _decision("data.allowed_roots", roots, specs) == decision
    if roots:
        specs |= {"data_source.b": inside, "data_source.d": inside}
        assert _decision("data.allowed_roots", roots, specs) == decision


@pytest.mark.parametrize(
    ("state", "artifacts", "decision"),
    [
        (None, None, "allow"),
        (None, "s3://Bucket/a", "allow"),
        (None, "s3://bucket:9000/a", "refuse"),
        (None, "s3://bucket@evil/a", "refuse"),
        (None, "s3://bucket?@evil/a", "refuse"),
        (None, "s3://bucket#@evil/a", "refuse"),
        (None, "s3://bucket\\@evil/a", "refuse"),
        (None, "s3://bucket/a@b", "allow"),
        (None, "s3://user:word@bucket/a", "allow"),
        ("secret://STATE", None, "warn"),
        ("secret://STATE", "s3://bucket/a", "warn"),
        ("secret://STATE", "s3://evil/a", "refuse"),
        ("postgresql://bucket/db", None, "refuse"),
    ],
)
def test_servers_are_allowed_by_scheme_and_name(
    state: str | None, artifacts: str | None, decision: str
) -> None:
    backend = {"state": state, "artifacts": artifacts}
    written = {name: url for name, url in backend.items() if url is not None}
    spec = WorkflowSpec().model_copy(
        update={"backend": WorkflowSpec().backend.model_copy(update=written)}
    )
    assert _decision("endpoints.allow", ["s3://bucket"], {"workflow": spec}) == decision


@given(
    st.lists(
        st.sampled_from(
            [
                *("bucket", "evil", "@", ":", "/", "?", "#", "&", "\\", ",", "%40", "="),
                *(
                    "host=evil",
                    "hostaddr=1.2.3.4",
                    "h%6fst=evil",
                    "service=evil",
                    "sslmode=require",
                ),
            ]
        ),
        max_size=7,
    )
)
def test_allowed_database_is_the_one_that_the_client_connects_to(parts: list[str]) -> None:
    """libpq's own reading of the URL is the oracle; what it refuses connects to nothing."""
    url = "postgresql://" + "".join(parts)
    backend = WorkflowSpec().backend.model_copy(update={"state": url})
    spec = WorkflowSpec().model_copy(update={"backend": backend})
    if _decision("endpoints.allow", ["postgresql://bucket"], {"workflow": spec}) != "allow":
        return
    try:
        read = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return
    assert {"host", "hostaddr", "port", "service"} & set(read) == {"host"}
    assert read["host"] == "bucket"


def test_the_worst_of_several_decisions_counts() -> None:
    price = {"max_wall": {"level": _MANDATORY, "value": 1.0}}
    for allowed, decision in (([], "refuse"), (["mit"], "warn")):
        rules = {"price": price, "licenses": {"allow": {"value": allowed}}}
        manifest = _manifest({"model": ModelSpec(base_model="builtin:nano", license="mit")})
        written = json.dumps(rules).encode()
        found = with_policy(_plan(), manifest, "main", written, written).policy
        assert found is not None
        assert found["decision"] == decision
        assert {item["decision"] for item in found["results"]} >= {"warn", decision}


_STRICT = b"licenses: {allow: {value: [mit]}}\n"


@pytest.mark.parametrize(
    ("written", "own", "decision", "codes"),
    [
        (None, None, None, []),
        (None, _STRICT, None, ["POLICY_CHANGED"]),
        (None, b"a: [\n", None, ["POLICY_CHANGED", "POLICY_REFUSED"]),
        (_STRICT, _STRICT, "allow", []),
        (_STRICT, None, "allow", ["POLICY_CHANGED"]),
        (_STRICT, b"deletes: {max: {value: -1}}\nlicenses: {allow: {value: []}}\n", "allow",
         ["POLICY_CHANGED"]),
        (b"licenses: {allow: {value: []}}\n", _STRICT, "refuse",
         ["POLICY_CHANGED", "POLICY_REFUSED"]),
        (b"a: [\n", b"a: [\n", "refuse", ["POLICY_REFUSED"]),
        (b"licenses: {allow: {value: [mit], level: advisory}}\nmodels: {allow: {value: []}}\n",
         None, "refuse", ["POLICY_CHANGED", "POLICY_REFUSED"]),
    ],
)  # fmt: skip
def test_the_policy_of_the_ref_decides_and_another_one_here_is_told(
    written: bytes | None, own: bytes | None, decision: str | None, codes: list[str]
) -> None:
    decided = with_policy(_plan(), _manifest({"model": _MODEL}), "main", written, own)
    assert sorted(str(item.code) for item in decided.finding_values) == codes
    assert (decided.policy or {}).get("decision") == decision
    assert decided.is_applyable is ("POLICY_REFUSED" not in codes)
    assert (decided == _plan()) is (written is own is None)


def test_a_plan_that_cannot_be_applied_stays_so() -> None:
    plan = _plan(is_applyable=False)
    assert not with_policy(plan, _manifest({}), "HEAD", b"{}\n", b"{}\n").is_applyable


def test_an_approval_is_asked_for_by_its_own_rule() -> None:
    rules = b"deletes: {max: {value: 0}}\npromotion: {require_approval: {value: true}}\n"
    decided = with_policy(_plan(), _manifest({}), "HEAD", rules, rules)
    assert requires_approval(decided.policy) == _MANDATORY
    rules = rules.replace(b"{value: true}", b"{value: true, level: advisory}")
    decided = with_policy(_plan(), _manifest({}), "HEAD", rules, rules)
    assert requires_approval(decided.policy) == _ADVISORY
    assert requires_approval(None) == requires_approval({"results": []}) == ""


@pytest.mark.parametrize(
    ("address", "operation", "changes", "is_promotion"),
    [
        ("deployment", Operation.CREATE, {}, True),
        ("deployment", Operation.UPDATE, {}, True),
        ("deployment", Operation.NOOP, {}, False),
        ("deployment", Operation.DELETE, {}, False),
        ("deployment", Operation.UPDATE, {"reason": "drift_repair"}, False),
        ("deployment", Operation.UPDATE, {"reason": "drift_repair", "after": {"spec": {}}}, True),
        ("export.adapter", Operation.UPDATE, {}, False),
    ],
)
def test_what_promotes(
    address: str, operation: Operation, changes: dict[str, Any], is_promotion: bool
) -> None:
    assert promotes(_plan(actions=(_action(address, operation, **changes),))) is is_promotion
