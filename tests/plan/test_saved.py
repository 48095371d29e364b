"""A saved plan is refused once a fact that it rests on differs; the first of them is named."""

import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from brewslm.contracts import Operation
from brewslm.errors import BrewError, PlanError, RefusedError, StalePlanError
from brewslm.fingerprint import canonical_json, digest_value
from brewslm.plan.action import Action, PlanInput
from brewslm.plan.plan import Plan, ProjectFacts
from brewslm.plan.saved import check_current, check_whole, read_saved
from brewslm.state.empty import EmptyState
from brewslm.state.records import Meta, RevisionRecord
from tests.state.states import LINEAGE, revision

_ERROR = {
    "code": "ROWS_TOO_LONG",
    "severity": "error",
    "message": "all rows are too long",
    "actionable_fix": "write max_seq_length: 512",
}


class _State(EmptyState):
    """A state of some lineage, serial and revisions."""

    def __init__(self, serial: int = 4, lineage: str = LINEAGE, plans: tuple[str, ...] = ()):
        self._meta = Meta(1, lineage, serial)
        self._plans = plans

    def meta(self) -> Meta:
        """Return the lineage and the serial."""
        return self._meta

    def revisions(self, limit: int | None = None) -> list[RevisionRecord]:
        """Return one revision for each plan that was applied."""
        made = revision()
        found = [
            replace(
                made,
                revision=number,
                plan_digest=digest,
                actions=({"address": f"export.{number}"},),
            )
            for number, digest in enumerate(self._plans, 1)
        ]
        return found[::-1][:limit]


def _action(address: str, **changes: Any) -> Action:
    values: dict[str, Any] = {
        "target": address,
        "operation": Operation.UPDATE,
        "reason": "field_changed",
        "fingerprint": "sha256:1",
    }
    return Action(address=address, **values | changes)


def _plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "tool_version": "1",
        "project": ProjectFacts(name="parcels", lineage=LINEAGE, serial=4),
        "effective_manifest": {"spec": {"a": 1}},
        "manifest_digest": "sha256:m",
        "stage_versions": {"dataset": 3, "training_plan": 1},
        "inputs": (
            PlanInput(address="data_source.a", path="data/a", digest="sha256:a", size_bytes=1),
            PlanInput(address="data_source.b", path="data/b", digest="sha256:b", size_bytes=1),
        ),
        "actions": (_action("dataset"), _action("training_plan")),
        "policy": {"ref": "HEAD", "digest": "sha256:p"},
        "against": {"ref": "main", "commit": "c0ffee", "gate_changes": [{"path": "gates.a"}]},
    }
    return Plan(**values | changes).sealed()


def _input(digest: str, path: str = "data/b", address: str = "data_source.b") -> PlanInput:
    return PlanInput(address=address, path=path, digest=digest, size_bytes=1)


_FIRST = _plan().inputs[0]
_STALE = (StalePlanError, "plan_stale")
_INPUT = (StalePlanError, "input_changed")
_REFUSED = (RefusedError, "plan_incomplete")
_MOVED: list[tuple[dict[str, Any], tuple[type[BrewError], str], str]] = [
    ({"stage_versions": {"dataset": 4, "training_plan": 1}}, _STALE, "dataset is version 4 here"),
    (
        {"stage_versions": {"dataset": 3, "training_plan": 1, "export": 1}},
        _STALE,
        "export is version 1 here",
    ),
    (
        {"manifest_digest": "sha256:n", "effective_manifest": {"spec": {"a": 2}}},
        _STALE,
        "the manifest means something else now (spec.a)",
    ),
    ({"policy": {"ref": "HEAD", "digest": "sha256:q"}}, _STALE, "the policy changed"),
    ({"policy": None}, _STALE, "the policy changed"),
    (
        {"against": {"ref": "main", "commit": "c0de", "gate_changes": []}},
        _STALE,
        "the gates at main changed since this plan",
    ),
    ({"against": None}, _STALE, "the gates at main changed since this plan"),
    ({"inputs": (_FIRST, _input("sha256:c"))}, _INPUT, "data/b changed since this plan"),
    ({"inputs": (_FIRST,)}, _INPUT, "data/b changed since this plan"),
    (
        {"inputs": (_FIRST, _input("sha256:b", address="data_source.c"))},
        _INPUT,
        "data/b changed since this plan",
    ),
    (
        {"actions": (_action("dataset"), _action("training_plan", fingerprint="sha256:2"))},
        _STALE,
        "training_plan would be another action now",
    ),
    (
        {"actions": (_action("dataset", operation=Operation.NOOP), _action("training_plan"))},
        _STALE,
        "dataset would be another action now",
    ),
    ({"actions": (_action("dataset"),)}, _STALE, "training_plan would be another action now"),
    (
        {"findings": (_ERROR,), "is_applyable": False},
        _REFUSED,
        "the plan carries an error",
    ),
]


@pytest.mark.parametrize(("moved", "error", "message"), _MOVED)
def test_each_fact_that_a_plan_rests_on_is_compared(
    moved: dict[str, Any], error: tuple[type[BrewError], str], message: str
) -> None:
    check_current(_plan(), _State(), _plan())
    with pytest.raises(error[0]) as caught:
        check_current(_plan(), _State(), _plan(**moved))
    assert (caught.value.code, caught.value.message) == (error[1], message)


def test_what_is_new_beside_a_plan_does_not_stop_it() -> None:
    """It names every input that it read and every resource that there was."""
    more = (*_plan().inputs, _input("sha256:d", "data/d", "data_source.d"))
    policy = {"ref": "other", "digest": "sha256:p"}
    against = {**(_plan().against or {}), "commit": "c0de"}
    check_current(_plan(), _State(), _plan(inputs=more, policy=policy, against=against))
    unread = _plan(policy={"decision": "allow"}, against={})
    check_current(unread, _State(), _plan(policy=None, against=None))


@pytest.mark.parametrize(
    ("state", "code", "words"),
    [
        (_State(lineage="other", serial=5), "plan_lineage_mismatch", "belongs to another project"),
        (_State(lineage=""), "plan_lineage_mismatch", "belongs to another project"),
        (_State(serial=5), "plan_stale", "the state moved on"),
        (_State(serial=3), "plan_stale", "the state moved on"),
        (_State(5, plans=("sha256:x",)), "plan_stale", "the state moved on"),
        (_State(5, plans=("sha256:x", _plan().digest)), "plan_stale", "already (revision 2)"),
        (_State(4, plans=(_plan().digest, "sha256:x")), "plan_stale", "already (revision 1)"),
    ],
)
def test_a_plan_is_for_one_state(state: _State, code: str, words: str) -> None:
    """What the state says comes before all that the plan could be compared with."""
    with pytest.raises(StalePlanError) as caught:
        check_current(_plan(), state, _plan(manifest_digest="sha256:n", inputs=()))
    assert caught.value.code == code
    assert words in caught.value.message


def test_a_manifest_that_means_something_else_names_three_of_its_values() -> None:
    for names, shown in (("abc", "(a, b, c)"), ("abcd", "(a, b, c …)")):
        before = _plan(effective_manifest=dict.fromkeys(names, 1))
        after = {"manifest_digest": "sha256:n", "effective_manifest": dict.fromkeys(names, 2)}
        with pytest.raises(StalePlanError) as caught:
            check_current(before, _State(), _plan(**after))
        assert caught.value.message.endswith(shown)


def test_a_state_that_moved_on_names_its_newest_revision() -> None:
    with pytest.raises(StalePlanError) as caught:
        check_current(_plan(), _State(5, plans=("sha256:x", "sha256:y")), _plan())
    assert caught.value.found == "serial 5 (revision 2 by mira: export.2)"
    assert caught.value.expected == "serial 4"


def test_facts_are_compared_in_a_fixed_order() -> None:
    """All that moved after one of them does not change what is told of it."""
    for index, (_, error, message) in enumerate(_MOVED):
        later: dict[str, Any] = {}
        for moved, _, _ in reversed(_MOVED[index:]):
            later |= moved
        with pytest.raises(error[0]) as caught:
            check_current(_plan(), _State(), _plan(**later))
        assert caught.value.message == message


def test_a_plan_with_an_error_is_never_applied() -> None:
    wrong = _plan(findings=(_ERROR,), is_applyable=False)
    with pytest.raises(RefusedError) as caught:
        check_current(wrong, _State(), _plan(actions=()))
    assert caught.value.found == "ROWS_TOO_LONG: all rows are too long"
    with pytest.raises(RefusedError) as caught:
        check_current(_plan(is_applyable=False), _State(), _plan())
    assert caught.value.message == "the plan was made without a state"


def _written(tmp_path: Path, document: dict[str, Any], *, is_sealed: bool = True) -> Path:
    body = {name: value for name, value in document.items() if name != "digest"}
    digest = digest_value(body) if is_sealed else document.get("digest")
    path = tmp_path / "a.plan.json"
    path.write_bytes(canonical_json({**body, "digest": digest}))
    return path


def test_a_written_plan_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.plan.json"
    path.write_bytes(_plan().to_bytes())
    assert read_saved(path) == _plan()
    assert read_saved(path, _plan().digest) == _plan()
    check_whole(_plan(), path)


@pytest.mark.parametrize("expected", ["", "sha256:0", _plan().digest[:-1]])
def test_a_plan_that_was_not_approved_is_refused(tmp_path: Path, expected: str) -> None:
    path = _written(tmp_path, _plan().model_dump(mode="json"))
    with pytest.raises(StalePlanError) as caught:
        read_saved(path, expected)
    assert (caught.value.code, caught.value.found) == ("plan_digest_mismatch", _plan().digest)


@pytest.mark.parametrize(
    "change", [{"tool_version": "2"}, {"unknown": 1}, {"is_applyable": False}, {"targets": ["a"]}]
)
def test_an_edited_plan_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    document = {**_plan().model_dump(mode="json"), **change}
    with pytest.raises(StalePlanError) as caught:
        read_saved(_written(tmp_path, document, is_sealed=False))
    assert caught.value.code == "plan_digest_mismatch"
    read_saved(_written(tmp_path, document))


@pytest.mark.parametrize("version", ["2.0", "0.9", "10.0", "", None])
def test_a_plan_of_another_major_format_is_refused(tmp_path: Path, version: str | None) -> None:
    document = {**_plan().model_dump(mode="json"), "format_version": version}
    with pytest.raises(PlanError) as caught:
        read_saved(_written(tmp_path, document))
    assert (caught.value.code, caught.value.found) == ("plan_unreadable", f"format {version}")


def _nested(depth: int) -> Any:
    return {"a": _nested(depth - 1)} if depth else 1


@pytest.mark.parametrize(
    ("written", "found"),
    [
        (b"{", "parse_error"),
        (b"[]", "object"),
        (b"\xff{}", "invalid_unicode"),
        (canonical_json({"effective_manifest": _nested(70)}), "deep"),
        (canonical_json({"format_version": "1.0"}), "Field required"),
        (None, "more than 64 MiB"),
    ],
)
def test_what_is_no_plan_is_refused(tmp_path: Path, written: bytes | None, found: str) -> None:
    path = tmp_path / "a.plan.json"
    path.write_bytes(written or b"")
    if written is None:
        os.truncate(path, (64 << 20) + 1)
    with pytest.raises(PlanError) as caught:
        read_saved(path)
    assert caught.value.code == "plan_unreadable"
    assert found in caught.value.found


def test_a_plan_of_a_megabyte_is_read(tmp_path: Path) -> None:
    large = _plan(effective_manifest={"text": "x" * (1 << 20)})
    assert read_saved(_written(tmp_path, large.model_dump(mode="json"))).digest == large.digest


@pytest.mark.parametrize(
    ("plan", "found"),
    [
        (_plan().model_copy(update={"summary": {"create": 9}}), "a summary that does not count"),
        (_plan(actions=(_action("dataset"), _action("dataset"))), "two actions on one resource"),
        (_plan(findings=(_ERROR,)), "errors, and that it can be applied"),
        (_plan(findings=({"severity": "error"},)), "values of other types"),
        (_plan(actions=(_action("no such kind"),)), "values of other types"),
    ],
)
def test_a_plan_that_says_two_things_at_once_is_refused(plan: Plan, found: str) -> None:
    with pytest.raises(PlanError) as caught:
        check_whole(plan, Path("a.plan.json"))
    assert found in caught.value.found
    check_whole(_plan(findings=(_ERROR,), is_applyable=False), Path("a.plan.json"))
    warning = {**_ERROR, "severity": "warning"}
    check_whole(_plan(findings=(warning,)), Path("a.plan.json"))
