"""The policy of the base decides; a copy that the change brings along is told and ignored."""

import pytest

from tests.apply.bench import Bench
from tests.cli.conftest import Run
from tests.cli.repository import begin, commit

BREACHES = {
    "models: {allow: {value: ['org/name@0123']}}": ("models.allow", "builtin:nano"),
    "licenses: {allow: {value: [mit]}}": ("licenses.allow", "no licence written"),
    "gates: {required: {value: [macro_f1]}}": ("gates.required", "no required gate on macro_f1"),
    "price: {max_wall: {value: 0.5}}": ("price.max_wall", "wall time"),
    "price: {max_memory: {value: 1000}}": ("price.max_memory", "peak memory"),
    "data: {allowed_roots: {value: [dat]}}": ("data.allowed_roots", "data/gold.jsonl"),
}
KEPT = """\
models: {allow: {value: ["builtin:nano"]}}
gates: {required: {value: [accuracy]}, weakening: {value: refuse}}
price: {max_wall: {value: 36000.0}, max_memory: {value: 100000000000}}
deletes: {max: {value: 0}}
data: {allowed_roots: {value: [./data/]}}
"""


def write(bench: Bench, text: str) -> None:
    (bench.root / "brewslm.policy.yaml").write_text(text)


@pytest.mark.parametrize("policy", BREACHES)
def test_a_breach_is_refused(policy: str, bench: Bench, run: Run) -> None:
    write(bench, f"{policy}\n")
    begin(bench.root)
    answer = run("plan", "--json")
    rule, found = BREACHES[policy]
    assert answer.code == 6
    refused = [item for item in answer.document["findings"] if item["code"] == "POLICY_REFUSED"]
    assert [item["field"] for item in refused] == [rule]
    assert found in refused[0]["found"]
    assert answer.document["is_applyable"] is False
    decided = answer.document["policy"]
    assert (decided["ref"], decided["decision"]) == ("HEAD", "refuse")
    assert decided["results"] == [{"rule": rule, "level": "mandatory", "decision": "refuse"}]
    run("apply", "--auto-approve").says(6)


@pytest.mark.parametrize("policy", BREACHES)
def test_an_advisory_rule_warns(policy: str, bench: Bench, run: Run) -> None:
    write(bench, policy.replace("{value", "{level: advisory, value") + "\n")
    begin(bench.root)
    answer = run("plan")
    assert answer.code == 0
    assert "warning[POLICY_REFUSED]" in answer.out
    assert "  Policy\n    warn, by the policy at HEAD\n" in answer.out


def test_what_keeps_every_rule_is_allowed(bench: Bench, run: Run) -> None:
    write(bench, KEPT)
    begin(bench.root)
    answer = run("plan", "--json")
    assert answer.code == 0
    assert answer.document["policy"]["decision"] == "allow"
    assert len(answer.document["policy"]["results"]) == 7


def test_deletes_have_a_budget(applied: Bench, run: Run) -> None:
    write(applied, KEPT)
    begin(applied.root)
    applied.edit("[adapter, safetensors]", "[adapter]")
    assert "error[POLICY_REFUSED]" in run("plan").out
    assert "the policy's deletes.max does not allow this" in run("plan").out


def test_weakening_is_refused_whatever_the_manifest_allows(bench: Bench, run: Run) -> None:
    bench.edit("spec:\n", "spec:\n  workflow: {gate_policy: {allow_weakening: true}}\n")
    write(bench, KEPT)
    base = begin(bench.root)
    bench.edit("threshold: 0.8", "threshold: 0.7")
    answer = run("plan", "--against", base)
    assert answer.code == 6
    assert "the policy's gates.weakening does not allow this" in answer.out


def test_a_looser_copy_decides_nothing_and_is_told(bench: Bench, run: Run) -> None:
    write(bench, "licenses: {allow: {value: [mit]}}\n")
    base = begin(bench.root)
    write(bench, "{}\n")
    answer = run("plan")
    assert answer.code == 6
    assert "brewslm.policy.yaml:1:1: warning[POLICY_CHANGED]" in answer.out
    commit(bench.root)
    assert run("plan").code == 0, "HEAD holds the looser one now"
    assert run("plan", "--policy-ref", base).code == 6
    assert run("plan", "--against", base).code == 6
    assert run("plan", "--against", base, "--policy-ref", "HEAD").code == 0


def test_a_policy_that_only_the_change_has_decides_nothing(bench: Bench, run: Run) -> None:
    begin(bench.root)
    write(bench, "licenses: {allow: {value: [mit]}}\n")
    answer = run("plan", "--json")
    assert answer.code == 0
    assert answer.document["policy"] is None
    assert "POLICY_CHANGED" in [item["code"] for item in answer.document["findings"]]


@pytest.mark.parametrize(
    "text",
    [
        "models: {alow: {value: []}}\n",
        "endpoints: {allow: {value: []}}\n",
        "price: {max_wall: {value: soon}}\n",
        "gates: {weakening: {value: allow}}\n",
        "a: [\n",
        "- a\n",
        "",
    ],
)
def test_a_policy_that_cannot_be_read_refuses_all(text: str, bench: Bench, run: Run) -> None:
    write(bench, text)
    begin(bench.root)
    answer = run("plan")
    assert answer.code == 6
    assert "the policy of the base can't be read" in answer.out


def test_the_comment_says_what_the_policy_decides(bench: Bench, run: Run) -> None:
    write(bench, "licenses: {allow: {value: [mit]}}\n")
    begin(bench.root)
    run("plan", "--markdown", "plan.md")
    lines = (bench.root / "plan.md").read_text().splitlines()
    assert lines[1].startswith("**Refused, 1 error")
    assert "- `licenses.allow`: `refuse` (`mandatory`)" in lines
