"""`plan --state-snapshot`: what another machine pulled stands for the state."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brewslm.errors import BrewError
from brewslm.fingerprint import canonical_json, digest_value
from brewslm.state.portable import open_pulled
from tests.apply.bench import Bench
from tests.cli.conftest import Run
from tests.cli.repository import begin, commit

Document = dict[str, Any]
_NOTHING = "No changes. The project is what brewslm.yaml says."


@pytest.fixture
def snapshot(applied: Bench, run: Run) -> Path:
    """Return the pulled state of a promoted project, whose clone is the current folder."""
    path = applied.root.parent / "snapshot.json"
    assert run("state", "pull", "--out", path).code == 0
    clone = applied.root.parent / "clone"
    shutil.copytree(applied.root, clone, ignore=shutil.ignore_patterns(".brewslm"))
    os.chdir(clone)
    begin(clone)
    return path


@pytest.fixture
def clone(snapshot: Path) -> Bench:
    """Return the project without its state and artifacts."""
    return Bench(snapshot.parent / "clone")


def sealed(document: Document) -> bytes:
    body = {name: value for name, value in document.items() if name != "digest"}
    return canonical_json({**body, "digest": digest_value(body)})


@pytest.mark.parametrize("flags", [(), ("--untrusted",)], ids=["trusted", "untrusted"])
def test_the_promoted_project_has_no_changes(
    flags: tuple[str, ...], clone: Bench, snapshot: Path, run: Run
) -> None:
    answer = run("plan", "--state-snapshot", snapshot, "--detailed-exitcode", *flags)
    assert (answer.code, _NOTHING in answer.out) == (0, True), answer.out + answer.err
    document = run("plan", "--state-snapshot", snapshot, "--json", *flags).document
    assert document["drift"] == []
    assert document["project"]["serial"] == json.loads(snapshot.read_text())["serial"]
    notes = [item for item in document["findings"] if item["code"] == "REFRESH_SKIPPED"]
    assert [item["severity"] for item in notes] == ["info"]
    assert document["is_applyable"] is True
    assert not (clone.home / "state.db").exists()
    assert not (clone.home / "store").exists()


def test_a_change_and_what_is_pending_beside_it(clone: Bench, snapshot: Path, run: Run) -> None:
    clone.edit("learning_rate: 2.0e-3", "learning_rate: 1.0e-3")
    base = commit(clone.root)
    clone.edit("formats: [adapter, safetensors]", "formats: [adapter]")
    commit(clone.root)
    answer = run(
        "plan", "--untrusted", "--state-snapshot", snapshot, "--against", base, "--json"
    ).document
    assert [item["address"] for item in answer["against"]["changes"]] == ["export.safetensors"]
    work = {item["address"]: item for item in answer["actions"] if item["operation"] != "noop"}
    assert set(work) == {
        *("training_plan", "eval_pack", "export.adapter", "deployment"),
        "export.safetensors",
    }
    assert answer["summary"] == {"create": 0, "update": 4, "delete": 1, "noop": 6}
    assert work["training_plan"]["nearest"]["differs"] == ["config.learning_rate"]
    assert work["eval_pack"]["data"]["tiers"]["rows"] == 30, "the baseline's answers are recorded"


def test_it_says_what_the_project_says_itself(
    applied: Bench, clone: Bench, snapshot: Path, run: Run
) -> None:
    for bench in (applied, clone):
        bench.edit("threshold: 0.8", "threshold: 0.9")
    there = run("plan", "--state-snapshot", snapshot, "--json").document
    os.chdir(applied.root)
    here = run("plan", "--json").document
    facts = ("address", "operation", "fingerprint", "reason", "causes", "fields_changed")
    assert [[item[key] for key in facts] for item in there["actions"]][:8] == [
        [item[key] for key in facts] for item in here["actions"]
    ][:8]
    assert there["gate_changes"] == here["gate_changes"]


def test_where_the_state_is_it_can_be_applied(
    applied: Bench, clone: Bench, snapshot: Path, run: Run
) -> None:
    for bench in (applied, clone):
        bench.edit("sorts complaints", "sorts letters")
    saved = snapshot.with_name("a.plan.json")
    assert run("plan", "--state-snapshot", snapshot, "--out", saved).code == 0
    os.chdir(applied.root)
    assert run("apply", saved).code == 0
    assert applied.records()["project"].spec["description"] == "sorts letters"
    run("apply", saved).says(4, "plan_stale")


def test_a_weaker_gate_than_recorded_is_refused(clone: Bench, snapshot: Path, run: Run) -> None:
    clone.edit("threshold: 0.8", "threshold: 0.7")
    answer = run("plan", "--state-snapshot", snapshot)
    assert (answer.code, "error[GATE_WEAKENED]" in answer.out) == (6, True)


def test_a_model_that_is_not_here_is_known_from_the_record(
    snapshot: Path, clone: Bench, run: Run
) -> None:
    document = json.loads(snapshot.read_text())
    named = {"base_model": "org/nano", "revision": "0" * 40}
    for record in document["resources"]:
        if record["address"] == "model":
            record["spec"] |= named
            record["facts"]["spec"] |= named
    snapshot.write_bytes(sealed(document))
    clone.edit("{base_model: builtin:nano}", f"{{base_model: org/nano, revision: '{'0' * 40}'}}")
    document = run("plan", "--state-snapshot", snapshot, "--json").document
    actions = {item["address"]: item["operation"] for item in document["actions"]}
    assert actions["dataset"] == "noop"
    assert not [item for item in document["findings"] if item["severity"] == "error"]


def test_the_state_of_another_project_is_refused(applied: Bench, run: Run) -> None:
    path = applied.root.parent / "foreign.json"
    run("state", "pull", "--out", path)
    document = json.loads(path.read_text())
    document["lineage"] = "0aa2b4c6-0000-4000-8000-000000000002"
    path.write_bytes(sealed(document))
    run("plan", "--state-snapshot", path).says(4, "plan_lineage_mismatch", "another project")


def _deep(levels: int) -> bytes:
    return b'{"resources": ' + b"[" * levels + b"]" * levels + b"}"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (_deep(100_000), "nesting_too_deep"),
        (b"", "parse_error"),
        (b"[]", "not_an_object"),
        (b"{}", "format_version"),
        (b'{"format_version": "1.0", "format_version": "1.0"}', "duplicate_key"),
        (b"\xff\xfe", "invalid_unicode"),
    ],
    ids=["deep", "empty", "list", "bare", "twice", "bytes"],
)
def test_what_is_no_pulled_state_is_refused(
    data: bytes, found: str, bench: Bench, run: Run
) -> None:
    path = bench.root.parent / "snapshot.json"
    path.write_bytes(data)
    run("plan", "--state-snapshot", path).says(1, "error[state_corrupt]", found)


@pytest.mark.usefixtures("bench")
def test_what_is_no_file_to_read_is_refused(tmp_path: Path, run: Run) -> None:
    huge = tmp_path / "huge.json"
    with huge.open("wb") as stream:
        stream.truncate(2 << 30)
    os.mkfifo(tmp_path / "pipe")
    for path in (huge, tmp_path / "pipe", tmp_path, tmp_path / "none", Path("/dev/zero")):
        run("plan", "--state-snapshot", path).says(1, "error[unreadable]", "state pull")


def test_a_changed_byte_is_found(snapshot: Path, run: Run) -> None:
    data = snapshot.read_bytes()
    snapshot.write_bytes(data.replace(b'"serial":', b'"serial": ', 1))
    assert run("plan", "--state-snapshot", snapshot).code == 0, "blanks mean nothing"
    snapshot.write_bytes(data.replace(b"parcels", b"parcelz"))
    run("plan", "--state-snapshot", snapshot).says(1, "another content than its digest says")


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.update(schema_version=99),
        lambda it: it.update(format_version="2.0"),
        lambda it: it.update(serial="41"),
        lambda it: it.update(lineage=7),
        lambda it: it.update(resources={}),
        lambda it: it["resources"].append(it["resources"][0]),
        lambda it: it["resources"][0].update(address="../../x"),
        lambda it: it["resources"][0].update(address="model"),
        lambda it: it["resources"][0].update(status="fine"),
        lambda it: it["resources"][0].update(spec=5),
        lambda it: it["resources"][4]["outputs"].update(rows={"digest": "x", "size_bytes": 1}),
        lambda it: it["revisions"][0].update(actions="all"),
    ],
)
def test_other_types_than_recorded_are_refused(
    change: Callable[[Document], Any], snapshot: Path, run: Run
) -> None:
    document = json.loads(snapshot.read_text())
    change(document)
    snapshot.write_bytes(sealed(document))
    answer = run("plan", "--state-snapshot", snapshot)
    answer.says(1, "error[state_")


def test_any_value_in_any_place_is_planned_or_refused(snapshot: Path, run: Run) -> None:
    text = snapshot.read_text()
    seeded = random.Random(7)  # noqa: S311  which places are tried
    refused = 0
    for _ in range(60):
        document = json.loads(text)
        places = list(_leaves(document))
        holder, key = seeded.choice(places)
        holder[key] = seeded.choice([None, -1, "x", [], {}, {"x": 1}, True, 1.5, "sha256:0", [[]]])
        snapshot.write_bytes(sealed(document))
        answer = run("plan", "--state-snapshot", snapshot)
        answer.says(answer.code)
        assert answer.code in (0, 1, 6)
        refused += answer.code == 1
    assert refused > 0


def _leaves(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield value, key
        if isinstance(item, dict | list):
            yield from _leaves(item)


def test_documents_in_documents_may_be_deep() -> None:
    body = json.loads(_deep(40))
    with pytest.raises(BrewError, match="cannot be trusted") as error:
        open_pulled(sealed(body))
    assert "format_version" in error.value.found
