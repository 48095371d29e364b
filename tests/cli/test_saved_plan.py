"""A saved plan is carried out once, on the project that it was made for, or not at all."""

import json
import os
import random
import shutil
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from brewslm.fingerprint import canonical_json, digest_value
from tests.apply.bench import Bench
from tests.cli.conftest import Doubles, Run
from tests.cli.repository import begin, commit, git

_PLACES = 200
_REFUSALS = {1: "plan_unreadable", 4: "plan_digest_mismatch"}
_NAME = "a.plan.json"


@pytest.fixture
def saved(applied: Bench, run: Run) -> Path:
    """Return the file of a plan that would train again."""
    applied.edit("2.0e-3", "1.0e-3")
    run("plan", "--out", _NAME).says(0)
    return applied.root / _NAME


def _sealed(document: dict[str, Any]) -> bytes:
    """Return the bytes of a plan whose digest fits whatever it says."""
    body = {name: value for name, value in document.items() if name != "digest"}
    return canonical_json({**body, "digest": digest_value(body)})


def _held(bench: Bench) -> tuple[int, int, str | None]:
    """Return serial, fence and pointer: all that an apply would have moved."""
    with closing(bench.store().read()) as state:
        meta = state.meta()
    return meta.serial, meta.fence, bench.promoted()


@pytest.mark.case("PLN-03")
def test_a_changed_byte_is_refused_wherever_it_is(
    applied: Bench, saved: Path, run: Run, doubles: Doubles
) -> None:
    whole, before = saved.read_bytes(), _held(applied)
    chance = random.Random(3)  # noqa: S311  places, no secret
    codes = Counter[int]()
    for place in chance.sample(range(len(whole) - 1), _PLACES):
        changed = bytearray(whole)
        changed[place] ^= chance.randrange(1, 256)
        saved.write_bytes(bytes(changed))
        answer = run("apply", _NAME)
        codes[answer.code] += 1
        answer.says(answer.code, _REFUSALS[answer.code])
    assert codes.keys() == _REFUSALS.keys()
    assert (_held(applied), doubles.started) == (before, [])


@pytest.mark.case("PLN-03")
def test_a_plan_sealed_anew_is_not_the_reviewed_one(
    applied: Bench, saved: Path, run: Run, doubles: Doubles
) -> None:
    document, before = json.loads(saved.read_bytes()), _held(applied)
    reviewed = document["digest"]
    document["actions"] = document["actions"][:-1]
    saved.write_bytes(_sealed(document))
    run("apply", _NAME, "--expect-digest", reviewed).says(
        4, "plan_digest_mismatch", "not the approved one", reviewed
    )
    assert (_held(applied), doubles.started) == (before, [])


@pytest.mark.case("PLN-04")
@pytest.mark.usefixtures("saved")
def test_a_plan_of_an_earlier_serial_is_refused(applied: Bench, run: Run, doubles: Doubles) -> None:
    serial = _held(applied)[0]
    applied.edit("1.0e-3", "2.0e-3")
    applied.edit("sorts complaints", "sorts them")
    assert applied.apply().exit_code == 0
    applied.edit("sorts them", "sorts complaints")
    applied.edit("2.0e-3", "1.0e-3")
    before = _held(applied)
    run("apply", _NAME).says(
        4, "plan_stale", f"serial {serial}", f"serial {before[0]} (revision 2 by ana@desk: project"
    )
    assert before[0] > serial
    assert (_held(applied), doubles.started) == (before, [])


@pytest.mark.case("PLN-05")
def test_a_plan_of_another_project_is_refused(
    applied: Bench, saved: Path, run: Run, doubles: Doubles, tmp_path: Path
) -> None:
    other = Bench.make(tmp_path / "other")
    for project in (other, applied):
        shutil.rmtree(project.home, ignore_errors=True)
        run("--chdir", project.root, "apply", "--auto-approve").says(0)
        before, started = _held(project), len(doubles.started)
        answer = run("--chdir", project.root, "apply", saved)
        answer.says(4, "plan_lineage_mismatch", "lineage 0aa2b4c6")
        assert (_held(project), len(doubles.started)) == (before, started)


@pytest.mark.case("PLN-06")
@pytest.mark.usefixtures("saved")
def test_a_plan_is_carried_out_once(applied: Bench, run: Run, doubles: Doubles) -> None:
    run("apply", _NAME).says(0)
    before, doors = _held(applied), doubles.doors
    run("apply", _NAME).says(4, "plan_stale", "applied already (revision 2)")
    assert (_held(applied), doubles.doors) == (before, doors)


@pytest.mark.case("PLN-07")
def test_a_plan_with_an_error_is_not_applied(applied: Bench, run: Run, doubles: Doubles) -> None:
    with (applied.root / "data" / "rows.jsonl").open("a") as stream:
        stream.write((applied.root / "data" / "gold.jsonl").read_text())
    assert run("plan", "--out", _NAME).code == 6
    before = _held(applied)
    run("apply", _NAME).says(6, "plan_incomplete", "LEAK_FOUND")
    assert (_held(applied), doubles.started) == (before, [])


@pytest.mark.case("PLN-09")
def test_a_plan_of_a_newer_minor_is_carried_out(saved: Path, run: Run, doubles: Doubles) -> None:
    document = json.loads(saved.read_bytes())
    saved.write_bytes(_sealed({**document, "format_version": "1.9", "greeting": {"a": [1]}}))
    run("apply", _NAME).says(0)
    assert "brewslm.engine.run:run" in doubles.doors


@pytest.mark.case("PLN-09")
def test_a_plan_of_a_newer_major_is_refused(
    applied: Bench, saved: Path, run: Run, doubles: Doubles
) -> None:
    before = _held(applied)
    saved.write_bytes(_sealed({**json.loads(saved.read_bytes()), "format_version": "2.0"}))
    run("apply", _NAME).says(1, "plan_unreadable", "format 1", "format 2.0")
    assert (_held(applied), doubles.started) == (before, [])


LOOSE, STRICT = "{}\n", "deletes: {max: {value: 0}}\n"


def _write_policy(bench: Bench, text: str) -> str:
    """Commit a policy and return the commit."""
    (bench.root / "brewslm.policy.yaml").write_text(text)
    return commit(bench.root)


@pytest.mark.case("PLN-02")
@pytest.mark.usefixtures("doubles")
@pytest.mark.parametrize("flag", ["--policy-ref", "--against"])
def test_a_saved_plan_is_checked_by_the_policy_of_the_ref_that_it_names(
    applied: Bench, run: Run, flag: str
) -> None:
    begin(applied.root)
    _write_policy(applied, STRICT)
    git(applied.root, "branch", "base")
    _write_policy(applied, LOOSE)
    applied.edit("[adapter, safetensors]", "[adapter]")
    run("plan", "--out", _NAME).says(0)
    refused = run("plan", flag, "base", "--out", "strict.plan.json")
    assert (refused.code, "deletes.max" in refused.out) == (6, True)
    run("apply", "strict.plan.json").says(6, "plan_incomplete", "deletes.max")
    applied.edit("[adapter]", "[adapter, safetensors]")
    applied.edit("2.0e-3", "1.0e-3")
    run("plan", flag, "base", "--out", _NAME).says(0)
    run("apply", _NAME).says(0)


@pytest.mark.case("PLN-02")
@pytest.mark.parametrize("flag", ["--policy-ref", "--against"])
def test_a_saved_plan_is_stale_once_the_ref_that_it_names_has_another_policy(
    applied: Bench, run: Run, flag: str, doubles: Doubles
) -> None:
    begin(applied.root)
    git(applied.root, "branch", "base")
    applied.edit("2.0e-3", "1.0e-3")
    run("plan", flag, "base", "--out", _NAME).says(0)
    loose = commit(applied.root)
    _write_policy(applied, STRICT)
    git(applied.root, "branch", "--force", "base")
    git(applied.root, "reset", "--quiet", "--hard", loose)
    run("plan", flag, "base", "--out", "other.plan.json").says(0)
    run("apply", _NAME).says(4, "plan_stale", "the policy changed", "at base", "no policy")
    assert doubles.started == []


@pytest.mark.case("PLN-01", "PLN-04")
def test_a_saved_plan_is_stale_once_the_ref_that_it_names_has_other_gates(
    applied: Bench, run: Run
) -> None:
    begin(applied.root)
    git(applied.root, "branch", "base")
    applied.edit("2.0e-3", "1.0e-3")
    run("plan", "--against", "base", "--out", _NAME).says(0)
    here = commit(applied.root)
    applied.edit("threshold: 0.8", "threshold: 0.9")
    commit(applied.root)
    git(applied.root, "branch", "--force", "base")
    git(applied.root, "reset", "--quiet", "--hard", here)
    run("apply", _NAME).says(4, "plan_stale", "the gates at base changed since this plan")
    git(applied.root, "branch", "--quiet", "-D", "base")
    run("apply", _NAME).says(1, "unknown_revision", "base")


@pytest.mark.usefixtures("doubles")
def test_a_saved_plan_that_read_everything_is_checked_as_hard(applied: Bench, run: Run) -> None:
    output = applied.records()["export.adapter"].outputs["files"]
    name = next(iter(applied.artifacts().listing(output.digest).values())).digest[7:]
    path = applied.home / "store" / "objects" / name[:2] / name[2:]
    found, data = path.stat(), path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert "artifact_corrupt" in run("plan", "--refresh", "full", "--out", _NAME).out
    run("apply", _NAME).says(0)
    assert path.read_bytes() == data
