"""A saved plan is carried out once, on the project that it was made for, or not at all."""

import json
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
    assert "brewslm.engine.train:run" in doubles.doors


@pytest.mark.case("PLN-09")
def test_a_plan_of_a_newer_major_is_refused(
    applied: Bench, saved: Path, run: Run, doubles: Doubles
) -> None:
    before = _held(applied)
    saved.write_bytes(_sealed({**json.loads(saved.read_bytes()), "format_version": "2.0"}))
    run("apply", _NAME).says(1, "plan_unreadable", "format 1", "format 2.0")
    assert (_held(applied), doubles.started) == (before, [])
