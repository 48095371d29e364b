"""The lease from outside: ended by its ID, or taken over from the dead; both are remembered."""

import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from brewslm.cli.main import main
from brewslm.contracts import Job, Result
from brewslm.state.records import RunEvent
from tests.apply.bench import Bench
from tests.cli.conftest import Doubles, Run
from tests.state.states import NOW, dead_lease, lease


def _events_of(bench: Bench, code: str) -> list[RunEvent]:
    with closing(bench.store().read()) as reader:
        return reader.run_events(reason_code=code)


@pytest.mark.case("CON-06")
def test_forced_unlock_is_remembered_with_who_did_it(applied: Bench, run: Run) -> None:
    held = lease()
    with closing(applied.store().acquire(held, NOW)):
        run("force-unlock", "0" * 16, "--yes").says(5, "state_locked", held.lease_id)
        assert _events_of(applied, "lease_forced") == []
        assert run("force-unlock", held.lease_id, "--yes").code == 0
    (event,) = _events_of(applied, "lease_forced")
    assert (event.stage, event.severity) == ("system", "warning")
    assert event.payload == {"lease_id": held.lease_id}
    assert "@" in event.actor


@pytest.fixture
def outdated(applied: Bench, doubles: Doubles) -> Bench:
    """Return a project whose next training is met by somebody who ends the lease."""
    applied.edit("2.0e-3", "1.0e-3")

    def answer(job: Job, folder: Path) -> Result:
        if job.address == "training_plan":
            with closing(applied.store().read()) as state:
                held = state.lease()
            assert held is not None
            assert main(["force-unlock", held.lease_id, "--yes"]) == 0
        return applied.answer(job, folder)

    doubles.answer = answer
    return applied


@pytest.mark.case("CON-06")
def test_apply_whose_lease_was_ended_says_who_did_it_and_what_is_not_recorded(
    outdated: Bench, run: Run
) -> None:
    records, link = outdated.records(), outdated.promoted()
    answer = run("apply", "--auto-approve")
    answer.says(
        1,
        "the lease is lost; not recorded: training_plan, eval_pack, export.adapter",
        "error[lease_lost]: this run's lease was ended by force",
        "ended by force by ",
        "free by now, fence 3",
        "the lease of this run, apply ",
        "brewslm lock show",
    )
    (event,) = _events_of(outdated, "lease_forced")
    assert f"{event.actor} at {event.at}" in answer.err
    assert "Apply: 0 applied, 0 reused, 0 failed, 0 skipped, 5 pending, 6 unchanged." in answer.out
    assert (outdated.records(), outdated.promoted()) == (records, link)
    run("lock", "show").says(0)
    assert run("plan", "--detailed-exitcode").code == 2


@pytest.mark.case("CON-06")
@pytest.mark.usefixtures("outdated")
def test_stream_of_an_apply_whose_lease_was_ended_ends_with_its_summary(run: Run) -> None:
    answer = run("apply", "--auto-approve", "--json")
    answer.says(1, "error[lease_lost]")
    lost, summary = (json.loads(line) for line in answer.out.splitlines()[-2:])
    assert (lost["type"], lost["level"]) == ("lease_lost", "critical")
    assert (lost["fence"], lost["current_fence"], lost["cause"]) == (2, 3, "forced")
    assert (summary["type"], summary["exit_code"], summary["serial"]) == ("summary", 1, 11)
    assert summary["pending"][0] == "training_plan"


@pytest.mark.case("CON-03")
def test_apply_takes_over_from_a_dead_holder_and_says_so(applied: Bench, run: Run) -> None:
    dead = dead_lease()
    abandoned = applied.store().acquire(dead, NOW)
    answer = run("apply", "--auto-approve", "--json")
    abandoned.close()
    assert answer.code == 0
    assert '"taken_over_from":"mira@build-3"' in answer.out.replace(": ", ":")
    (event,) = _events_of(applied, "lease_taken_over")
    assert event.payload["lease_id"] == dead.lease_id
    assert event.payload["pid"] == dead.pid


def test_apply_under_a_free_lease_takes_over_from_nobody(applied: Bench, run: Run) -> None:
    assert run("apply", "--auto-approve").code == 0
    assert _events_of(applied, "lease_taken_over") == []


@pytest.mark.case("CON-11")
@pytest.mark.parametrize(
    "words",
    [
        ("state", "rm", "export.adapter"),
        ("state", "mv", "data_source.rows", "data_source.parcels"),
        ("state", "push", "newer.json"),
        ("gc", "--delete"),
        ("rollback", "1", "--auto-approve"),
        ("rollback", "--release"),
        ("destroy", "--auto-approve"),
    ],
    ids=" ".join,
)
def test_no_writer_gets_in_while_another_one_works(
    applied: Bench, run: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    before = (tmp_path / "before").resolve()
    shutil.copytree(applied.root, before, symlinks=True)
    applied.edit("2.0e-3", "1.0e-3")
    assert applied.apply().exit_code == 0
    if words[1] == "push":
        run("state", "pull", "--out", "newer.json").says(0)
        shutil.copyfile(before / ".brewslm" / "state.db", applied.home / "state.db")
    records, link = applied.records(), applied.promoted()
    with applied.lease():
        run(*words).says(5, "state_locked", "brewslm force-unlock")
    assert (applied.records(), applied.promoted()) == (records, link)
    assert not (applied.home / "backups").exists()
