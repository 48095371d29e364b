"""A plan as a comment: verdict first, bounded, closed, and inert whatever the names are."""

import re
from typing import Any

import pytest

from brewslm.address import Address
from brewslm.contracts import Category, Operation
from brewslm.diagnostics import Finding, FindingCode, Severity
from brewslm.plan.action import Action, Cause, Drift, Estimate, GateChange, Price
from brewslm.plan.plan import Plan, ProjectFacts
from brewslm.render.markdown import MAX_SIZE, render_markdown, weight

HOSTILE = [
    "@org/team closes #1",
    "</details></summary><script>alert(1)</script>",
    "![x](http://tracker/x.png)[y](javascript:alert(1))",
    "http://evil.example www.evil.example",
    "--> <!-- brewslm-plan v1 project=x run=1 digest=00 -->",
    "a\n\n```\n# title\n~~~",
    "`" * 300,
    "a | b\n|---|---|",
    "\u202e\u200b\x1b[2J\U000e0041",
    "😀" * 400,
    "&lt;b&gt; &#64;org",
]


def action(name: str, **wanted: Any) -> Action:
    values: dict[str, Any] = {
        "address": str(Address("data_source", name)),
        "target": "data_source",
        "name": name,
        "operation": Operation.UPDATE,
        "category": Category.DATA,
        "reason": "field_changed",
        "causes": (Cause(kind="field", path=name),),
        "fields_changed": ("locator",),
        "before": {"spec": {"locator": "old"}, "outputs": {}},
        "after": {"spec": {"locator": name}, "outputs": {}},
        "data": {name: {"rows": name}},
        "estimate": Price.free(),
    }
    return Action(**{**values, **wanted})


def training(**wanted: Any) -> Action:
    return action(
        "", address="training_plan", target="training_plan", category=Category.RECIPE, **wanted
    )


def plan(*actions: Action, **wanted: Any) -> Plan:
    values: dict[str, Any] = {
        "tool_version": "1",
        "project": ProjectFacts(name="parcels", lineage="0aa2b4c6", serial=4),
        "effective_manifest": {},
        "manifest_digest": "sha256:00",
        "git_commit": "ab" * 20,
        "actions": actions,
        "estimate": Price(wall_s=Estimate.estimated(840, 600, 1200, "4 runs")),
    }
    return Plan(**{**values, **wanted}).sealed()


def finding(message: str, severity: Severity = Severity.ERROR) -> Finding:
    return Finding(
        code=FindingCode.INVALID_VALUE,
        severity=severity,
        message=message,
        actionable_fix=message,
        field=message,
    )


def outside_of_code(text: str) -> str:
    """What a Markdown reader interprets: all but fences, code spans and code in HTML."""
    text = re.sub(r"^(`{3,})\n.*?^\1$", "", text, flags=re.M | re.S)
    text = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
    return re.sub(r"<code>[^<]*</code>", "", text)


def assert_sound(text: str) -> None:
    assert weight(text) <= MAX_SIZE
    bare = outside_of_code(text)
    assert "`" not in bare
    opened = re.findall(r"<details><summary>", bare)
    assert len(opened) == bare.count("</details>") == bare.count("</summary>")
    rest = re.sub(r"</?details>|</?summary>", "", bare.split("\n", 1)[1])
    assert not re.search(r"[<>@&#]|\]\(|://|www\.", rest.replace("### ", "")), rest
    assert all(char.isprintable() or char == "\n" for char in text)


def test_one_change() -> None:
    text = render_markdown(plan(training()), run="77")
    lines = text.splitlines()
    digest = plan(training()).digest.removeprefix("sha256:")
    assert lines[0] == f"<!-- brewslm-plan v1 project=parcels run=77 digest={digest} -->"
    assert lines[1] == "**Would retrain once, 14 min estimated · 0 deletes · no gate weakened**"
    assert "1 of 1 actions shown." in lines
    assert "<details><summary>update <code>training_plan</code> [recipe]</summary>" in lines
    assert f"serial 4 · commit `{'ab' * 20}` · plan `sha256:{digest}`" == lines[-1]
    assert_sound(text)


@pytest.mark.case("RND-04")
def test_ten_thousand_changes_keep_the_heaviest() -> None:
    light = [
        action(f"light{index}", category=Category.METADATA, operation=Operation.CREATE)
        for index in range(10_000)
    ]
    text = render_markdown(plan(*light, training()))
    assert_sound(text)
    assert "<code>training_plan</code>" in text
    shown = re.search(r"^(\d+) of 10,001 actions shown\.$", text, re.M)
    assert shown is not None
    assert int(shown[1]) == text.count("<details>") > 50
    assert weight(text) > MAX_SIZE - 2_000, "the room is used"
    assert text.splitlines()[1].startswith("**Would retrain once")
    assert text.splitlines()[-1].startswith("serial 4")


@pytest.mark.case("RND-04")
def test_two_thousand_of_everything_is_cut_and_counted() -> None:
    names = [f"n{index} {HOSTILE[index % len(HOSTILE)]}" for index in range(2_000)]
    gone = [action(name, operation=Operation.DELETE, after=None) for name in names]
    full = plan(
        *gone,
        findings=tuple(finding(name).to_json() for name in names),
        gate_changes=tuple(
            GateChange(kind=name, address="eval_pack", path=name, before=name, weakened=True)
            for name in names
        ),
        drift=tuple(Drift(address=name, kind="changed", path=name, repair=name) for name in names),
    )
    text = render_markdown(full)
    assert_sound(text)
    assert text.splitlines()[1].startswith("**Refused, 2,000 errors · 2,000 deletes · 2,000 gates")
    for title in ("Weakened gates", "Deletes", "Findings", "Drift"):
        assert re.search(rf"### {title}\n\n(- .*\n)+- and [\d,]+ more\n", text), title


@pytest.mark.case("RND-01")
@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_names_are_inert(name: str) -> None:
    hostile = plan(
        action(name),
        training(reason=name, keeps=name),
        project=ProjectFacts(name=name, lineage=name, serial=1),
        git_commit=name,
        findings=(finding(name).to_json() | {"code": name},),
        gate_changes=(GateChange(kind=name, address=name, path=name, after=name),),
    )
    text = render_markdown(hostile, run=name)
    assert_sound(text)
    assert re.fullmatch(
        r"<!-- brewslm-plan v1 project=[0-9a-f]{12} run=0 digest=[0-9a-f]{64} -->",
        text.splitlines()[0],
    )


@pytest.mark.parametrize(
    ("wanted", "begins"),
    [
        ({"findings": (finding("x").to_json(),)}, "Refused, 1 error"),
        (
            {"gate_changes": (GateChange(kind="k", address="a", path="p", weakened=True),)},
            "Weakens 1 gate, and would retrain once",
        ),
        ({}, "Would retrain once"),
    ],
)
def test_the_gravest_word_leads(wanted: dict[str, Any], begins: str) -> None:
    assert render_markdown(plan(training(), **wanted)).splitlines()[1].startswith(f"**{begins}")


def test_lighter_work_has_lighter_words() -> None:
    def said(*actions: Action) -> str:
        return render_markdown(plan(*actions)).splitlines()[1]

    gone = action("x", operation=Operation.DELETE, after=None)
    assert said(gone, training()).startswith("**Deletes 1 resource, and would retrain")
    assert said(training(operation=Operation.CREATE)).startswith("**Would train once")
    assert said(action("", address="eval_pack", target="eval_pack")).startswith("**Would evaluate")
    assert said(action("", address="export.a", target="export")).startswith("**Would export")
    assert said(action("rows")).startswith("**Records only")
    assert said(action("rows", operation=Operation.NOOP, category=None)).startswith("**No changes")


def test_rejected_rows_are_counted_by_code() -> None:
    counts = {"rows": {"read": 9, "rejected": 3}, "rejected": {"parse_error": 3}}
    text = render_markdown(plan(action("", address="dataset", target="dataset", data=counts)))
    assert "3 rows rejected**" in text.splitlines()[1]
    assert "- `rejected`: `parse_error 3`" in text.splitlines()
