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
endpoints: {allow: {value: []}}
promotion: {require_approval: {value: true}}
"""
APPROVAL = "promotion: {require_approval: {value: true}}\n"


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
    assert len(answer.document["policy"]["results"]) == 9


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


def test_other_gold_rows_are_refused_whatever_was_recorded(applied: Bench, run: Run) -> None:
    """The state is that of a project without a leave: plan and apply refuse by themselves."""
    applied.write_rows("gold", range(100, 120))
    answer = run("plan")
    assert answer.code == 6
    assert "rows.gold_test: eval_rows_changed" in answer.out
    assert "10 removed (" in answer.out
    assert run("apply", "--auto-approve").code == 6
    write(applied, "gates: {weakening: {value: refuse}}\n")
    begin(applied.root)
    again = run("plan")
    assert again.code == 6
    assert "the policy's gates.weakening does not allow this" in again.out


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


@pytest.mark.case("PLN-02")
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("models: {allow: {value: []}}\nlicenses:\n  alow: {value: []}\n", "3:3"),
        ("price:\n  max_wall: {value: soon}\n", "2:14"),
        ("price: {max_wall: {level: advisory}}\n", "1:9"),
        ("a: [\n", "2:1"),
        ("- a\n", "1:1"),
        ("", "1:1"),
    ],
)
@pytest.mark.parametrize("flags", [(), ("--untrusted",), ("--policy-ref", "HEAD~1")])
def test_a_broken_policy_in_a_change_is_an_error_and_the_trusted_one_decides(
    text: str, place: str, flags: tuple[str, ...], bench: Bench, run: Run
) -> None:
    write(bench, "licenses: {allow: {value: [mit]}}\n")
    base = begin(bench.root)
    bench.edit("sorts complaints", "sorts letters")
    commit(bench.root)
    write(bench, text)
    if flags:
        commit(bench.root)
    if flags == ("--untrusted",):
        flags = ("--untrusted", "--against", base)
    answer = run("plan", "--json", *flags)
    assert answer.code == 6
    found = {
        f"{item['line']}:{item['column']} {item['message']}"
        for item in answer.document["findings"]
        if item["code"] == "POLICY_REFUSED" and item["file"] == "brewslm.policy.yaml"
    }
    assert [item for item in found if item.startswith(f"{place} the policy of this change")], found
    assert answer.document["policy"]["decision"] == "refuse"
    assert [item["rule"] for item in answer.document["policy"]["results"]] == ["licenses.allow"]
    assert answer.document["is_applyable"] is False


@pytest.mark.parametrize(
    "text",
    [
        "models: {alow: {value: []}}\n",
        "endpoints: {deny: {value: []}}\n",
        "promotion: {require_approval: {value: false}}\n",
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


@pytest.mark.case("UNT-04")
@pytest.mark.parametrize(
    ("backend", "allowed", "found"),
    [
        ("s3://bucket/x", "['s3://other']", "s3://bucket"),
        ("s3://bucket.evil/x", "['s3://bucket']", "s3://bucket.evil"),
        ("s3://allowed@bucket/x", "['s3://allowed']", "s3://bucket"),
        ("s3://169.254.169.254/x", "[]", "s3://169.254.169.254"),
    ],
)
def test_only_allowed_endpoints_may_be_named(
    backend: str, allowed: str, found: str, bench: Bench, run: Run
) -> None:
    bench.edit("spec:\n", f"spec:\n  workflow: {{backend: {{artifacts: '{backend}'}}}}\n")
    write(bench, f"endpoints: {{allow: {{value: {allowed}}}}}\n")
    begin(bench.root)
    answer = run("plan", "--untrusted", "--json")
    refused = [item for item in answer.document["findings"] if item["severity"] == "error"]
    assert [(item["code"], item["found"]) for item in refused] == [("ENDPOINT_NOT_ALLOWED", found)]
    assert (answer.code, refused[0]["field"]) == (6, "endpoints.allow")


def test_an_allowed_endpoint_may_be_named(bench: Bench, run: Run) -> None:
    bench.edit("spec:\n", "spec:\n  workflow: {backend: {artifacts: 's3://Bucket:9000/x'}}\n")
    write(bench, "endpoints: {allow: {value: ['s3://bucket:9000']}}\n")
    begin(bench.root)
    assert run("plan", "--untrusted").code == 0


def test_an_endpoint_that_a_secret_holds_warns(bench: Bench, run: Run) -> None:
    bench.edit("spec:\n", "spec:\n  workflow: {backend: {state: 'secret://STATE_URL'}}\n")
    write(bench, "endpoints: {allow: {value: []}}\n")
    begin(bench.root)
    answer = run("plan", "--untrusted")
    assert (answer.code, "warning[ENDPOINT_NOT_ALLOWED]" in answer.out) == (0, True)


def test_promotion_waits_for_a_reviewed_plan(bench: Bench, run: Run) -> None:
    write(bench, APPROVAL)
    begin(bench.root)
    refused = "promotion.require_approval does not allow this"
    run("apply", "--auto-approve").says(6, "error[policy_refused]", refused)
    run("plan", "--out", "a.plan.json")
    run("apply", "a.plan.json").says(6, refused, "--expect-digest DIGEST")
    run("apply", "a.plan.json", "--auto-approve").says(6, refused)
    run("apply", "a.plan.json", "--expect-digest", "sha256:0").says(4, "plan_digest_mismatch")
    run("apply", "--auto-approve", "--expect-digest", "sha256:0").says(1, "usage_error")
    assert not (bench.home / "state.db").exists(), "nothing was begun"


def test_what_promotes_nothing_needs_no_review(applied: Bench, run: Run) -> None:
    write(applied, APPROVAL)
    begin(applied.root)
    assert run("apply", "--auto-approve").code == 0
    applied.edit("sorts complaints", "sorts letters")
    assert run("apply", "--auto-approve").code == 0
    applied.edit("threshold: 0.8", "threshold: 0.9")
    run("apply", "--auto-approve").says(6, "policy_refused")


def test_a_reviewed_plan_may_promote(applied: Bench, run: Run) -> None:
    write(applied, APPROVAL)
    begin(applied.root)
    applied.edit("threshold: 0.8", "threshold: 0.9")
    digest = run("plan", "--json", "--out", "a.plan.json").document["digest"]
    assert run("apply", "a.plan.json", "--expect-digest", digest).code == 0


def test_an_advisory_review_is_said(applied: Bench, run: Run) -> None:
    write(applied, APPROVAL.replace("{value", "{level: advisory, value"))
    begin(applied.root)
    applied.edit("threshold: 0.8", "threshold: 0.9")
    answer = run("apply", "--auto-approve")
    answer.says(0, "warning[policy_refused]", "nobody reviewed")


@pytest.mark.case("PLN-02")
def test_a_saved_plan_of_another_policy_is_stale(applied: Bench, run: Run) -> None:
    begin(applied.root)
    applied.edit("threshold: 0.8", "threshold: 0.9")
    run("plan", "--out", "a.plan.json")
    write(applied, APPROVAL)
    commit(applied.root)
    run("apply", "a.plan.json").says(4, "plan_stale", "the policy changed")


COMMIT, OTHER = "0123456789abcdef0123456789abcdef01234567", "f" * 40


@pytest.mark.parametrize(
    ("revision", "allowed", "is_refused"),
    [
        (f", revision: {COMMIT}", f"org/name@{COMMIT}", False),
        (f", revision: {OTHER}", f"org/name@{COMMIT}", True),
        ("", f"org/name@{COMMIT}", True),
        (f", revision: {COMMIT}", "org/name", True),
        (", revision: v1", f"org/name@{COMMIT}", True),
    ],
)
def test_a_base_model_is_allowed_by_its_commit(
    revision: str, allowed: str, is_refused: bool, bench: Bench, run: Run
) -> None:
    write(bench, f"models: {{allow: {{value: ['{allowed}']}}}}\n")
    bench.edit("base_model: builtin:nano", f"base_model: org/name{revision}")
    begin(bench.root)
    findings = run("plan", "--json").document["findings"]
    refused = [item for item in findings if item["code"] == "POLICY_REFUSED"]
    assert [item["field"] for item in refused] == ["models.allow"] * is_refused


@pytest.mark.parametrize("required", ["true", "false"])
def test_only_required_gates_are_what_a_policy_requires(
    required: str, bench: Bench, run: Run
) -> None:
    write(bench, "gates: {required: {value: [macro_f1]}}\n")
    more = f"\n      - {{metric_id: macro_f1, threshold: 0.5, required: {required}}}"
    bench.edit("operator: gte}", "operator: gte}" + more)
    begin(bench.root)
    findings = run("plan", "--json").document["findings"]
    refused = [item for item in findings if item["code"] == "POLICY_REFUSED"]
    assert [item["found"] for item in refused] == (
        [] if required == "true" else ["no required gate on macro_f1"]
    )
